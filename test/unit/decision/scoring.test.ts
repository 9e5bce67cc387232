import { describe, expect, it } from 'vitest';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import { smooth } from '../../../protocol/demand-vector.ts';
import { reweigh, SAMPLE_KEYS, SILENT, scoreOf } from '../../../protocol/scoring.ts';
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
  WINDOW,
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
        window: START + height * WINDOW,
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

  it('tells a liar from those who forecast what nobody can', () => {
    // Demand of single requests: all are off by more than there was, but some by a thousand times as much.
    let state = originOf(5);
    for (let height = 1; height <= 60; height += 1) {
      const came = (number: number, at: number) => ((number * 7 + at * 13) % 11 === 0 ? 1000 : 0);
      const included = state.members.map((_, slot) => {
        const entries = Array.from({ length: 100 }, (_, number) =>
          entry(number, [
            cell(EAST!, {
              next: slot === 1 ? 400_000 : 300 + 20 * slot,
              observed: came(number, height - 2),
            }),
          ]),
        );
        return { slot, proposal: proposal({ window: START + height * WINDOW, entries }) };
      });
      state = transition(state, chain(height - 1), included, trust);
    }
    const weights = state.members.map(({ weight }) => weight);
    expect(weights[1]).toBeLessThan(10);
    for (const slot of [0, 2, 3, 4]) expect(weights[slot]).toBeGreaterThan(700);
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
    // Nobody told what was seen of what it forecast before it left, and silence is not a zero.
    expect(state.members[0]?.weight).toBe(before);
    state = transition(state, chain(9), [], trust);
    expect(state.members[0]?.weight).toBe(before);
  });

  it('is scored on 64 keys, others at every height', () => {
    const a = run([1, 1, 1, 1], 5);
    const [asked, pending] = a.samples.map(({ keys }) => keys.map(({ key16 }) => key16));
    expect(asked).toHaveLength(SAMPLE_KEYS);
    expect(pending).not.toEqual(asked);
  });

  it('is exact: scores and steps as specified', () => {
    expect(scoreOf(0, 0, 0)).toBe(1000);
    expect(scoreOf(500, 10_000, 0)).toBe(950);
    expect(scoreOf(10_000_000, 10_000, 0)).toBe(1);
    expect(scoreOf(20_000, 10_000, 20_000)).toBe(1000);
    expect(scoreOf(25_000, 10_000, 20_000)).toBe(800);
    expect(scoreOf(10_000_000, 10_000, 20_000)).toBe(2);
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

describe('a forecast is held against the window that it was for', () => {
  const KEYS = 100;
  interface Step {
    /** Number of the window that the height's proposals forecast. */
    readonly window: number;
    /** By slot: how many windows behind the others its proposal is. */
    readonly late?: Readonly<Record<number, number>>;
    /** Whether anyone speaks. */
    readonly mute?: boolean;
  }
  const spanOf = (window: number) => START + window * WINDOW;

  /** Heights at which every PoP forecasts rightly but the last, and tells what it is asked. */
  function play(steps: readonly Step[], origin = originOf(4)) {
    let state = origin;
    const asked: number[] = [];
    for (const { window, late = {}, mute = false } of steps) {
      const [sample] = state.samples;
      const about = (sample.window - START) / WINDOW;
      if (sample.keys.length > 0) asked.push(about);
      const wanted = new Set(sample.keys.map(({ key16 }) => key16));
      const included = state.members.map((_, slot) => {
        const own = window - (late[slot] ?? 0);
        const factor = slot === 3 ? 9 : 1;
        const entries = Array.from({ length: KEYS }, (_, number) => {
          const { key16 } = entry(number, []);
          const observed = wanted.has(key16) ? truth(number, about) : 0;
          return entry(number, [cell(EAST!, { next: factor * truth(number, own), observed })]);
        });
        return { slot, proposal: mute ? undefined : proposal({ window: spanOf(own), entries }) };
      });
      state = transition(state, chain(state.height), included, trust);
    }
    return { state, asked, weights: state.members.map(({ weight }) => weight) };
  }
  const sound = ([a, b, c, wild]: readonly number[]) => {
    expect(Math.min(a!, b!, c!)).toBeGreaterThan(500);
    expect(new Set([a, b, c]).size).toBe(1);
    expect(wild).toBeLessThan(500);
  };

  it('where windows and heights go in step', () => {
    const { asked, weights } = play(Array.from({ length: 12 }, (_, window) => ({ window })));
    expect(asked).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    sound(weights);
  });

  it('where several heights fall into one window, which then counts once', () => {
    const { asked, weights } = play(Array.from({ length: 24 }, (_, i) => ({ window: i >> 2 })));
    expect(asked).toEqual([0, 1, 2, 3, 4]);
    sound(weights);
  });

  it('where heights are skipped: windows run ahead, unevenly', () => {
    const windows = [0, 2, 3, 6, 7, 9, 10, 13, 14, 15];
    const { asked, weights } = play(windows.map((window) => ({ window })));
    expect(asked).toEqual([0, 2, 3, 6, 7, 9, 10, 13]);
    sound(weights);
  });

  it('not at all after so long a silence that nobody knows any more what was seen', () => {
    const before = play([0, 1, 2, 3].map((window) => ({ window })));
    const after = play([{ window: 40 }, { window: 41 }], before.state);
    expect(after.weights).toEqual(before.weights);
    const { asked } = play([{ window: 42 }, { window: 43 }], after.state);
    expect(asked).toEqual([40, 41]);
  });

  it('a height at which nobody speaks leaves the question open', () => {
    const steps = [{ window: 0 }, { window: 1 }, { window: 2, mute: true }, { window: 2 }, { window: 3 }];
    const { asked, weights } = play(steps);
    expect(asked).toEqual([0, 0, 1]);
    sound(weights);
  });

  it('a proposal for another window counts least, and is not scored as if it were for this one', () => {
    const steps = Array.from({ length: 12 }, (_, window) => ({ window, late: { 0: window % 2 } }));
    const { state, weights } = play(steps);
    sound(weights.toSpliced(0, 1, weights[1]!));
    // Scored at half the heights, and there it was right.
    expect(weights[0]).toBeGreaterThan(500);
    expect(weights[0]).toBeLessThan(weights[1]!);
    const always = play(Array.from({ length: 12 }, (_, window) => ({ window, late: { 0: 1 } })));
    expect(always.weights[0]).toBe(500);
    for (const { said } of always.state.samples[1].keys) expect(said[0]).toBe(SILENT);
    for (const { agreed } of state.samples[1].keys) expect(agreed[0]![1] % 1000).toBe(0);
  });

  it('the late one carries no weight at that height', () => {
    const heavy = originOf(4);
    const members = heavy.members.map((member, slot) => ({ ...member, weight: slot === 0 ? 1000 : 10 }));
    const included = members.map((_, slot) => ({
      slot,
      proposal: proposal({
        window: spanOf(slot === 0 ? 4 : 5),
        entries: [entry(1, [cell(EAST!, { mean: [900, 100, 300, 200][slot]! })])],
      }),
    }));
    const { vector } = transition({ ...heavy, members }, chain(1), included, trust);
    // Of 200 and 300, which are left when the ends are cut off.
    expect(vector[0]?.cells[0]?.expected).toBe(200);
  });
});
