import { describe, expect, it } from 'vitest';
import type { Key16, PopId } from '../../../protocol/ids.ts';
import { originDelayMs, RANK_STEP_MS } from '../../../protocol/origin-ranking.ts';
import { rendezvous } from '../../../protocol/rendezvous.ts';

const pops = ['a', 'b', 'c', 'd', 'e'] as unknown as PopId[];
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;

describe('the ranking for an origin fetch', () => {
  it('sends exactly one PoP at once and the others in steps', () => {
    for (let n = 0; n < 50; n += 1) {
      const delays = pops.map((pop) => originDelayMs(key(n), new Map(), pop, pops)).sort((a, b) => a! - b!);
      expect(delays).toEqual([0, 2, 3, 4, 5].map((rank) => rank * RANK_STEP_MS));
    }
  });

  it('does not depend on the order in which the roster is known, and changes with the fence', () => {
    const first = (seq: number, roster: PopId[]) =>
      roster.find((pop) => originDelayMs(key(1), new Map([['a' as PopId, seq]]), pop, roster) === 0);
    const firsts = Array.from({ length: 20 }, (_, seq) => first(seq, pops));
    expect(Array.from({ length: 20 }, (_, seq) => first(seq, [...pops].reverse()))).toEqual(firsts);
    expect(new Set(firsts).size).toBeGreaterThan(2);
  });

  it('spreads keys evenly, and moves only those of a PoP that leaves', () => {
    const count = new Map<string, number>();
    for (let n = 0; n < 5_000; n += 1) {
      const order = rendezvous(key(n), pops);
      count.set(order[0]!, (count.get(order[0]!) ?? 0) + 1);
      expect(
        rendezvous(
          key(n),
          pops.filter((pop) => pop !== order[4]),
        )[0],
      ).toBe(order[0]);
    }
    for (const held of count.values()) expect(Math.abs(held - 1_000)).toBeLessThan(150);
  });
});
