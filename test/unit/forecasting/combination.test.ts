import { describe, expect, it } from 'vitest';
import { combine, holdoutOrigins } from '../../../forecasting/combination.ts';
import { exponentialSmoothing } from '../../../forecasting/models/exponential-smoothing.ts';
import { lastValue, meanValue } from '../../../forecasting/models/level.ts';
import { seasonalNaive } from '../../../forecasting/models/seasonal-naive.ts';

const options = { holdouts: 4, spacing: 6, power: 4, blocks: 1, metric: 'relative' } as const;

describe('combine', () => {
  it('gives nearly all weight to the model that was right on the hold-outs', () => {
    const values = Float64Array.from({ length: 96 }, (_, i) => 10 + (i % 12));
    const { mean, weights, model } = combine(
      values,
      [lastValue, seasonalNaive('twelve', 0), meanValue],
      12,
      [12],
      options,
    );
    expect(model.startsWith('twelve')).toBe(true);
    expect(weights.find(({ name }) => name === 'twelve')?.weight).toBeGreaterThan(0.999);
    mean.forEach((value, h) => {
      expect(value).toBeCloseTo(10 + (h % 12), 3);
    });
  });

  it('judges hold-outs by values that came after their origin, and never looks beyond an origin', () => {
    const calls: number[] = [];
    const spy = {
      ...lastValue,
      forecast(request: Parameters<typeof lastValue.forecast>[0]) {
        calls.push(...request.origins);
        return lastValue.forecast(request);
      },
    };
    const values = Float64Array.from({ length: 40 }, (_, i) => i);
    const { residuals } = combine(values, [spy], 5, [], options);
    expect(calls).toEqual([23, 29, 35, 40]);
    // From origin t the last value is t − 1, so that the error of step h is h + 1.
    for (const row of residuals) expect([...row]).toEqual([1, 2, 3, 4, 5]);
  });

  it('leaves out models that lack history, and cuts off those that diverge', () => {
    const wild = {
      ...lastValue,
      name: 'wild',
      forecast: ({ origins }: { origins: readonly number[] }) =>
        origins.map(() => Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY, -5)),
    };
    const values = Float64Array.of(4, 5, 6);
    const { mean } = combine(values, [wild, seasonalNaive('week', 0)], 3, [168], options);
    expect([...mean]).toEqual([6, 12, 0]);
  });
});

describe('holdoutOrigins', () => {
  it('keeps half of the series to learn from', () => {
    expect(holdoutOrigins(100, 10, { holdouts: 20, spacing: 10 })).toEqual({
      origins: [50, 60, 70, 80, 90],
      judged: 10,
    });
  });
  it('judges a shorter horizon of a short series, and none of a very short one', () => {
    expect(holdoutOrigins(8, 48, { holdouts: 3, spacing: 1 })).toEqual({ origins: [4, 5, 6], judged: 2 });
    expect(holdoutOrigins(3, 48, { holdouts: 3, spacing: 1 }).origins).toEqual([]);
  });
});

describe('exponential smoothing', () => {
  it('follows a damped trend and ends below its straight extension', () => {
    const values = Float64Array.from({ length: 60 }, (_, i) => 100 + 2 * i);
    const [row] = exponentialSmoothing('damped', 0.9).forecast({
      values,
      origins: [60],
      horizon: 20,
      seasons: [],
    });
    expect(row?.[0]).toBeGreaterThan(218);
    expect(row?.[19]).toBeGreaterThan(row?.[0] ?? 0);
    expect(row?.[19]).toBeLessThan(258);
  });
});
