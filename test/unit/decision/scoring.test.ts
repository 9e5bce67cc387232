import { describe, expect, it } from 'vitest';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import { smooth } from '../../../protocol/demand-vector.ts';
import { reweigh, SAMPLE_KEYS, scoreOf } from '../../../protocol/scoring.ts';
import { transition } from '../../../protocol/transition.ts';
import {
  cell,
  entry,
  originOf,
  proposal,
  REGIONS,
  SITES,
  START,
  trust,
} from '../../property/decision/cluster.ts';

const chain = (height: number) => height.toString(16).padStart(64, '0');
const [EAST] = REGIONS;

/** Requests of a key in the window that begins at a height, thousandths. */
const truth = (number: number, height: number) => 1000 * ((number * 7 + height * 3) % 20);

/** Heights at which slot s forecasts the truth times `factors[s]`. */
function run(factors: readonly number[], heights: number, state: DecidedState = originOf(factors.length)) {
  let now = state;
  const from = now.height + 1;
  for (let height = from; height < from + heights; height += 1) {
    const included = factors.map((factor, slot) => ({
      slot,
      proposal: proposal({
        at: START + height * 1000,
        entries: Array.from({ length: 100 }, (_, number) =>
          entry(number, [
            cell(EAST!, { next: factor * truth(number, height), observed: truth(number, height - 2) }),
          ]),
        ),
      }),
    }));
    now = transition(now, chain(height - 1), included, trust);
  }
  return now;
}

describe('what a word counts', () => {
  it('follows how well it forecast what was then agreed to have happened', () => {
    expect(run([1, 1, 1, 9], 2).members.map(({ weight }) => weight)).toEqual([500, 500, 500, 500]);
    const weights = run([1, 1, 1, 9], 40).members.map(({ weight }) => weight);
    for (const weight of weights.slice(0, 3)) expect(weight).toBeGreaterThan(950);
    expect(weights[3]).toBeLessThan(10);
  });

  it('comes back with good forecasts', () => {
    const fallen = run([1, 1, 1, 9], 40);
    expect(run([1, 1, 1, 1], 40, fallen).members[3]?.weight).toBeGreaterThan(950);
  });

  it('stays as it is while a PoP is away, and where there is nothing to score on', () => {
    let state = run([1, 1, 1, 9], 20);
    const before = state.members[0]?.weight;
    for (let i = 0; i < 4; i += 1) {
      const included = state.members.map((_, slot) => ({ slot, proposal: undefined }));
      state = transition(state, chain(1), included.slice(1), trust);
    }
    // Of the two heights before it left, it is still scored: nothing was seen of what it forecast.
    const left = state.members[0]!.weight;
    expect(left).toBeLessThan(before!);
    state = transition(state, chain(9), [], trust);
    expect(state.members[0]?.weight).toBe(left);
  });

  it('is scored on 64 keys, others at every height', () => {
    const a = run([1, 1, 1, 1], 5);
    const [older, newer] = a.samples.map(({ keys }) => keys.map(({ key16 }) => key16));
    expect(older).toHaveLength(SAMPLE_KEYS);
    expect(newer).not.toEqual(older);
  });

  it('is exact: scores and steps as specified', () => {
    expect(scoreOf(0, 0)).toBe(1000);
    expect(scoreOf(500, 10_000)).toBe(950);
    expect(scoreOf(10_000_000, 10_000)).toBe(1);
    expect(reweigh(500, 1000)).toBe(562);
    expect(reweigh(1, 1)).toBe(1);
  });
});

describe('smoothed demand', () => {
  it('rises by halves, falls by quarters, and holds still within a sixteenth', () => {
    expect(smooth(1000, 2000)).toBe(1500);
    expect(smooth(1000, 0)).toBe(750);
    expect(smooth(1000, 1062)).toBe(1000);
    expect(smooth(1000, 938)).toBe(1000);
    let value = 5;
    for (let i = 0; i < 20; i += 1) value = smooth(value, 0);
    expect(value).toBe(0);
  });

  const height = (state: DecidedState, cells: Parameters<typeof entry>[1]) =>
    transition(
      state,
      chain(state.height),
      state.members.map((_, slot) => ({
        slot,
        proposal: proposal({ entries: cells.length > 0 ? [entry(1, cells)] : [] }),
      })),
      trust,
    );

  it('takes the first word in full, does not follow a flutter, and forgets what nobody speaks of', () => {
    let state = height(originOf(4), [cell(EAST!, { mean: 10_000 })]);
    expect(state.vector[0]?.cells[0]).toMatchObject({ expected: 10_000, credit: 800 });
    state = height(state, [cell(EAST!, { mean: 10_400, credit: 790 })]);
    expect(state.vector[0]?.cells[0]).toMatchObject({ expected: 10_000, credit: 800 });
    state = height(state, [cell(EAST!, { mean: 20_000 })]);
    expect(state.vector[0]?.cells[0]?.expected).toBe(15_000);
    for (let i = 0; i < 16; i += 1) state = height(state, []);
    expect(state.vector).toEqual([]);
  });

  it('a region that has asked needs no mirror any more, at once', () => {
    let state = height(originOf(4), [cell(EAST!)]);
    state = height(state, [cell(EAST!, { mean: 0, chance: 0, credit: 0, holder: 1 })]);
    expect(state.vector[0]).toMatchObject({
      site: SITES[0],
      cells: [{ credit: 0, expected: 0, holder: true }],
    });
  });
});
