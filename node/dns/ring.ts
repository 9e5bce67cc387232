import type { SystemCalls } from '../adapters/system-calls.ts';

/** Datagrams taken at once. */
export const BATCH = 64;

/** Structures of the system interface on 64-bit Linux, the same with every C library. */
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
/** Room for an address of either family (`sockaddr_in6`). */
export const NAME_BYTES = 28;

/**
 * Memory that the system reads and writes, for one batch of datagrams: headers (`mmsghdr`), and for each datagram a slot
 * of its own for its address and its bytes. It must not be moved or freed while the socket lives. All lengths that the
 * system is told are those of the slots, whatever comes from outside.
 */
export class Ring {
  readonly headers = Buffer.alloc(BATCH * MMSGHDR_BYTES);
  readonly names = Buffer.alloc(BATCH * NAME_BYTES);
  readonly data: Buffer;
  readonly slotBytes: number;
  readonly #words: Uint32Array;
  readonly #vectors = Buffer.alloc(BATCH * IOVEC_BYTES);
  readonly #vectorWords: Uint32Array;

  constructor(calls: Pick<SystemCalls, 'addressOf'>, slotBytes: number) {
    this.slotBytes = slotBytes;
    this.data = Buffer.alloc(BATCH * slotBytes);
    const names = calls.addressOf(this.names);
    const data = calls.addressOf(this.data);
    const vectors = calls.addressOf(this.#vectors);
    for (let slot = 0; slot < BATCH; slot += 1) {
      this.#vectors.writeBigUInt64LE(data + BigInt(slot * slotBytes), slot * IOVEC_BYTES);
      this.headers.writeBigUInt64LE(names + BigInt(slot * NAME_BYTES), slot * MMSGHDR_BYTES);
      this.headers.writeBigUInt64LE(vectors + BigInt(slot * IOVEC_BYTES), slot * MMSGHDR_BYTES + 16);
      this.headers.writeBigUInt64LE(1n, slot * MMSGHDR_BYTES + 24);
    }
    this.#words = wordsOf(this.headers);
    this.#vectorWords = wordsOf(this.#vectors);
    for (let slot = 0; slot < BATCH; slot += 1) this.clear(slot);
  }

  /** Headers from a slot on, for the system to read. */
  from(slot: number): Buffer {
    return slot === 0 ? this.headers : this.headers.subarray(slot * MMSGHDR_BYTES);
  }

  /** Makes a slot ready to receive into. */
  clear(slot: number): void {
    this.#words[slot * 16 + 2] = NAME_BYTES;
    this.#vectorWords[slot * 4 + 2] = this.slotBytes;
  }

  /** Sets how much of a slot is sent, and the length of its address. */
  fill(slot: number, bytes: number, nameBytes: number): void {
    this.#words[slot * 16 + 2] = Math.min(nameBytes, NAME_BYTES);
    this.#vectorWords[slot * 4 + 2] = Math.min(bytes, this.slotBytes);
  }

  /** What was received into a slot; the same memory until the slot is received into again. */
  received(slot: number): Buffer {
    const start = slot * this.slotBytes;
    return this.data.subarray(start, start + Math.min(this.#words[slot * 16 + 14]!, this.slotBytes));
  }
}

const wordsOf = (memory: Buffer) => new Uint32Array(memory.buffer, memory.byteOffset, memory.length / 4);
