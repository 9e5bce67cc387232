import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextKeep, smoothSchedule, spreadOverflow } from '../../../protocol/overflow.ts';

const SEED = 20261123;
/** Up to where helpers are filled, in sixteenths of a PoP's capacity. */
const TARGET = 11;
/** Answers by which a PoP may be ahead of or behind its share at any time. */
const LAG = 1.5;

const worlds = fc
  .array(fc.record({ load: fc.nat(15), available: fc.boolean() }), { minLength: 1, maxLength: 12 })
  .chain((pops) =>
    fc.record({
      pops: fc.constant(pops.map((pop, at) => ({ id: `pop-${at}`, ...pop }))),
      rows: fc.array(
        fc.array(fc.nat(300), { minLength: pops.length, maxLength: pops.length }).map((cost) => ({
          cost,
          order: pops
            .map((_, at) => at)
            .filter((at) => pops[at]!.available)
            .sort((a, b) => cost[a]! - cost[b]! || a - b),
        })),
        { minLength: 1, maxLength: 8 },
      ),
    }),
  );

describe('overflow', () => {
  it('never fills a helper beyond its target, sends nothing to the unavailable, and keeps shares whole', () => {
    fc.assert(
      fc.property(worlds, ({ pops, rows }) => {
        const keep = nextKeep(pops, 1, undefined);
        const { shares, received } = spreadOverflow(pops, rows, keep, undefined);
        for (const { id, load, available } of pops) {
          const taken = received.get(id) ?? 0;
          if (taken > 0) expect(available && load + taken <= TARGET + 1e-6, id).toBe(true);
        }
        for (const [row, list] of shares) {
          expect(list[0]![0]).toBe(rows[row]!.order[0]);
          expect(list.reduce((sum, [, share]) => sum + share, 0)).toBeCloseTo(1, 6);
          for (const [pop, share] of list) expect(share >= 0 && pops[pop]!.available).toBe(true);
          // The first keeps what it should, and more only where there was no room elsewhere.
          expect(list[0]![1]).toBeGreaterThanOrEqual(keep.get(pops[list[0]![0]]!.id)! - 1e-6);
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  it('is interleaved so that every run of answers is close to its shares', () => {
    const shares = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(shares, (weights) => {
        const total = weights.reduce((a, b) => a + b, 0);
        const schedule = smoothSchedule(
          weights.map((weight, pop) => [pop, weight / total]),
          64,
        );
        const counts = weights.map(() => 0);
        schedule.forEach((pop, turn) => {
          counts[pop]! += 1;
          weights.forEach((weight, at) => {
            expect(Math.abs(counts[at]! - ((turn + 1) * weight) / total)).toBeLessThanOrEqual(LAG);
          });
        });
      }),
      { seed: SEED, numRuns: 200 },
    );
  });
});
