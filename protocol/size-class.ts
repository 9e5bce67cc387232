/**
 * Sizes of content in eighths of an octave: PoPs that saw different versions, or lengths on the wire, of one
 * resource then mostly say the same, and a size takes two bytes. Never below the true size, and at most an eighth
 * above it (seven bytes and less are exact).
 */

/** Classes end at 2⁴⁰ bytes. */
export const SIZE_CLASS_MAX = 8 * 40;

/** The least class whose size is `bytes` or more. */
export function sizeClassOf(bytes: number): number {
  let low = 0;
  let high = SIZE_CLASS_MAX;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sizeOfClass(middle) >= bytes) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Bytes of a class: itself below 8, then (8 + c mod 8) · 2^(⌊c / 8⌋ − 1). */
export function sizeOfClass(sizeClass: number): number {
  if (sizeClass < 8) return sizeClass;
  let bytes = 8 + (sizeClass & 7);
  for (let octave = (sizeClass >> 3) - 1; octave > 0; octave -= 1) bytes *= 2;
  return bytes;
}
