import { describe, expect, it } from 'vitest';
import { cheapForecast, type DemandHistory, forecastDemand } from '../../../forecasting/demand.ts';
import { countQuantile } from '../../../forecasting/negative-binomial.ts';
import { integral } from '../../../forecasting/ring.ts';
import { SeasonalMemo } from '../../../forecasting/seasonal-outlook.ts';

const HOUR = 3_600_000;
const NOW = 480_000 * HOUR + 25 * 60_000;
const REQUEST = { now: NOW, windowMs: 30_000, horizonMs: 600_000, level: 0.9 };

/** Rings as the history keeps them, of a demand of `rate(t)` requests an hour, without noise. */
function history(rate: (ms: number) => number, hours = 336): DemandHistory {
  const ring = (stepMs: number, length: number) => {
    const end = Math.floor(NOW / stepMs) * stepMs;
    const start = end - length * stepMs;
    return {
      start,
      stepMs,
      values: Array.from({ length }, (_, i) =>
        Math.round((rate(start + (i + 0.5) * stepMs) * stepMs) / HOUR),
      ),
    };
  };
  return { id: 'r', minute: ring(60_000, 59), ten: ring(600_000, 143), hour: ring(HOUR, hours) };
}

describe('forecastDemand', () => {
  it('foresees the rise of a day that it has seen', () => {
    const rate = (ms: number) => 6000 + 5000 * Math.sin(((ms % (24 * HOUR)) / (24 * HOUR)) * 2 * Math.PI);
    const answer = forecastDemand(history(rate), { ...REQUEST, horizonMs: 3 * HOUR });
    const truth = (rate(NOW + 0.5 * HOUR) + rate(NOW + 1.5 * HOUR) + rate(NOW + 2.5 * HOUR)) * 1000;
    expect(answer.mean / truth).toBeGreaterThan(0.93);
    expect(answer.mean / truth).toBeLessThan(1.07);
    expect(answer.model).not.toContain('burst');
  });

  it('answers for ten minutes what a steady demand brings, in thousandths', () => {
    const answer = forecastDemand(
      history(() => 3600),
      REQUEST,
    );
    expect(answer.mean / 600_000).toBeCloseTo(1, 1);
    expect(answer.next / 30_000).toBeCloseTo(1, 1);
    expect(answer.upper).toBeGreaterThanOrEqual(answer.mean);
  });

  it('follows a burst in place of the day, and its decay', () => {
    const burst = (from: number) => (ms: number) => 60 * (ms > NOW - from * 60_000 ? 30 : 1);
    const rising = forecastDemand(history(burst(6)), REQUEST);
    expect(rising.mean).toBeGreaterThan(150_000);
    const fallen = (ms: number) => (ms > NOW - 8 * 60_000 ? 60 : ms > NOW - 40 * 60_000 ? 3600 : 60);
    const falling = forecastDemand(history(fallen, 24), REQUEST);
    expect(falling.mean).toBeLessThan(200_000);
  });

  it('gives a series without a day the next window of a young burst', () => {
    const young = history((ms) => (ms > NOW - 10 * 60_000 ? 1200 : 0));
    const answer = forecastDemand(young, REQUEST);
    expect(answer.mean).toBeGreaterThan(120_000);
    expect(answer.mean).toBeLessThan(400_000);
  });

  it('knows of a burst that is younger than the newest whole step of a coarse ring', () => {
    const request = { ...REQUEST, horizonMs: 2 * HOUR };
    // At 5 minutes past: 3 minutes of a burst on a quiet day, and of a resource that was never asked for before.
    for (const before of [2, 0]) {
      const answer = forecastDemand(
        history((ms) => (ms > NOW - 4 * 60_000 ? 3600 : before)),
        request,
      );
      expect(answer.mean).toBeGreaterThan(2_000_000);
      expect(answer.upper).toBeGreaterThan(answer.mean);
    }
  });

  it('keeps rare demand visible, and borrows what it lacks', () => {
    const rare = history((ms) => (Math.floor(ms / HOUR) % 24 === 3 ? 1 : 0));
    const answer = forecastDemand(rare, REQUEST);
    expect(answer.mean).toBeGreaterThan(0);
    expect(answer.mean).toBeLessThan(100);
    const unseen = forecastDemand(
      { ...history(() => 0), prior: { requests: 12, overMs: 2 * HOUR } },
      REQUEST,
    );
    expect(unseen).toMatchObject({ model: 'borrowed', mean: 1000, next: 50 });
  });

  it('gives the same integers with a memo, without, and twice', () => {
    const memo = new SeasonalMemo();
    const series = history((ms) => 500 + (Math.floor(ms / HOUR) % 24) * 40);
    const plain = forecastDemand(series, REQUEST);
    expect(forecastDemand(series, REQUEST, memo)).toEqual(plain);
    expect(forecastDemand(series, REQUEST, memo)).toEqual(plain);
  });

  it('has a cheap answer for when there is no time', () => {
    expect(
      cheapForecast(
        history(() => 3600),
        REQUEST,
      ),
    ).toMatchObject({ mean: 600_000, next: 30_000 });
  });
});

describe('countQuantile', () => {
  it('is the quantile of Poisson counts', () => {
    // Tables: P(X ≤ 2) = 0.9197, P(X ≤ 3) = 0.9810 for mean 1; P(X ≤ 14) = 0.9165, P(X ≤ 15) = 0.9513 for mean 10.
    expect(countQuantile(1, 1, 0.95)).toBe(3);
    expect(countQuantile(1, 1, 0.9)).toBe(2);
    expect(countQuantile(10, 10, 0.95)).toBe(15);
  });
  it('widens with dispersion and meets its approximation for large means', () => {
    expect(countQuantile(10, 60, 0.95)).toBeGreaterThan(20);
    const exact = countQuantile(255, 2000, 0.95);
    const near = countQuantile(257, 2015, 0.95);
    expect(Math.abs(near - exact)).toBeLessThan(6);
  });
});

describe('integral', () => {
  it('takes parts of steps, and goes on with the last one', () => {
    const curve = { start: 0, stepMs: 10, values: [1, 2] };
    expect(integral(curve, 5, 15)).toBeCloseTo(1.5);
    expect(integral(curve, 10, 40)).toBeCloseTo(6);
    expect(integral(curve, 7, 7)).toBe(0);
  });
});
