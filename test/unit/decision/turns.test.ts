import { describe, expect, it } from 'vitest';
import type { VectorResource } from '../../../protocol/demand-vector.ts';
import { proposalBytesMax } from '../../../protocol/proposal.ts';
import { NO_TURNS, type Turns, turnOf, turnsAfter } from '../../../protocol/turns.ts';
import { key16, REGIONS, SITES } from '../../property/decision/cluster.ts';

const resources = (count: number, from = 0): VectorResource[] =>
  Array.from({ length: count }, (_, n) => ({
    ...{ key16: key16(from + n), site: SITES[0]!, sizeClass: 100 },
    cells: REGIONS.slice(0, 1 + (n % 3)).map((region) => ({
      ...{ region, expected: 1000, chance: 500, credit: 400, held: false, holder: false },
    })),
  })).sort((a, b) => (a.key16 < b.key16 ? -1 : 1));

describe('turns', () => {
  it.each([
    ['little, at every height', 30, 5, 5, 1],
    ['what fits, by quarters', 1_000, 5, 5, 4],
    ['more, in as many heights as it takes', 20_000, 5, 5, 41],
    ['more of it where committees share the work', 20_000, 300, 13, 9],
  ])('take up %s', (_, count, pops, speakers, heights) => {
    const vector = resources(count);
    const seen: string[] = [];
    let turns: Turns = NO_TURNS;
    let taken = 0;
    for (; turns.cycle === 0; taken += 1) {
      const turn = turnOf(vector, turns, pops, speakers);
      expect(turn.heights).toBe(heights);
      const keys = vector.slice(turn.first, turn.end).map((one) => one.key16);
      // Where all speak on all it is no more than half of a proposal.
      const bytes = keys.length * 66 * (speakers / pops);
      expect(bytes).toBeLessThan(1.1 * Math.max(4_096, Math.min(32_768, proposalBytesMax(pops) / 2)));
      seen.push(...keys);
      turns = turnsAfter(vector, turns, turn);
    }
    expect(seen).toEqual(vector.map((one) => one.key16));
    expect(Math.abs(taken - heights)).toBeLessThanOrEqual(1);
  });

  it('pass nobody over while resources come and go', () => {
    let turns: Turns = NO_TURNS;
    const lasting = new Set(resources(2_000).map((one) => one.key16));
    const seen = new Set<string>();
    for (let height = 0; turns.cycle === 0; height += 1) {
      const vector = [...resources(2_000), ...resources(500, 10_000 + 300 * height)].sort((a, b) =>
        a.key16 < b.key16 ? -1 : 1,
      );
      const turn = turnOf(vector, turns, 5, 5);
      for (const one of vector.slice(turn.first, turn.end)) seen.add(one.key16);
      turns = turnsAfter(vector, turns, turn);
    }
    expect([...lasting].filter((key) => !seen.has(key))).toEqual([]);
  });

  it('go round though there is nothing', () => {
    const turn = turnOf([], NO_TURNS, 1, 1);
    expect(turn).toMatchObject({ first: 0, end: 0, heights: 1, steps: 1, fade: 1 });
    expect(turnsAfter([], NO_TURNS, turn)).toEqual({ ...NO_TURNS, cycle: 1 });
  });
});
