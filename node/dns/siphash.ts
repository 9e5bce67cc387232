/** State of SipHash: four words of 64 bits as pairs of 32, low half first. */
const state = new Int32Array(8);
const result: [number, number] = [0, 0];

/**
 * SipHash-2-4 (Aumasson and Bernstein 2012) of the first `length` bytes, in 32-bit arithmetic. `key` is the 16 bytes
 * as four little-endian words. Gives low and high word; the pair is overwritten by the next call.
 */
export function sipHash24(key: Uint32Array, bytes: Uint8Array, length: number): readonly [number, number] {
  const v = state;
  v[0] = 0x70736575 ^ key[0]!;
  v[1] = 0x736f6d65 ^ key[1]!;
  v[2] = 0x6e646f6d ^ key[2]!;
  v[3] = 0x646f7261 ^ key[3]!;
  v[4] = 0x6e657261 ^ key[0]!;
  v[5] = 0x6c796765 ^ key[1]!;
  v[6] = 0x79746573 ^ key[2]!;
  v[7] = 0x74656462 ^ key[3]!;
  const whole = length - (length % 8);
  for (let at = 0; at < whole; at += 8) absorb(word(bytes, at, 4), word(bytes, at + 4, 4));
  const rest = length - whole;
  absorb(
    word(bytes, whole, Math.min(4, rest)),
    word(bytes, whole + 4, Math.max(0, rest - 4)) | (length << 24),
  );
  v[4]! ^= 0xff;
  for (let i = 0; i < 4; i += 1) round();
  result[0] = (v[0]! ^ v[2]! ^ v[4]! ^ v[6]!) >>> 0;
  result[1] = (v[1]! ^ v[3]! ^ v[5]! ^ v[7]!) >>> 0;
  return result;
}

function word(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i += 1) value |= bytes[at + i]! << (8 * i);
  return value;
}

function absorb(low: number, high: number): void {
  state[6]! ^= low;
  state[7]! ^= high;
  round();
  round();
  state[0]! ^= low;
  state[1]! ^= high;
}

/** v[to] += v[from], 64 bits. */
function add(to: number, from: number): void {
  const low = (state[to]! >>> 0) + (state[from]! >>> 0);
  state[to + 1] = state[to + 1]! + state[from + 1]! + (low > 0xffff_ffff ? 1 : 0);
  state[to] = low;
}

/** v[at] = rotate(v[at], by) ^ v[other]; `by` below 32. */
function mix(at: number, by: number, other: number): void {
  const low = state[at]!;
  const high = state[at + 1]!;
  state[at] = ((low << by) | (high >>> (32 - by))) ^ state[other]!;
  state[at + 1] = ((high << by) | (low >>> (32 - by))) ^ state[other + 1]!;
}

/** v[at] = rotate(v[at], 32). */
function halfTurn(at: number): void {
  const low = state[at]!;
  state[at] = state[at + 1]!;
  state[at + 1] = low;
}

function round(): void {
  add(0, 2);
  mix(2, 13, 0);
  halfTurn(0);
  add(4, 6);
  mix(6, 16, 4);
  add(0, 6);
  mix(6, 21, 0);
  add(4, 2);
  mix(2, 17, 4);
  halfTurn(4);
}
