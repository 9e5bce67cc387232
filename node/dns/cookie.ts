import { sipHash24 } from './siphash.ts';

/** How old a server cookie may be, and how far in the future, in seconds (RFC 9018 §4.3). */
const COOKIE_LIFETIME_SECONDS = 3600;
const COOKIE_AHEAD_SECONDS = 300;
/** Client part and server part as this server makes them. */
export const COOKIE_BYTES = 24;

/**
 * DNS cookies (RFC 7873) in the interoperable form of RFC 9018: version, time and SipHash-2-4 of client cookie,
 * version, time and client address. Servers that share the secret accept each other's.
 */
export class Cookies {
  readonly #key: Uint32Array;
  /** Client cookie 8, version 1, reserved 3, time 4, address 4 or 16. */
  readonly #input = new Uint8Array(32);

  /** `secret` is 16 bytes. */
  constructor(secret: Uint8Array) {
    const view = new DataView(secret.buffer, secret.byteOffset, 16);
    this.#key = Uint32Array.from([0, 4, 8, 12], (at) => view.getUint32(at, true));
  }

  /** Whether the cookie at `at` (client and server part, `length` bytes) is one of ours for this client. */
  valid(bytes: Uint8Array, at: number, length: number, client: Uint8Array, nowSeconds: number): boolean {
    if (length !== COOKIE_BYTES || bytes[at + 8] !== 1) return false;
    const time = read32(bytes, at + 12);
    const age = (nowSeconds - time) | 0;
    if (age > COOKIE_LIFETIME_SECONDS || age < -COOKIE_AHEAD_SECONDS) return false;
    this.#input.set(bytes.subarray(at, at + 16));
    const [low, high] = this.#hash(client);
    return read32(bytes, at + 16) === swap(low) && read32(bytes, at + 20) === swap(high);
  }

  /** Writes the whole cookie for the client cookie at `from` to `to` in `out`. */
  write(
    out: Uint8Array,
    to: number,
    bytes: Uint8Array,
    from: number,
    client: Uint8Array,
    nowSeconds: number,
  ): void {
    for (let i = 0; i < 8; i += 1) this.#input[i] = bytes[from + i]!;
    this.#input[8] = 1;
    this.#input[9] = this.#input[10] = this.#input[11] = 0;
    write32(this.#input, 12, nowSeconds >>> 0);
    const [low, high] = this.#hash(client);
    for (let i = 0; i < 16; i += 1) out[to + i] = this.#input[i]!;
    write32(out, to + 16, swap(low));
    write32(out, to + 20, swap(high));
  }

  #hash(client: Uint8Array): readonly [number, number] {
    this.#input.set(client, 16);
    return sipHash24(this.#key, this.#input, 16 + client.length);
  }
}

const read32 = (bytes: Uint8Array, at: number) =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** SipHash gives its result in little-endian order. */
const swap = (value: number) =>
  ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
