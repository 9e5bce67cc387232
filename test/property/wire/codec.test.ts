import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { PresageError } from '../../../protocol/errors.ts';
import { decode, encode } from '../../../protocol/wire/codec.ts';
import { prescan } from '../../../protocol/wire/prescan.ts';
import { bytes, key16, rows, text, uint } from '../../../protocol/wire/schemas.ts';

const row = v.strictTuple([key16, uint(), text(32)]);
const spec = {
  name: 'sample',
  schema: v.strictTuple([v.literal(1), rows(row, 50), bytes(64)]),
  maxBytes: 4096,
};

const sample = fc.tuple(
  fc.constant(1 as const),
  fc.array(
    fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.maxSafeNat(), fc.string({ maxLength: 8 })),
    {
      maxLength: 50,
    },
  ),
  fc.uint8Array({ maxLength: 64 }),
);

/** Plain data of any shape that MessagePack has. */
const anything = fc.anything({ withBigInt: false, withDate: false, withTypedArray: false, maxDepth: 4 });

const attempt = (input: Uint8Array) => {
  try {
    return decode(input, spec);
  } catch (error) {
    expect(error).toBeInstanceOf(PresageError);
    expect((error as PresageError).code).toMatch(/^WIRE_/);
    return undefined;
  }
};

describe('the wire codec', () => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(sample, (value) => {
        const decoded = decode(encode(value), spec);
        expect(decoded[1].map((r) => [r[1], r[2]])).toEqual(value[1].map((r) => [r[1], r[2]]));
        expect(decoded[1].map((r) => r[0])).toEqual(value[1].map((r) => Buffer.from(r[0]).toString('hex')));
        expect([...decoded[2]]).toEqual([...value[2]]);
      }),
    );
  });

  it('meets garbage, truncation and altered bytes with a coded error alone', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (input) => void attempt(input)));
    fc.assert(
      fc.property(sample, fc.nat(), fc.nat(255), (value, position, byte) => {
        const good = encode(value);
        const at = position % good.length;
        attempt(good.subarray(0, at));
        const altered = good.slice();
        altered[at] = byte;
        attempt(altered);
      }),
    );
  });

  it('refuses data of another shape', () => {
    fc.assert(
      fc.property(anything, (value) => {
        let input: Uint8Array;
        try {
          input = encode(value);
        } catch {
          return;
        }
        expect(attempt(input)).toBeUndefined();
      }),
    );
  });
});

describe('the prescan', () => {
  const limits = { depth: 4, elements: 100 };
  const codeOf = (input: number[] | Uint8Array) => {
    try {
      prescan(Uint8Array.from(input), limits);
      return 'accepted';
    } catch (error) {
      return (error as PresageError).code;
    }
  };

  it('refuses depth, count, extensions, lengths beyond the buffer and trailing bytes, each by its code', () => {
    expect(codeOf([0x91, 0x91, 0x91, 0x91, 0x00])).toBe('accepted');
    expect(codeOf([0x91, 0x91, 0x91, 0x91, 0x91, 0x00])).toBe('WIRE_TOO_DEEP');
    expect(codeOf([0xdc, 0, 120, ...new Array<number>(120).fill(0)])).toBe('WIRE_TOO_MANY');
    expect(codeOf([0xd4, 0, 0])).toBe('WIRE_EXTENSION');
    expect(codeOf([0xc7, 1, 0, 0])).toBe('WIRE_EXTENSION');
    expect(codeOf([0xc1])).toBe('WIRE_EXTENSION');
    expect(codeOf([0xdd, 0xff, 0xff, 0xff, 0xff])).toBe('WIRE_TRUNCATED');
    expect(codeOf([0xc6, 0xff, 0xff, 0xff, 0xff, 1])).toBe('WIRE_TRUNCATED');
    expect(codeOf([])).toBe('WIRE_TRUNCATED');
    expect(codeOf([0x00, 0x00])).toBe('WIRE_TRAILING');
  });

  it('accepts whatever the encoder makes within the limits', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.maxSafeInteger(), fc.string(), fc.boolean(), fc.double()), { maxLength: 90 }),
        (value) => prescan(encode(value), limits),
      ),
    );
  });
});
