/**
 * A set of slots as a bit-vector of ⌈n/8⌉ bytes, least significant bit first. On the wire the empty set may also be
 * the empty byte string.
 */
export type SlotBits = Uint8Array;

export const bitBytes = (slots: number): number => (slots + 7) >> 3;
export const newBits = (slots: number): SlotBits => new Uint8Array(bitBytes(slots));
export const hasBit = (bits: SlotBits, slot: number): boolean =>
  ((bits[slot >> 3] ?? 0) & (1 << (slot & 7))) !== 0;

/** Whether the bit was not set before. */
export function setBit(bits: SlotBits, slot: number): boolean {
  const byte = bits[slot >> 3]!;
  const next = byte | (1 << (slot & 7));
  bits[slot >> 3] = next;
  return next !== byte;
}

/** The wire form: nothing for the empty set. */
export function wireBits(bits: SlotBits): SlotBits {
  for (const byte of bits) if (byte !== 0) return bits.slice();
  return new Uint8Array(0);
}

/** Calls `visit` for each member that is not in `except`, ascending. */
export function eachBit(
  bits: SlotBits,
  slots: number,
  visit: (slot: number) => void,
  except?: SlotBits,
): void {
  for (let at = 0; at < bits.length; at += 1) {
    let byte = bits[at]! & ~(except?.[at] ?? 0);
    while (byte !== 0) {
      const low = byte & -byte;
      const slot = at * 8 + 31 - Math.clz32(low);
      if (slot < slots) visit(slot);
      byte ^= low;
    }
  }
}

/** Whether a vector from elsewhere has the length of `slots` slots, or is the empty set. */
export const fits = (bits: SlotBits, slots: number): boolean =>
  bits.length === 0 || bits.length === bitBytes(slots);

/** A copy of full length. */
export function fullBits(bits: SlotBits, slots: number): SlotBits {
  const full = newBits(slots);
  full.set(bits.subarray(0, full.length));
  return full;
}
