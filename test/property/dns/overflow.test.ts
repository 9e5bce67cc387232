import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextControl, smoothSchedule, spreadOverflow } from '../../../protocol/overflow.ts';

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
        const control = nextControl(pops, 1, undefined);
        const { keep } = control;
        const { shares, received } = spreadOverflow(pops, rows, control);
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

  it('gives the demand of the lost to the nearest that have room, and fills none beyond its target while one has', () => {
    fc.assert(
      fc.property(worlds, fc.array(fc.nat(15), { minLength: 12, maxLength: 12 }), ({ pops, rows }, loads) => {
        const before = { ...nextControl([], 0, undefined), received: new Map<string, number>() };
        const lost = new Map(pops.flatMap(({ id, available }, at) => (available ? [] : [[id, loads[at]!]])));
        const control = nextControl(pops, 1, { ...before, lost });
        expect(control.lost).toEqual(lost);
        const gone = pops.findIndex(({ available }) => !available);
        const orphans = rows.map((row) => ({ ...row, lost: gone < 0 ? undefined : gone }));
        const { shares, received } = spreadOverflow(pops, orphans, control);
        for (const [row, list] of shares) {
          expect(list.reduce((sum, [, share]) => sum + share, 0)).toBeCloseTo(1, 6);
          for (const [pop, share] of list) expect(share >= 0 && pops[pop]!.available).toBe(true);
          if (gone < 0) continue;
          // A farther one takes a part only where every nearer one is full.
          const { order } = orphans[row]!;
          const farthest = Math.max(...list.map(([pop]) => order.indexOf(pop)));
          for (const pop of order.slice(0, farthest)) {
            const { id, load } = pops[pop]!;
            const full = load + (received.get(id) ?? 0) >= TARGET - 1e-6 || control.keep.get(id)! < 1;
            expect(full, id).toBe(true);
          }
        }
        for (const { id, load } of pops)
          if (received.has(id)) expect(load + received.get(id)!).toBeLessThanOrEqual(TARGET + 1e-6);
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
