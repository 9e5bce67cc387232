import type { Query } from './query.ts';
import type { RecordSet } from './record-set.ts';

/** Answers are written one after another into a slab, so that each costs no buffer of its own. */
const SLAB_BYTES = 256 * 1024;
const HEADER_BYTES = 12;
const FLAG_QR = 0x8000;
export const FLAG_AA = 0x0400;
const FLAG_TC = 0x0200;
/** Opcode, RD and CD are given back as they came (RFC 1035 §4.1.1, RFC 4035 §3.2.2). */
const ECHOED_FLAGS = 0x7910;

/**
 * Writes one answer. Sections must be written in order: `records`, `authority`, `additional`, OPT. Positions given in
 * and out are offsets within the message.
 */
export class Answer {
  out: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  rcode = 0;
  /** Flags beside those echoed. */
  flags = 0;
  truncated = false;
  /** Where the message begins in `out`. */
  #base = 0;
  #at = 0;
  #bodyAt = 0;
  #end = 0;
  #optAt = 0;
  #answers = 0;
  #authorities = 0;
  #additionals = 0;
  #query: Query | undefined;

  /** Begins the answer to a query: at most `limit` bytes, of which `reserved` are kept for OPT. */
  begin(query: Query, limit: number, reserved: number): void {
    const base = this.#at;
    if (base + limit > SLAB_BYTES) {
      this.out = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#base = 0;
    } else this.#base = base;
    this.#query = query;
    this.rcode = this.flags = 0;
    this.truncated = false;
    this.#answers = this.#authorities = this.#additionals = this.#optAt = 0;
    this.#at = this.#base + HEADER_BYTES;
    const { bytes, questionEnd } = query;
    for (let i = HEADER_BYTES; i < questionEnd; i += 1) this.out[this.#at++] = bytes[i]!;
    this.#bodyAt = this.#at;
    this.#end = this.#base + limit - reserved;
  }

  /** Begins the same answer anew. */
  restart(): void {
    this.empty();
    this.rcode = this.flags = 0;
    this.truncated = false;
  }

  /** Takes all records back, as a truncated answer must look. */
  empty(): void {
    this.#at = this.#bodyAt;
    this.#answers = this.#authorities = this.#additionals = 0;
  }

  /** Adds answers whose owner stands at `owner`. Gives where the first one's data stands, or −1 if they do not fit. */
  records(set: RecordSet, owner: number): number {
    const at = this.#copy(set, owner);
    if (at >= 0) this.#answers += set.rdata.length;
    return at;
  }

  authority(set: RecordSet, owner: number): number {
    const at = this.#copy(set, owner);
    if (at >= 0) this.#authorities += set.rdata.length;
    return at;
  }

  /** As the others, but what does not fit is left out without a word: these records only spare a question. */
  additional(set: RecordSet, owner: number): void {
    const before = this.truncated;
    if (this.#copy(set, owner) >= 0) this.#additionals += set.rdata.length;
    this.truncated = before;
  }

  #copy(set: RecordSet, owner: number): number {
    const { wire } = set;
    const start = this.#at;
    if (start + wire.length > this.#end || owner > 0x3fff) {
      this.truncated = true;
      return -1;
    }
    const { out } = this;
    if (wire.length < 64) for (let i = 0; i < wire.length; i += 1) out[start + i] = wire[i]!;
    else out.set(wire, start);
    this.#at += wire.length;
    if (owner !== HEADER_BYTES) {
      let at = start;
      for (const data of set.rdata) {
        out[at] = 0xc0 | (owner >> 8);
        out[at + 1] = owner & 255;
        at += 12 + data.length;
      }
    }
    return start - this.#base + 12;
  }

  optStart(size: number, dnssecOk: boolean): void {
    const { out } = this;
    let at = this.#at;
    out[at++] = 0;
    out[at++] = 0;
    out[at++] = 41;
    out[at++] = size >> 8;
    out[at++] = size & 255;
    out[at++] = this.rcode >> 4;
    out[at++] = 0;
    out[at++] = dnssecOk ? 0x80 : 0;
    out[at++] = 0;
    this.#optAt = at;
    this.#at = at + 2;
    this.#additionals += 1;
  }

  /** Begins an option; gives where in `out` its data goes. */
  option(code: number, length: number): number {
    const { out } = this;
    let at = this.#at;
    out[at++] = code >> 8;
    out[at++] = code & 255;
    out[at++] = length >> 8;
    out[at++] = length & 255;
    this.#at = at + length;
    return at;
  }

  /** The client subnet as it came, with the scope for which the answer holds (RFC 7871 §7.2.1). */
  optSubnet(family: number, source: number, scope: number, address: Uint8Array): void {
    const bytes = (source + 7) >> 3;
    const at = this.option(8, 4 + bytes);
    const { out } = this;
    out[at] = 0;
    out[at + 1] = family;
    out[at + 2] = source;
    out[at + 3] = scope;
    for (let i = 0; i < bytes; i += 1) out[at + 4 + i] = address[i]!;
  }

  optEnd(): void {
    const length = this.#at - this.#optAt - 2;
    this.out[this.#optAt] = length >> 8;
    this.out[this.#optAt + 1] = length & 255;
  }

  /** The finished message: a view that stays unchanged, because no later answer writes where it lies. */
  finish(): Uint8Array {
    const query = this.#query!;
    const { out } = this;
    const flags =
      FLAG_QR |
      (query.flags & ECHOED_FLAGS) |
      this.flags |
      (this.truncated ? FLAG_TC : 0) |
      (this.rcode & 15);
    let at = this.#base;
    out[at++] = query.id >> 8;
    out[at++] = query.id & 255;
    out[at++] = flags >> 8;
    out[at++] = flags & 255;
    out[at++] = 0;
    out[at++] = query.questionEnd > HEADER_BYTES ? 1 : 0;
    out[at++] = this.#answers >> 8;
    out[at++] = this.#answers & 255;
    out[at++] = this.#authorities >> 8;
    out[at++] = this.#authorities & 255;
    out[at++] = this.#additionals >> 8;
    out[at] = this.#additionals & 255;
    return out.subarray(this.#base, this.#at);
  }
}
