/** Reads queries in place: no object is made of a packet, every length is checked before it is used. */

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  NOTAUTH: 9,
  BADVERS: 16,
  BADCOOKIE: 23,
} as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

/** What `Query.parse` says of a packet that must not be answered at all. */
export const DROP = -1;

export const HEADER_BYTES = 12;
const MAX_NAME = 255;
/** Records behind the question that are looked at for OPT; a query has one or two. */
const MAX_EXTRA_RECORDS = 8;

const TYPE_OPT = 41;
const TYPE_TSIG = 250;
const OPTION_NSID = 3;
const OPTION_SUBNET = 8;
const OPTION_COOKIE = 10;
const OPTION_KEEPALIVE = 11;

export const FAMILY_NONE = 0;
export const FAMILY_V4 = 1;
export const FAMILY_V6 = 2;

/** Scratch in which a name is folded to lower case; the whole daemon reads one packet at a time. */
const folded = Buffer.alloc(MAX_NAME + 1);

/** One query, read anew by each `parse`; fields hold only until the next. */
export class Query {
  bytes: Uint8Array = new Uint8Array(0);
  id = 0;
  /** The second 16 bits of the header. */
  flags = 0;
  opcode = 0;
  /** Where the question ends; `HEADER_BYTES` if there is none that could be echoed. */
  questionEnd = HEADER_BYTES;
  /** Name in lower case, wire form (see `name.ts`). */
  key = '';
  type = 0;
  class = 0;
  edns = false;
  /** Payload size that the client takes by UDP, at least 512. */
  udpSize = 512;
  dnssecOk = false;
  /** Whether the client takes a denial in compact form for what it is, and wants the true code beside it (RFC 9824 §5). */
  compactOk = false;
  nsid = false;
  keepalive = false;
  /** Whether there is a client subnet option; then its family, prefix length and masked address. */
  hasSubnet = false;
  subnetFamily = FAMILY_NONE;
  subnetSource = 0;
  readonly subnetV4 = new Uint8Array(4);
  readonly subnetV6 = new Uint8Array(16);
  /** Where the cookie option's data begins, and its length: 0 (none), 8, or 16 to 40. */
  cookieAt = 0;
  cookieLength = 0;

  /** Reads a packet. Gives the response code that it deserves (`NOERROR`: go on), or `DROP`. */
  parse(bytes: Uint8Array): Rcode | typeof DROP {
    this.bytes = bytes;
    this.questionEnd = HEADER_BYTES;
    this.edns = false;
    this.udpSize = 512;
    this.dnssecOk = this.compactOk = this.nsid = this.keepalive = this.hasSubnet = false;
    this.cookieLength = 0;
    this.key = '';
    this.type = this.class = 0;
    if (bytes.length < HEADER_BYTES) return DROP;
    this.id = (bytes[0]! << 8) | bytes[1]!;
    this.flags = (bytes[2]! << 8) | bytes[3]!;
    // Never answer an answer: two servers would otherwise talk for ever.
    if (this.flags & 0x8000) return DROP;
    this.opcode = (this.flags >> 11) & 15;
    if (this.opcode !== 0) return RCODE.NOTIMP;
    const questions = (bytes[4]! << 8) | bytes[5]!;
    const answers = (bytes[6]! << 8) | bytes[7]!;
    const authorities = (bytes[8]! << 8) | bytes[9]!;
    const extras = (bytes[10]! << 8) | bytes[11]!;
    if (questions > 1 || answers !== 0 || extras > MAX_EXTRA_RECORDS) return RCODE.FORMERR;
    let at = HEADER_BYTES;
    if (questions === 1) {
      at = this.#question(bytes);
      if (at < 0) return RCODE.FORMERR;
      this.questionEnd = at;
    }
    // Only IXFR carries a record in the authority section (RFC 1995); it is refused anyway.
    if (authorities > 0) return this.type === 251 && authorities === 1 ? RCODE.REFUSED : RCODE.FORMERR;
    for (let i = 0; i < extras; i += 1) {
      const nameEnd = skipName(bytes, at);
      if (nameEnd < 0 || nameEnd + 10 > bytes.length) return RCODE.FORMERR;
      const type = (bytes[nameEnd]! << 8) | bytes[nameEnd + 1]!;
      const dataAt = nameEnd + 10;
      const dataEnd = dataAt + ((bytes[nameEnd + 8]! << 8) | bytes[nameEnd + 9]!);
      if (dataEnd > bytes.length) return RCODE.FORMERR;
      if (type === TYPE_TSIG) return RCODE.NOTAUTH;
      if (type === TYPE_OPT) {
        if (this.edns || nameEnd !== at + 1) return RCODE.FORMERR;
        const rcode = this.#opt(nameEnd, dataAt, dataEnd);
        if (rcode !== RCODE.NOERROR) return rcode;
      }
      at = dataEnd;
    }
    if (at !== bytes.length) return RCODE.FORMERR;
    // A query without a question asks for nothing but a cookie (RFC 7873 §5.4).
    if (questions === 0 && this.cookieLength === 0) return RCODE.FORMERR;
    return RCODE.NOERROR;
  }

