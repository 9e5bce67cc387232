import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CALL, CANCEL, frameReader, HEADER_BYTES } from '../../../node/adapters/streams-frame.ts';
import { PresageError } from '../../../protocol/errors.ts';

const LIMIT = 2_000;
const kind = fc.constantFrom(CALL, CANCEL);
const frames = fc.array(
  fc.record({
    call: fc.nat(0xffff_ffff),
    kind,
    payload: fc.uint8Array({ maxLength: 300 }),
    wanted: fc.boolean(),
  }),
  { maxLength: 20 },
);

function encodeFrame(call: number, kind: number, payload: Uint8Array): Buffer {
  const out = Buffer.alloc(HEADER_BYTES + payload.length);
  out.writeUInt32BE(payload.length, 0);
  out.writeUInt32BE(call, 4);
  out[8] = kind;
  out.set(payload, HEADER_BYTES);
  return out;
}

/** Cuts `bytes` at the given places, as a network might; some pieces come together in one list. */
function pieces(bytes: Buffer, cuts: readonly number[]): (Uint8Array | Uint8Array[])[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const out: (Uint8Array | Uint8Array[])[] = [];
  let from = 0;
  for (const [i, to] of [...places, bytes.length].entries()) {
    const piece = new Uint8Array(bytes.subarray(from, to));
    if (i % 3 === 2) out.push([piece.subarray(0, piece.length >> 1), piece.subarray(piece.length >> 1)]);
    else out.push(piece);
    from = to;
  }
  return out;
}

describe('frames', () => {
  it('come out whole and in order however they are cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(10_000), { maxLength: 40 }), (sent, cuts) => {
        const received: { call: number; kind: number; payload: Uint8Array }[] = [];
        let next = 0;
        const reader = frameReader({
          limit: () => LIMIT,
          begin: () => sent[next++]?.wanted ?? false,
          end: (call, kind, payload) => received.push({ call, kind, payload }),
        });
        const bytes = Buffer.concat(sent.map(({ call, kind, payload }) => encodeFrame(call, kind, payload)));
        for (const piece of pieces(bytes, cuts)) reader.push(piece);
        expect(received).toEqual(
          sent.filter(({ wanted }) => wanted).map(({ call, kind, payload }) => ({ call, kind, payload })),
        );
      }),
    );
  });
  it('of random bytes either come out within the limits or are refused with a code', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
        const reader = frameReader({
          limit: (kind) => (kind === CALL ? 64 : kind === CANCEL ? 0 : undefined),
          begin: () => true,
          end: (_call, kind, payload) => {
            expect(payload.length).toBeLessThanOrEqual(kind === CALL ? 64 : 0);
          },
        });
        try {
          for (const chunk of chunks) reader.push(chunk);
        } catch (error) {
          if (!(error instanceof PresageError)) throw error;
          expect(['WIRE_TOO_LARGE', 'WIRE_SCHEMA']).toContain(error.code);
        }
      }),
    );
  });
});
