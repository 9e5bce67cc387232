import { endianness } from 'node:os';
import { PresageError } from '../../protocol/errors.ts';
import { addressBytes } from './address.ts';
import type { Respond, UdpOptions } from './udp.ts';

/** Datagrams taken at once. The event loop waits for no more than one batch. */
const BATCH = 64;
/** A query is far shorter; what is cut off here is malformed, because its counts do not fit its length. */
const RECEIVE_BYTES = 2048;
/** Nothing is answered longer by UDP. */
const SEND_BYTES = 4096;

/** Structures of the system interface on 64-bit Linux, the same with every C library. */
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
const NAME_BYTES = 28;
const AF_INET = 2;
const AF_INET6 = 10;
/** SOCK_DGRAM with SOCK_NONBLOCK and SOCK_CLOEXEC. */
const SOCK_DGRAM = 2 | 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_DONTWAIT = 0x40;

/**
 * A UDP socket from which datagrams are taken, and to which they are given, many in one system call (`recvmmsg`,
 * `sendmmsg`). Node has no such call, and the calls are most of what a DNS answer costs: with them one thread answers
 * twice as much. The event loop says when there is something to read.
 */
export interface Batch {
  /** Bound socket, to be handed to the event loop, which then owns it. */
  readonly fd: number;
  /** Answers what waits, one batch at most. Never waits itself. */
  drain(respond: Respond): void;
}

interface SystemCalls {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  close(fd: number): number;
  recvmmsg(fd: number, headers: Uint8Array, count: number, flags: number, timeout: null): number;
  sendmmsg(fd: number, headers: Uint8Array, count: number, flags: number): number;
  addressOf(memory: Uint8Array): bigint;
}

/** The system's calls, or nothing where they are not to be had: another system, or the optional package is missing. */
async function systemCalls(): Promise<SystemCalls | undefined> {
  const fits =
    process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch) && endianness() === 'LE';
  if (!fits) return undefined;
  try {
    const koffi = (await import('koffi')).default;
    const c = koffi.load(null);
    return {
      socket: c.func('int socket(int, int, int)'),
      bind: c.func('int bind(int, const void*, uint32_t)'),
      setsockopt: c.func('int setsockopt(int, int, int, const void*, uint32_t)'),
      close: c.func('int close(int)'),
      recvmmsg: c.func('int recvmmsg(int, void*, uint32_t, int, void*)'),
      sendmmsg: c.func('int sendmmsg(int, void*, uint32_t, int)'),
      addressOf: (memory) => BigInt(koffi.address(memory)),
    };
  } catch {
    return undefined;
  }
}

/** Memory that the system reads and writes; it must not be moved or freed while the socket lives. */
class Ring {
  readonly headers = Buffer.alloc(BATCH * MMSGHDR_BYTES);
  readonly names: Buffer;
  readonly data: Buffer;
  readonly words: Uint32Array;
  readonly #vectors = Buffer.alloc(BATCH * IOVEC_BYTES);
  readonly #vectorWords: Uint32Array;
  readonly #slotBytes: number;

