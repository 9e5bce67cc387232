import { describe, expect, it } from 'vitest';
import type { DemandForecast } from '../../../forecasting/demand.ts';
import { SignalGate } from '../../../forecasting/signal-gate.ts';
import { LEAST_EXPECTED, Signals } from '../../../forecasting/signals.ts';
import type { Key16, RegionId, SiteId } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';
import type { Summary } from '../../../protocol/summary.ts';

const eu = 'eu' as RegionId;
const us = 'us' as RegionId;
const HOUR = 3_600_000;
const HORIZON = 2 * HOUR;
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const window = (
  rows: readonly [n: number, region: RegionId, count: number][],
): Pick<Summary, 'resources'> => ({
  resources: rows.map(([n, region, count]) => ({
    ...{ key16: key(n), site: 's' as SiteId, size: 1, kind: 1, group: 1, clients: [0, 0] as const },
    regions: [{ region, count, bytes: 0 }],
  })),
});
const two = () => ({ requests: 2, first: false });
const one = () => ({ requests: 1, first: false });
const fresh = () => new Signals({ regions: () => [eu, us], horizonMs: () => HORIZON });

/** `rounds` horizons with ten signals each, of which `came` tells the requests. */
function live(signals: Signals, rounds: number, came: (n: number) => number, source = 'feed', from = 0) {
  for (let round = from; round < from + rounds; round += 1) {
    const now = round * HORIZON;
    for (let i = 0; i < 10; i += 1) {
      const n = round * 10 + i;
      signals.heard({ source, key16: key(n), strength: 4, at: now, region: eu }, now, two);
      signals.came(window([[n, eu, came(n)]]));
    }
    signals.mature(now + HORIZON);
  }
  return (from + rounds) * HORIZON;
}

describe('signals', () => {
  it('move nothing before they have proved themselves, then as far as their record goes', () => {
    const signals = fresh();
    signals.heard({ source: 'feed', key16: key(999), strength: 4, at: 0 }, 0, two);
    expect(signals.uplift(key(999), eu, 0, 2)).toBe(1);
    const now = live(signals, 12, () => 10);
    const [row] = signals.rows();
    expect(row).toMatchObject({ source: 'feed', trust: 1, open: 0, judged: 121 });
    expect(row?.uplift).toBeGreaterThan(4);
    signals.heard({ source: 'feed', key16: key(5_000), strength: 4, at: now }, now, two);
    expect(signals.uplift(key(5_000), eu, now, 2)).toBeGreaterThan(4);
    // It fades with what has had time to come, and ends with its horizon.
    expect(signals.uplift(key(5_000), eu, now + HOUR, 2)).toBeCloseTo(
      (1 + signals.uplift(key(5_000), eu, now, 2)) / 2,
    );
    expect(signals.uplift(key(5_000), eu, now + HORIZON, 2)).toBe(1);
    // Of what nobody has asked for, a little is expected first.
    expect(signals.expectation(key(5_000), us, now, 0)).toBeGreaterThan(2 * LEAST_EXPECTED);
    expect(signals.expectation(key(6_000), eu, now, 0)).toBe(0);
    expect([...signals.believed(now)]).toEqual([
      { key16: key(5_000), region: eu },
      { key16: key(5_000), region: us },
    ]);
  });

  it('raise all of a forecast, and leave others as they are', () => {
    const signals = fresh();
    const now = live(signals, 12, () => 10);
    signals.heard({ source: 'feed', key16: key(5_000), strength: 4, at: now, region: eu }, now, two);
    const forecast = {
      id: '',
      model: 'ses',
      class: 'short',
      next: 30,
      mean: 2_000,
      upper: 4_000,
    } as DemandForecast;
    const lifted = signals.lift(forecast, key(5_000), eu, now);
    const factor = signals.uplift(key(5_000), eu, now, 2);
    expect(lifted).toEqual({
      ...forecast,
      next: Math.round(30 * factor),
      mean: Math.round(2_000 * factor),
      upper: Math.round(4_000 * factor),
    });
    expect(signals.lift(forecast, key(5_000), us, now)).toBe(forecast);
    const huge = { ...forecast, upper: 2 ** 31 - 1 };
    expect(signals.lift(huge, key(5_000), eu, now).upper).toBe(2 ** 31 - 1);
  });

  it('are not believed where nothing comes of them, nor where chance alone makes some of them right', () => {
    const idle = fresh();
    live(idle, 40, () => 0);
    expect(idle.rows()[0]?.trust).toBe(0);
    // As much as was expected, with bursts that have nothing to do with the signal: two in a hundred bring a hundred.
    const random = seededRandom(7);
    let believed = 0;
    for (let trial = 0; trial < 40; trial += 1) {
      const chance = fresh();
      live(chance, 30, () => (random.float() < 0.02 ? 100 : 0));
      if ((chance.rows()[0]?.trust ?? 0) > 0) believed += 1;
    }
    expect(believed).toBeLessThan(5);
  });

  it('are judged on first requests alone where nobody has asked before', () => {
    const signals = fresh();
    // One pair in four is asked for, as expected, and then forty times: the signal has added nothing.
    for (let round = 0; round < 100; round += 1) {
      const now = round * HORIZON;
      for (let i = 0; i < 4; i += 1) {
        const signal = { source: 'feed', key16: key(round * 4 + i), strength: 4, at: now, region: eu };
        signals.heard(signal, now, () => ({ requests: 0.25, first: true }));
      }
      signals.came(window([[round * 4, eu, 40]]));
      signals.mature(now + HORIZON);
    }
    const [row] = signals.rows();
    expect(row).toMatchObject({ judged: 400, trust: 0 });
    expect(row?.uplift).toBeCloseTo(1, 1);
  });

  it('lose belief when they turn useless', () => {
    const signals = fresh();
    live(signals, 12, () => 10);
    expect(signals.rows()[0]?.trust).toBe(1);
    live(signals, 30, () => 0, 'feed', 12);
    expect(signals.rows()[0]?.trust).toBe(0);
  });

  it('are bounded in sources, keys and open outcomes, and refuse what is no strength', () => {
    const signals = fresh();
    for (let i = 0; i < 100; i += 1)
      signals.heard({ source: `s${i}`, key16: key(1), strength: 1, at: 0 }, 0, one);
    expect(signals.rows()).toHaveLength(64);
    for (let n = 0; n < 25_000; n += 1)
      signals.heard({ source: 's1', key16: key(n), strength: 1, at: 0 }, 0, one);
    expect(signals.size).toBe(20_000);
    expect(signals.rows().find(({ source }) => source === 's1')?.open).toBe(5_000);
    signals.mature(HORIZON);
    expect(signals.size).toBe(0);
    expect(signals.rows().reduce((sum, { open }) => sum + open, 0)).toBe(0);
    for (const strength of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(signals.heard({ source: 's1', key16: key(1), strength, at: 0 }, 0, one)).toBe(false);
  });

  it('keep what was learned of a source through a restart, and refuse what is damaged', () => {
    const signals = fresh();
    live(signals, 12, () => 10);
    const restored = fresh();
    restored.restore(structuredClone(signals.snapshot()));
    expect(restored.rows()).toEqual(signals.rows());
    const gate = new SignalGate();
    for (const wrong of [
      null,
      [],
      [1, 1, 99, [], []],
      [1, -1, 1, new Array(16).fill(0), new Array(16).fill(0)],
    ])
      gate.restore(wrong);
    expect(gate.row).toEqual(new SignalGate().row);
    fresh().restore([['a', null], 7, 'x']);
  });
});
