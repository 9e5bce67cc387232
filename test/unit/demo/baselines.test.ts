import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bestSizeLimited,
  bestThreshold,
  reactive,
  type ServedRequest,
} from '../../../node/demo/baselines.ts';

const POPS = ['a', 'b', 'c'];
const served = (...rows: [key: string, pop: string, size: number][]): ServedRequest[] =>
  rows.map(([key, pop, size]) => ({ key, pop, size }));

describe('reactive caches', () => {
  it('miss each pair once', () => {
    const outcome = reactive(served(['x', 'a', 10], ['x', 'a', 10], ['x', 'b', 10], ['y', 'a', 5]));
    expect(outcome).toEqual({ hitRatio: 0.25, pairs: 3, originBytes: 25, originBytesWithPeers: 15 });
  });

  it('of nothing is nothing', () => {
    expect(reactive([]).hitRatio).toBe(0);
  });
});

describe('mirroring everywhere after k requests', () => {
  const stream = served(
    ['x', 'a', 10],
    ['x', 'a', 10],
    ['x', 'b', 10],
    ['x', 'c', 10],
    ['y', 'b', 100],
    ['y', 'a', 100],
    ['z', 'c', 1],
  );

  it('k = 1 with enough budget avoids every cold miss after a first', () => {
    expect(bestThreshold(stream, POPS, 1000)).toEqual({
      k: 1,
      pairs: 3,
      mirroredBytes: 2 * 10 + 2 * 100 + 2 * 1,
      unusedBytes: 100 + 2,
    });
  });

  it('mixes the two rules between which the budget falls', () => {
    // k = 1 costs 222 for 3 pairs; k = 2 costs 20 + 100 for the two pairs of x; half-way lies 171.
    expect(bestThreshold(stream, POPS, 120)).toMatchObject({ k: 2, pairs: 2, mirroredBytes: 120 });
    expect(bestThreshold(stream, POPS, 171)).toMatchObject({ k: 1, pairs: 3, mirroredBytes: 171 });
  });

  it('a size limit takes the small resources first', () => {
    expect(bestSizeLimited(stream, POPS, 25)).toEqual({
      k: 1,
      sizeLimit: 10,
      pairs: 2,
      mirroredBytes: 22,
      unusedBytes: 2,
    });
  });

  it('agrees with a plain replay of the rule, and never exceeds the budget', () => {
    const row = fc.tuple(fc.constantFrom('x', 'y', 'z', 'u'), fc.constantFrom(...POPS));
    const sizes: Record<string, number> = { x: 3, y: 50, z: 8, u: 1000 };
    fc.assert(
      fc.property(fc.array(row, { maxLength: 60 }), fc.nat(3000), (rows, budget) => {
        const requests = rows.map(([key, pop]) => ({ key, pop, size: sizes[key]! }));
        const limited = bestSizeLimited(requests, POPS, budget);
        const plain = bestThreshold(requests, POPS, budget);
        expect(limited.mirroredBytes).toBeLessThanOrEqual(budget);
        expect(plain.mirroredBytes).toBeLessThanOrEqual(budget);
        const again = simulate(requests, limited.k, limited.sizeLimit ?? 0);
        expect([limited.pairs, limited.mirroredBytes]).toEqual(
          limited.sizeLimit === 0 ? [0, 0] : [again.pairs, again.bytes],
        );
      }),
    );
  });
});

/** The rule carried out request by request, as a machine would. */
function simulate(requests: readonly ServedRequest[], k: number, limit: number) {
  const held = new Set<string>();
  const mirrored = new Set<string>();
  const counts = new Map<string, number>();
  let pairs = 0;
  let bytes = 0;
  for (const { key, pop, size } of requests) {
    const pair = `${key} ${pop}`;
    if (mirrored.delete(pair)) pairs += 1;
    held.add(pair);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    if (count !== k || size > limit) continue;
    for (const other of POPS) {
      if (held.has(`${key} ${other}`)) continue;
      held.add(`${key} ${other}`);
      mirrored.add(`${key} ${other}`);
      bytes += size;
    }
  }
  return { pairs, bytes };
}
