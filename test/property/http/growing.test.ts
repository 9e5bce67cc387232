import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GrowingBody, WINDOW_BYTES } from '../../../node/http/growing.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { ContentHash } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** Bytes whose value follows from their offset, so that any slip shows. */
function contentOf(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(at, at);
  return bytes;
}

const reader = fc.record({
  joinsAt: fc.nat(30),
  start: fc.double({ min: 0, max: 1, noNaN: true }),
  end: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
  pace: fc.nat(6),
  leavesAfter: fc.option(fc.nat(20)),
});

describe('a growing body', () => {
  it('gives every reader exactly the bytes it asked for, or an error; and never stalls the store for a reader', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 * WINDOW_BYTES }),
        fc.array(reader, { maxLength: 6 }),
        fc.constantFrom('stored', 'not stored', 'store fails midway', 'origin fails midway'),
        fc.nat(),
        async (size, readers, fate, seed) => {
          const random = seededRandom(seed);
          const content = contentOf(size);
          const hash = createHash('sha256').update(content).digest('hex') as ContentHash;
          const body = new GrowingBody({
            async *read(_hash, start = 0, end = size) {
              for (let at = start; at < Math.min(end, size); at += 65_536) {
                await turns(1);
                yield content.subarray(at, Math.min(at + 65_536, end, size));
              }
            },
          });
          let storing = fate === 'stored' || fate === 'store fails midway' || fate === 'origin fails midway';
          if (!storing) body.stored(undefined);
          const read = async (plan: (typeof readers)[number]) => {
            await turns(plan.joinsAt);
            const start = Math.floor(plan.start * size);
            const end = plan.end === null ? size : Math.max(start, Math.floor(plan.end * size));
            const parts: Uint8Array[] = [];
            try {
              for await (const part of body.read(start, end)) {
                parts.push(part);
                if (plan.leavesAfter !== null && parts.length > plan.leavesAfter) return 'left';
                await turns(plan.pace);
              }
            } catch (error) {
              expect(error).toBeInstanceOf(PresageError);
              const got = Buffer.concat(parts);
              expect(got.equals(content.subarray(start, start + got.length))).toBe(true);
              return 'failed';
            }
            expect(Buffer.concat(parts).equals(content.subarray(start, end))).toBe(true);
            return 'whole';
          };
          const reading = readers.map(read);
          const pumped = (async () => {
            for (let at = 0; at < size; ) {
              const length = Math.min(size - at, 1 + Math.floor(random.float() * 200_000));
              body.push(content.subarray(at, at + length));
              at += length;
              if (at > size / 2 && fate === 'store fails midway' && storing) {
                storing = false;
                body.stored(undefined);
              }
              if (at > size / 2 && fate === 'origin fails midway') {
                body.fail(new PresageError('ORIGIN_UNREACHABLE'));
                return;
              }
              await turns(1);
              if (!storing) {
                // With nobody there to read, the body is given up after a while, as the fill does when it is told to.
                const room = await Promise.race([body.room(), turns(200).then(() => false)]);
                if (!room) {
                  body.fail(new PresageError('CANCELLED'));
                  return;
                }
              }
            }
            body.end();
            body.stored(storing ? hash : undefined);
          })();
          await pumped;
          const results = await Promise.all(reading);
          if (fate === 'stored') expect(results).not.toContain('failed');
        },
      ),
      { numRuns: 60 },
    ));
});