  /** Reads the question; gives where it ends, or −1. */
  #question(bytes: Uint8Array): number {
    let at = HEADER_BYTES;
    for (;;) {
      const length = bytes[at];
      // A label of more than 63 bytes is a pointer or an obsolete form; neither may stand in a question.
      if (length === undefined || length > 63) return -1;
      const end = at + 1 + length;
      if (end - HEADER_BYTES > MAX_NAME || end > bytes.length) return -1;
      for (; at < end; at += 1) {
        const byte = bytes[at]!;
        folded[at - HEADER_BYTES] = byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte;
      }
      if (length === 0) break;
    }
    if (at + 4 > bytes.length) return -1;
    this.key = folded.toString('latin1', 0, at - HEADER_BYTES);
    this.type = (bytes[at]! << 8) | bytes[at + 1]!;
    this.class = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    return at + 4;
  }

  #opt(nameEnd: number, dataAt: number, dataEnd: number): Rcode {
    const { bytes } = this;
    this.edns = true;
    this.udpSize = Math.max(512, (bytes[nameEnd + 2]! << 8) | bytes[nameEnd + 3]!);
    this.dnssecOk = (bytes[nameEnd + 6]! & 0x80) !== 0;
    this.compactOk = (bytes[nameEnd + 6]! & 0x40) !== 0;
    if (bytes[nameEnd + 5] !== 0) return RCODE.BADVERS;
    let at = dataAt;
    while (at < dataEnd) {
      if (at + 4 > dataEnd) return RCODE.FORMERR;
      const option = (bytes[at]! << 8) | bytes[at + 1]!;
      const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      at += 4;
      if (at + length > dataEnd) return RCODE.FORMERR;
      if (option === OPTION_SUBNET) {
        if (!this.#subnet(at, length)) return RCODE.FORMERR;
      } else if (option === OPTION_COOKIE) {
        if (length !== 8 && (length < 16 || length > 40)) return RCODE.FORMERR;
        // Of several cookies the first counts (RFC 7873 §5.2).
        if (this.cookieLength === 0) {
          this.cookieAt = at;
          this.cookieLength = length;
        }
      } else if (option === OPTION_NSID) this.nsid = true;
      else if (option === OPTION_KEEPALIVE) this.keepalive = true;
      at += length;
    }
    return RCODE.NOERROR;
  }

  /** Reads a client subnet (RFC 7871 §6): exactly the bytes of its prefix, nothing set beyond it, no scope. */
  #subnet(at: number, length: number): boolean {
    const { bytes } = this;
    if (length < 4 || this.hasSubnet) return false;
    const family = (bytes[at]! << 8) | bytes[at + 1]!;
    const source = bytes[at + 2]!;
    if (bytes[at + 3] !== 0) return false;
    if (length - 4 !== (source + 7) >> 3) return false;
    if (family === FAMILY_NONE) {
      if (source !== 0) return false;
    } else if (family === FAMILY_V4 || family === FAMILY_V6) {
      const out = family === FAMILY_V4 ? this.subnetV4 : this.subnetV6;
      if (source > out.length * 8) return false;
      for (let i = 0; i < out.length; i += 1) out[i] = i < length - 4 ? bytes[at + 4 + i]! : 0;
      if (source & 7 && bytes[at + length - 1]! & (0xff >> (source & 7))) return false;
    } else return false;
    this.hasSubnet = true;
    this.subnetFamily = family;
    this.subnetSource = source;
    return true;
  }
}

/** Where a name ends that stands at `at`, or −1. A pointer ends it; where it points to does not matter here. */
function skipName(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return -1;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= bytes.length ? at + 2 : -1;
    if (length > 63 || at - from > MAX_NAME) return -1;
    at += 1 + length;
  }
}
