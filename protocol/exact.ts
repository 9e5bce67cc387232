import { PresageError } from './errors.ts';

/**
 * Arithmetic of what PoPs must compute alike: integers below 2⁵³, where IEEE 754 doubles are exact on every
 * machine. Logarithms, powers and collation differ between engines and have no place in agreed state.
 */

/** `a · b`. Fails with `INTERNAL` where the product is not exact: bounds upstream exclude it. */
export function product(a: number, b: number): number {
  const result = a * b;
  if (!Number.isSafeInteger(result)) throw new PresageError('INTERNAL', `${a} times ${b} is not exact`);
  return result;
}

/** `⌊a ÷ b⌋` of non-negative integers, b > 0. */
export const quotient = (a: number, b: number): number => Math.floor(a / b);

/** `⌊a · b ÷ c⌋`, the product checked. */
export const scaled = (a: number, b: number, c: number): number => quotient(product(a, b), c);

export const within = (value: number, [low, high]: readonly [number, number]): number =>
  Math.max(low, Math.min(high, value));

/** Order of ids and names that are ASCII: by code units, which is by bytes. */
export const byBytes = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