  constructor(calls: SystemCalls, slotBytes: number, names = Buffer.alloc(BATCH * NAME_BYTES)) {
    this.#slotBytes = slotBytes;
    this.names = names;
    this.data = Buffer.alloc(BATCH * slotBytes);
    const at = [names, this.data, this.#vectors].map((memory) => calls.addressOf(memory));
    for (let i = 0; i < BATCH; i += 1) {
      this.#vectors.writeBigUInt64LE(at[1]! + BigInt(i * slotBytes), i * IOVEC_BYTES);
      this.headers.writeBigUInt64LE(at[0]! + BigInt(i * NAME_BYTES), i * MMSGHDR_BYTES);
      this.headers.writeBigUInt64LE(at[2]! + BigInt(i * IOVEC_BYTES), i * MMSGHDR_BYTES + 16);
      this.headers.writeBigUInt64LE(1n, i * MMSGHDR_BYTES + 24);
    }
    this.words = wordsOf(this.headers);
    this.#vectorWords = wordsOf(this.#vectors);
    for (let i = 0; i < BATCH; i += 1) this.clear(i);
  }

  /** Makes a slot ready to receive into. */
  clear(slot: number): void {
    this.words[slot * 16 + 2] = NAME_BYTES;
    this.#vectorWords[slot * 4 + 2] = this.#slotBytes;
  }

  /** Sets how much of a slot is sent, and the length of its address. */
  fill(slot: number, bytes: number, nameBytes: number): void {
    this.words[slot * 16 + 2] = nameBytes;
    this.#vectorWords[slot * 4 + 2] = bytes;
  }

  /** Bytes received into a slot. */
  received(slot: number): number {
    return this.words[slot * 16 + 14]!;
  }
}

const wordsOf = (memory: Buffer) => new Uint32Array(memory.buffer, memory.byteOffset, memory.length / 4);

/** Opens a bound socket, or gives nothing where it is not to be had. Fails with `CONFIG_INVALID` if the address is not. */
export async function openBatch(options: UdpOptions): Promise<Batch | undefined> {
  const calls = await systemCalls();
  if (!calls) return undefined;
  const { host, port, family, reusePort } = options;
  const bytes = addressBytes(host);
  if (!bytes) return undefined;
  const fd = calls.socket(family === 6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) return undefined;
  const name = Buffer.alloc(family === 6 ? 28 : 16);
  name.writeUInt16LE(family === 6 ? AF_INET6 : AF_INET, 0);
  name.writeUInt16BE(port, 2);
  name.set(bytes, family === 6 ? 8 : 4);
  const flag = (on: boolean) => Buffer.from([on ? 1 : 0, 0, 0, 0]);
  // A wildcard takes IPv4 too, as the event loop's own sockets do.
  if (family === 6)
    calls.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, flag(!bytes.every((byte) => byte === 0)), 4);
  if (reusePort) calls.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, flag(true), 4);
  if (calls.bind(fd, name, name.length) !== 0) {
    calls.close(fd);
    throw new PresageError('CONFIG_INVALID', `dns.listen: cannot listen on ${host}:${port} by UDP`);
  }

  const inbox = new Ring(calls, RECEIVE_BYTES);
  const outbox = new Ring(calls, SEND_BYTES);
  const clients = Array.from({ length: BATCH }, (_, slot) => {
    const at = slot * NAME_BYTES;
    return {
      v4: new Uint8Array(inbox.names.buffer, inbox.names.byteOffset + at + 4, 4),
      v6: new Uint8Array(inbox.names.buffer, inbox.names.byteOffset + at + 8, 16),
      mapped: new Uint8Array(inbox.names.buffer, inbox.names.byteOffset + at + 20, 4),
    };
  });
  return {
    fd,
    drain(respond) {
      const count = calls.recvmmsg(fd, inbox.headers, BATCH, MSG_DONTWAIT, null);
      let ready = 0;
      for (let slot = 0; slot < count; slot += 1) {
        const at = slot * NAME_BYTES;
        const { names } = inbox;
        const is6 = names[at] === AF_INET6;
        const nameBytes = is6 ? 28 : 16;
        const from = clients[slot]!;
        const client = !is6 ? from.v4 : isMapped(from.v6) ? from.mapped : from.v6;
        const start = slot * RECEIVE_BYTES;
        const query = inbox.data.subarray(start, start + inbox.received(slot));
        inbox.clear(slot);
        // Port 0 can only be forged.
        if (names[at + 2] === 0 && names[at + 3] === 0) continue;
        const answer = respond(query, client, 'udp');
        if (!answer || answer.length > SEND_BYTES) continue;
        outbox.data.set(answer, ready * SEND_BYTES);
        const to = ready * NAME_BYTES;
        for (let i = 0; i < nameBytes; i += 1) outbox.names[to + i] = names[at + i]!;
        outbox.fill(ready, answer.length, nameBytes);
        ready += 1;
      }
      let sent = 0;
      while (sent < ready) {
        const done = calls.sendmmsg(
          fd,
          outbox.headers.subarray(sent * MMSGHDR_BYTES),
          ready - sent,
          MSG_DONTWAIT,
        );
        // One that cannot be sent is passed over, as any datagram may be lost.
        sent += done > 0 ? done : 1;
      }
    },
  };
}

function isMapped(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i += 1) if (address[i] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}
