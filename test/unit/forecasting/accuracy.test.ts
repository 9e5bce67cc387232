import { describe, expect, it } from 'vitest';
import { Accuracy } from '../../../forecasting/accuracy.ts';
import type { DemandForecast } from '../../../forecasting/demand.ts';
import type { Key16, RegionId } from '../../../protocol/ids.ts';
import type { Summary } from '../../../protocol/summary.ts';

const key16 = 'a'.repeat(32) as Key16;
const eu = 'eu' as RegionId;
const HORIZON = 60_000;

const came = (count: number, region = eu): Pick<Summary, 'resources'> => ({
  resources: [
    {
      key16,
      site: 's' as Summary['resources'][number]['site'],
      size: 1,
      kind: 1,
      group: 0,
      clients: [0, 0],
      regions: [{ region, count, bytes: 0 }],
    },
  ],
});
const row = (next: number, mean: number, upper: number, model = 'ses', region = eu) => ({
  forecast: {
    id: key16 + region,
    model,
    class: 'short',
    next: next * 1000,
    mean: mean * 1000,
    upper: upper * 1000,
  } satisfies DemandForecast,
  key16,
  region,
});

describe('accuracy', () => {
  it('judges the next window and the horizon by hand-computed figures', () => {
    const accuracy = new Accuracy(0.9);
    accuracy.came(came(10));
    accuracy.next([row(12, 20, 25)], 0, HORIZON);
    accuracy.came(came(14));
    accuracy.next([row(15, 20, 25)], 30_000, HORIZON);
    accuracy.came(came(16));
    // The first horizon has passed: 30 requests came where 20 were expected and 25 the upper quantile.
    accuracy.next([row(16, 20, 50)], 60_000, HORIZON);
    accuracy.came(came(20));
    accuracy.next([row(20, 40, 50)], 90_000, HORIZON);
    accuracy.came(came(20));
    // And the second, with 40, of which the naive forecast would have said 30.
    accuracy.next([], 120_000, HORIZON);
    const [shown] = accuracy.rows();
    expect(shown).toMatchObject({ model: 'ses', class: 'short', region: 'eu', samples: 4 });
    // Errors 2, 1, 4, 0 over naive errors 4, 2, 4, 0 and actuals 14, 16, 20, 20.
    expect(shown?.error).toBeCloseTo(7 / 10);
    expect(shown?.wape).toBeCloseTo(7 / 70);
    expect(shown?.bias).toBeCloseTo((-2 - 1 - 4 + 0) / 70);
    const horizon = shown?.steps.find(({ step }) => step === 'horizon');
    expect(horizon).toMatchObject({ samples: 2, coverage: 0.5 });
    // Errors 10 and 20; only the second had a horizon before it, whose naive error was 10.
    expect(horizon?.error).toBeCloseTo(20 / 10);
    expect(horizon?.wape).toBeCloseTo(30 / 70);
    // 0.9 × 5 above the quantile, 0.1 × 10 below it.
    expect(horizon?.pinball).toBeCloseTo((2 * (4.5 + 1)) / 70);
    expect(shown?.coverage).toBe(0.5);
    expect(shown?.pinball).toBe(horizon?.pinball);
  });

  it('says nothing of quantiles where no horizon has passed, and divides by nothing', () => {
    const accuracy = new Accuracy();
    accuracy.next([row(0, 0, 0)], 0, HORIZON);
    accuracy.next([], 30_000, HORIZON);
    const [shown] = accuracy.rows();
    expect(shown).toMatchObject({ samples: 1, error: 0, wape: 0, bias: 0, coverage: 1, pinball: 0 });
    expect(shown?.steps.map(({ coverage, pinball }) => [coverage, pinball])).toEqual([
      [null, null],
      [null, 0],
    ]);
  });

  it('keeps a bounded number of rows, those with most samples', () => {
    const accuracy = new Accuracy();
    for (let i = 0; i < 20; i += 1) accuracy.next([row(1, 1, 1, 'steady')], i * 1_000, HORIZON);
    for (let i = 0; i < 5_000; i += 1) accuracy.next([row(1, 1, 1, `passing ${i}`)], 1e6, HORIZON);
    const rows = accuracy.rows();
    expect(rows.length).toBeLessThanOrEqual(2_048);
    expect(rows[0]?.model).toBe('steady');
  });

  it('tells what changed, once, and goes on from what was kept', () => {
    const accuracy = new Accuracy();
    for (let i = 0; i < 4; i += 1) {
      accuracy.came(came(3 + i));
      accuracy.next([row(5, 10, 12)], i * 30_000, HORIZON);
    }
    const { rows, gone } = structuredClone(accuracy.takeChanged());
    expect(rows).toHaveLength(1);
    expect(gone).toEqual([]);
    expect(accuracy.takeChanged()).toEqual({ rows: [], gone: [] });
    const later = new Accuracy();
    later.restore(rows.map(([, tally]) => tally));
    expect(later.rows()).toEqual(accuracy.rows());
    for (const life of [accuracy, later]) {
      life.came(came(8));
      life.next([], 150_000, HORIZON);
    }
    expect(accuracy.takeChanged().rows[0]?.[1].next.samples).toBe(4);
    // Forecasts that were open when it ended are lost, and nothing else.
    expect(later.takeChanged()).toEqual({ rows: [], gone: [] });
  });

  it('tells which rows made room, and takes no more back than it may hold', () => {
    const accuracy = new Accuracy();
    for (let i = 0; i < 2_060; i += 1) accuracy.next([row(1, 1, 1, `model ${i}`)], i * 1e6, HORIZON);
    const { rows, gone } = accuracy.takeChanged();
    expect(rows).toHaveLength(2_048);
    expect(gone.length).toBeGreaterThan(0);
    expect(rows.some(([id]) => gone.includes(id))).toBe(false);
    const later = new Accuracy();
    later.restore(
      [...rows, ...rows.map(([, t]) => ['', { ...t, class: 'more' }] as const)].map(([, t]) => t),
    );
    expect(later.rows()).toHaveLength(2_048);
  });
});
