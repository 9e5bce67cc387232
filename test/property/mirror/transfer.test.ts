import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PopId } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { type ChunkCall, Transfer } from '../../../protocol/transfer.ts';

const pop = (n: number) => `12D3KooW${'1'.repeat(43)}${n}` as PopId;

describe('a transfer', () => {
  it('ends with every chunk fetched once while one honest holder is left, whatever the others do', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 0, max: 3 }),
        (seed, chunks, liars) => {
          const random = seededRandom(seed);
          const holders = Array.from({ length: liars + 1 }, (_, n) => ({
            pop: pop(n + 1),
            roundTripMs: random.float() < 0.3 ? undefined : random.float() * 200,
          }));
          const honest = pop(liars + 1);
          const transfer = new Transfer(
            Array.from({ length: chunks }, (_, n) => n),
            holders,
          );
          const arrived: number[] = [];
          let flying: ChunkCall[] = [];
          let steps = 0;
          while (!transfer.done) {
            expect(transfer.exhausted).toBe(false);
            for (let call = transfer.next(); call; call = transfer.next()) flying.push(call);
            expect(flying.length).toBeGreaterThan(0);
            expect(flying.length).toBeLessThanOrEqual(8);
            const [call] = flying.splice(Math.floor(random.float() * flying.length), 1);
            if (call!.source === honest) {
              arrived.push(call!.index);
              transfer.arrived(call!.index);
            } else {
              const roll = random.float();
              transfer.failed(call!.index, roll < 0.3 ? 'mismatch' : roll < 0.6 ? 'timeout' : 'refused');
            }
            expect(++steps).toBeLessThan(chunks + 40);
          }
          flying = [];
          expect([...new Set(arrived)].sort((a, b) => a - b)).toEqual(
            Array.from({ length: chunks }, (_, n) => n),
          );
          expect(arrived).toHaveLength(chunks);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('says when nobody is left to ask', () => {
    const transfer = new Transfer([0], [{ pop: pop(1), roundTripMs: 5 }]);
    const call = transfer.next();
    transfer.failed(call!.index, 'mismatch');
    expect(transfer.next()).toBeUndefined();
    expect(transfer.exhausted).toBe(true);
  });

  it('needs nobody when nothing is missing', () => {
    expect(new Transfer([], []).done).toBe(true);
  });
});
