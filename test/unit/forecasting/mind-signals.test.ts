import { describe, expect, it } from 'vitest';
import { Mind } from '../../../forecasting/mind.ts';
import type { Beat } from '../../../forecasting/mind-answers.ts';
import { DEFAULT_TIMING, simulatedCharter } from '../../../node/simulator/presage-policy.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import type { Capacities, Summary } from '../../../protocol/summary.ts';

const eu = 'eu' as RegionId;
const us = 'us' as RegionId;
const MINUTE = 60_000;
const WINDOW = 10 * MINUTE;
const HORIZON = DEFAULT_TIMING.horizonMs;
const START = 1_000 * HORIZON;
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const members = [
  { id: 'a' as PopId, name: 'a', region: eu },
  { id: 'b' as PopId, name: 'b', region: us },
];
const capacities: Capacities = {
  ...{ storageBudgetMiB: 1_000, storageFreeMiB: 900, fillKiBps: 10_000, load: 0, state: 'up' },
};

/** A mind that lives through windows of ten minutes. */
class Life {
  readonly mind = new Mind({
    ...{ self: members[0]!.id, region: eu, members, historyBytes: 8 << 20, charterHash: '' },
    charter: simulatedCharter(
      [eu, us],
      {
        distances: [
          [5, 90],
          [90, 5],
        ],
      },
      DEFAULT_TIMING,
    ),
  });
  now = START;
  #sequence = 0;

  /** Ends a window in which each region asked for these. */
  window(asked: readonly (readonly [n: number, region: RegionId, count: number])[]): void {
    const from = this.now;
    this.now += WINDOW;
    for (const { id, region } of members) {
      this.#sequence += 1;
      const rows = asked.filter(([, where]) => where === region);
      const summary: Summary = {
        ...{ pop: id, sequence: this.#sequence, from, to: this.now, requests: rows.length, bytes: 0 },
        tail: { requests: 0, bytes: 0 },
        capacities,
        worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
        resources: rows.map(([n, where, count]) => ({
          ...{ key16: key(n), site: 'site' as SiteId, size: 1_000, kind: 2, group: 1, clients: [n, 0] },
          regions: [{ region: where, count, bytes: count * 1_000 }],
        })),
        companions: [],
      };
      this.mind.fold(summary);
    }
    const beat: Beat = {
      ...{ epoch: this.#sequence, now: this.now, at: this.now, window: this.now, windowMs: WINDOW },
      ...{ capacities, members },
    };
    this.mind.prepare(beat, []);
  }

  signal(n: number, region: RegionId): void {
    const signal = { source: 'feed', key16: key(n), strength: 8, at: this.now, region };
    expect(this.mind.signalled([signal], this.now)).toBe(1);
  }

  /** A horizon in which twenty resources appear in Europe, and America follows where a signal said so. */
  horizon(first: number, follows: boolean): void {
    const fresh = Array.from({ length: 20 }, (_, i) => first + i);
    this.window(fresh.map((n) => [n, eu, 1] as const));
    for (const n of fresh.slice(0, 3)) this.signal(n, us);
    for (let w = 1; w < HORIZON / WINDOW + 1; w += 1) {
      this.window(follows && w % 4 === 0 ? fresh.slice(0, 3).map((n) => [n, us, 3] as const) : []);
    }
  }
}

describe('a mind that hears signals', () => {
  it('expects more where they have been right, says so, and plans for it', () => {
    const life = new Life();
    for (let i = 0; i < 40; i += 1) life.horizon(100 * i, true);
    const [proved] = life.mind.status().signals;
    expect(proved?.trust).toBeGreaterThan(0.5);
    life.window([
      [9_000, eu, 1],
      [9_001, eu, 1],
    ]);
    life.signal(9_000, us);
    life.window([]);
    const reason = (n: number) =>
      life.mind.explain(key(n), life.now).explanation.reasons.find(({ region }) => region === us);
    const factor = reason(9_000)?.factors.find(({ feature }) => feature === 'signals')?.factor ?? 1;
    expect(factor).toBeGreaterThan(1.5);
    expect(reason(9_001)?.factors.some(({ feature }) => feature === 'signals')).toBe(false);
    const demand = (n: number) =>
      life.mind.explain(key(n), life.now).explanation.demand.find(({ region }) => region === us);
    expect(demand(9_000)?.expected ?? 0).toBeGreaterThan(1.5 * (demand(9_001)?.expected ?? 0));
    expect(demand(9_000)?.credit ?? 0).toBeGreaterThan(demand(9_001)?.credit ?? 0);
    // What was learned of the source outlives the process.
    const next = new Life();
    const { learned } = structuredClone(life.mind.changes(true));
    next.mind.restore({ rows: [], windows: [], accuracy: [], learned });
    expect(next.mind.status().signals).toEqual([{ ...life.mind.status().signals[0], open: 0 }]);
  });

  it('goes on as before where nothing comes of them', () => {
    const life = new Life();
    for (let i = 0; i < 12; i += 1) life.horizon(100 * i, false);
    expect(life.mind.status().signals).toMatchObject([{ source: 'feed', trust: 0, judged: 36 }]);
    life.window([[9_000, eu, 1]]);
    life.signal(9_000, us);
    life.window([]);
    const [reason] = life.mind.explain(key(9_000), life.now).explanation.reasons;
    expect(reason?.factors.some(({ feature }) => feature === 'signals')).toBe(false);
  });
});

describe('a mind with young series', () => {
  it('has them forecast with the prior of their class beside those that are established', () => {
    const life = new Life();
    for (let w = 0; w < 6; w += 1) {
      life.window([
        [1, eu, 10],
        [2, eu, 1],
      ]);
    }
    const series = life.mind.series(life.now);
    expect(series.map(({ id }) => id)).toEqual([key(1) + eu, key(2) + eu]);
    expect(series[0]?.prior).toBeUndefined();
    expect(series[1]?.prior?.requests).toBeGreaterThan(0);
  });
});
