import { PresageError } from '../../protocol/errors.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  loadSystemCalls,
  MSG_DONTWAIT,
  MSG_WAITFORONE,
  SO_RCVTIMEO,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  type SystemCalls,
} from '../adapters/system-calls.ts';
import { addressBytes } from './address.ts';
import { BATCH, NAME_BYTES, Ring } from './ring.ts';
import type { Respond, UdpOptions } from './udp.ts';

/** A query is far shorter; what is cut off here is malformed, because its counts do not fit its length. */
const RECEIVE_BYTES = 2048;
/** Nothing is answered longer by UDP. */
const SEND_BYTES = 4096;
/**
 * Datagrams that are taken in batches before the event loop goes round, so that a flood of them holds up nobody else for
 * longer than some milliseconds.
 */
const TURN_DATAGRAMS = 512;

/**
 * A UDP socket from which datagrams are taken, and to which they are given, many in one system call (`recvmmsg`,
 * `sendmmsg`). Node has no such call, and the calls are most of what a DNS answer costs: with them one thread answers
 * nearly twice as much. The event loop says when there is something to read.
 */
export interface Batch {
  /** Bound socket, to be handed to the event loop, which then owns it. */
  readonly fd: number;
  /** Answers what waits, one batch at most. Never waits itself. */
  drain(respond: Respond): void;
}

let proven: Promise<SystemCalls | undefined> | undefined;

/** The system's calls, if they do here what this file takes them to do. Tried once in each thread. */
const provenCalls = (): Promise<SystemCalls | undefined> => {
  proven ??= loadSystemCalls().then((calls) => (calls && prove(calls) ? calls : undefined));
  return proven;
};

/** Opens a bound socket, or gives nothing where it is not to be had. Fails with `CONFIG_INVALID` if the address is not. */
export async function openBatch(options: Omit<UdpOptions, 'batch'>): Promise<Batch | undefined> {
  const calls = await provenCalls();
  if (!calls) return undefined;
  const { host, port, family, reusePort } = options;
  const bytes = addressBytes(host);
  if (!bytes) return undefined;
  const domain = family === 6 ? AF_INET6 : AF_INET;
  const fd = calls.socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  // A wildcard takes IPv4 too, as the event loop's own sockets do.
  if (family === 6)
    calls.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, flag(!bytes.every((byte) => byte === 0)), 4);
  if (reusePort) calls.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, flag(true), 4);
  const name = socketName(bytes, port);
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
  let taken = 0;
  return {
    fd,
    drain(respond) {
      if (taken >= TURN_DATAGRAMS) return;
      const count = Math.min(BATCH, calls.recvmmsg(fd, inbox.headers, BATCH, MSG_DONTWAIT, null));
      if (count <= 0) return;
      taken += count;
      if (taken >= TURN_DATAGRAMS)
        setImmediate(() => {
          taken = 0;
        });
      let ready = 0;
      for (let slot = 0; slot < count; slot += 1) {
        const at = slot * NAME_BYTES;
        const { names } = inbox;
        const is6 = names[at] === AF_INET6;
        const nameBytes = is6 ? 28 : 16;
        const from = clients[slot]!;
        const client = !is6 ? from.v4 : isMapped(from.v6) ? from.mapped : from.v6;
        const query = inbox.received(slot);
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
        const done = calls.sendmmsg(fd, outbox.from(sent), ready - sent, MSG_DONTWAIT);
        // One that cannot be sent is passed over, as any datagram may be lost.
        sent += done > 0 ? done : 1;
      }
    },
  };
}

const flag = (on: boolean) => Buffer.from([on ? 1 : 0, 0, 0, 0]);

/** A `sockaddr_in` or `sockaddr_in6`. */
function socketName(address: Uint8Array, port: number): Buffer {
  const is6 = address.length === 16;
  const name = Buffer.alloc(is6 ? 28 : 16);
  name.writeUInt16LE(is6 ? AF_INET6 : AF_INET, 0);
  name.writeUInt16BE(port, 2);
  name.set(address, is6 ? 8 : 4);
  return name;
}

function isMapped(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i += 1) if (address[i] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}

/**
 * Sends two datagrams of different lengths from a loopback socket to itself and takes them back, with the structures
 * that the server uses: whether all is where it is taken to be, before anything comes from outside.
 */
export function prove(calls: SystemCalls): boolean {
  const fd = calls.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    const patience = Buffer.alloc(16);
    patience.writeBigInt64LE(200_000n, 8);
    if (calls.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length) !== 0) return false;
    const name = socketName(Uint8Array.of(127, 0, 0, 1), 0);
    if (calls.bind(fd, name, name.length) !== 0) return false;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(name.length);
    if (calls.getsockname(fd, name, length) !== 0 || length.readUInt32LE() !== name.length) return false;
    const words = [Buffer.from('presage'), Buffer.alloc(RECEIVE_BYTES, 'batch')];
    const outbox = new Ring(calls, SEND_BYTES);
    const inbox = new Ring(calls, RECEIVE_BYTES);
    for (const [slot, word] of words.entries()) {
      outbox.data.set(word, slot * SEND_BYTES);
      outbox.names.set(name, slot * NAME_BYTES);
      outbox.fill(slot, word.length, name.length);
    }
    if (calls.sendmmsg(fd, outbox.headers, words.length, 0) !== words.length) return false;
    for (let got = 0; got < words.length; ) {
      const count = calls.recvmmsg(fd, inbox.headers, BATCH, MSG_WAITFORONE, null);
      if (count <= 0 || got + count > words.length) return false;
      for (let slot = 0; slot < count; slot += 1, got += 1) {
        if (!inbox.received(slot).equals(words[got]!)) return false;
        const from = slot * NAME_BYTES;
        if (!inbox.names.subarray(from, from + name.length).equals(name)) return false;
        inbox.clear(slot);
      }
    }
    return true;
  } finally {
    calls.close(fd);
  }
}
