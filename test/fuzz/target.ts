/** What a decoder's input looks like, which decides how it is mutated. */
export type Shape = 'messagepack' | 'text' | 'bytes';

/** One decoder that reads from outside. */
export interface Target {
  readonly name: string;
  readonly shape: Shape;
  /** Valid inputs, from which all others are made. */
  readonly seeds: readonly Uint8Array[];
  /** Words of its grammar that are put into text. */
  readonly words?: readonly string[];
  /** Bytes of the largest input that is tried. Default 4,096; real limits above that are tried now and then. */
  readonly maxBytes?: number;
  /** Of the inputs of a run, beside those of others. Default 1; less where each costs a signature or a file. */
  readonly share?: number;
  /** Decodes, and checks what must hold of the result. Throws what the decoder throws, or a `Violation`. */
  run(input: Uint8Array): unknown;
}

/** Something that must hold of what a decoder gives, and does not. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export function mustHold(holds: boolean, what: string): void {
  if (!holds) throw new Violation(what);
}

/** A decoder with its encoder: what was decoded, encoded and decoded again is the same, byte for byte. */
export function roundTrip<T>(
  decode: (input: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
): (input: Uint8Array) => void {
  return (input) => {
    const before = Buffer.from(input);
    const value = decode(input);
    mustHold(before.equals(input), 'the decoder has changed its input');
    const once = encode(value);
    const twice = encode(decode(once));
    mustHold(Buffer.from(once).equals(twice), 'what was decoded encodes in two ways');
  };
}

export const textOf = (input: Uint8Array): string => Buffer.from(input).toString('latin1');
export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
