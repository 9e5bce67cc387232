import type { Random } from '../../protocol/ports.ts';
import { encode } from '../../protocol/wire/codec.ts';
import { anything, mutateMessage, rawMessage } from './message-pack.ts';
import { bytesOf, type Target } from './target.ts';

const below = (random: Random, limit: number): number => Math.floor(random.float() * limit);
const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;

/** Characters and words at which parsers of text stumble. */
const WORDS = [
  ...[
    ' ',
    '\t',
    '\r\n',
    '\n',
    '\0',
    '"',
    "'",
    '\\',
    '\\"',
    ',',
    ';',
    '=',
    ':',
    '/',
    '?',
    '#',
    '%',
    '%2F',
    '%00',
  ],
  ...[
    '..',
    '()',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '-',
    '+',
    '*',
    '@',
    '&',
    '<',
    '>',
    '|',
    '~',
    '\x7f',
    '\xff',
    '\xc3\xa9',
  ],
  ...[
    '0',
    '1',
    '-1',
    '00',
    '2147483648',
    '9007199254740993',
    '1e999',
    'NaN',
    'null',
    'true',
    '__proto__',
    '0x10',
  ],
];

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** A slice of an input. */
function cut(random: Random, input: Uint8Array): Uint8Array {
  const from = below(random, input.length + 1);
  return input.subarray(from, from + 1 + below(random, Math.min(64, input.length + 1)));
}

function editBytes(random: Random, input: Uint8Array, words: readonly string[]): Uint8Array {
  const at = below(random, input.length + 1);
  const [head, tail] = [input.subarray(0, at), input.subarray(at)];
  switch (below(random, 10)) {
    case 0: {
      const copy = Uint8Array.from(input);
      if (at < copy.length) copy[at] = random.uint32() & 255;
      return copy;
    }
    case 1: {
      const copy = Uint8Array.from(input);
      if (at < copy.length) copy[at]! ^= 1 << below(random, 8);
      return copy;
    }
    case 2: {
      const copy = Uint8Array.from(input);
      if (at < copy.length) copy[at] = pick(random, [0, 1, 0x7f, 0x80, 0xff, 0xc0, 0x3f, 0x40]);
      return copy;
    }
    case 3:
      return head;
    case 4:
      return concat([head, tail.subarray(1 + below(random, 16))]);
    case 5:
      return concat([head, cut(random, input), tail]);
    case 6: {
      // Two or four bytes of a length that is too much, or nothing.
      const width = pick(random, [2, 4]);
      return concat([head, new Uint8Array(width).fill(pick(random, [0, 0xff, 0x7f])), tail.subarray(width)]);
    }
    case 7:
      return concat([
        head,
        Uint8Array.from({ length: 1 + below(random, 8) }, () => random.uint32() & 255),
        tail,
      ]);
    default:
      return concat([head, bytesOf(pick(random, words)), tail]);
  }
}

/** One pattern over and over, up to the largest input: what takes too long shows here. */
function swell(random: Random, input: Uint8Array, words: readonly string[], limit: number): Uint8Array {
  const at = below(random, input.length + 1);
  const unit = random.float() < 0.5 ? bytesOf(pick(random, words)) : cut(random, input);
  const room = Math.max(0, limit - input.length);
  const times = unit.length === 0 ? 0 : Math.floor(room / unit.length);
  return concat([
    input.subarray(0, at),
    new Uint8Array(Buffer.alloc(times * unit.length, times > 0 ? unit : 0)),
    input.subarray(at),
  ]);
}

/** Inputs of one target, made of its seeds and of what was interesting so far. */
export class Mutation {
  readonly #random: Random;
  readonly #target: Target;
  readonly #words: readonly string[];
  readonly #pool: Uint8Array[];
  readonly #limit: number;

  constructor(target: Target, random: Random) {
    this.#target = target;
    this.#random = random;
    this.#words = [...WORDS, ...(target.words ?? []), ...(target.words ?? [])];
    this.#pool = [...target.seeds];
    this.#limit = target.maxBytes ?? 4_096;
  }

  get size(): number {
    return this.#pool.length;
  }

  /** To be made more of: an input that came to an outcome which no other has had. */
  keep(input: Uint8Array): void {
    if (this.#pool.length < 4_096 && input.length <= 8_192) this.#pool.push(input);
  }

  next(): Uint8Array {
    const random = this.#random;
    const chance = random.float();
    // The seeds count as much as all that was found since.
    const pool = random.float() < 0.5 ? this.#target.seeds : this.#pool;
    const from = pool.length === 0 ? new Uint8Array(0) : pick(random, pool);
    if (chance < 0.002) return swell(random, from, this.#words, this.#limit);
    if (this.#target.shape === 'messagepack') {
      if (chance < 0.5) return mutateMessage(random, from);
      if (chance < 0.54) return encode(anything(random));
      if (chance < 0.58) return rawMessage(random);
    }
    if (chance > 0.95)
      return concat([
        from.subarray(0, below(random, from.length + 1)),
        cut(random, pick(random, this.#pool)),
      ]);
    let out = from;
    for (let edits = 1 + below(random, 2 ** below(random, 4)); edits > 0; edits -= 1)
      out = editBytes(random, out, this.#words);
    return out.length > this.#limit ? out.subarray(0, this.#limit) : out;
  }
}
