import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cheapForecast, forecastDemand } from '../../../forecasting/demand.ts';
import { packDemand, packSeries, unpackDemand, unpackSeries } from '../../../forecasting/packing.ts';
import { cheapPrediction, predictSeries } from '../../../forecasting/prediction.ts';

const value = fc.oneof(
  fc.nat(50),
  fc.constant(0),
  fc.double({ min: 0, max: 1e9, noNaN: true }),
  fc.constantFrom(Number.NaN, -3, 1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324),
);
const constant = fc.tuple(fc.nat(1000), value).map(([length, v]) => new Array<number>(length).fill(v));
const mostlyZero = fc.array(
  fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(4) }),
  {
    maxLength: 500,
  },
);
const values = fc.oneof(fc.array(value, { maxLength: 600 }), constant, mostlyZero);
const seasons = fc.constantFrom([], [24], [24, 168], [7], [2, 3], [168, 24, 24], [1], [0, -5], [5000]);

const sane = (row: ArrayLike<number>) => Array.from(row).every((x) => x >= 0 && Number.isFinite(x));

describe('predictSeries', () => {
  it('never fails, never gives NaN, infinity or negative demand, and orders its bounds', () => {
    fc.assert(
      fc.property(
        values,
        seasons,
        fc.integer({ min: 1, max: 60 }),
        fc.constantFrom(0.5, 0.8, 0.95, 0.99),
        (v, s, horizon, level) => {
          const series = { id: 'x', startMs: 0, stepMs: 3_600_000, values: v };
          const request = { horizon, seasons: s, level };
          for (const forecast of [predictSeries(series, request), cheapPrediction(series, request)]) {
            const { mean, lower, upper } = forecast;
            expect([mean.length, lower.length, upper.length]).toEqual([horizon, horizon, horizon]);
            expect(sane(mean) && sane(lower) && sane(upper)).toBe(true);
            for (let h = 0; h < horizon; h++) {
              expect(lower[h]).toBeLessThanOrEqual(mean[h] ?? 0);
              expect(upper[h]).toBeGreaterThanOrEqual(mean[h] ?? 0);
            }
          }
          expect(predictSeries(series, request)).toEqual(predictSeries(series, request));
        },
      ),
      { numRuns: 150 },
    );
  });
});

const ring = (stepMs: number) =>
  fc.record({ start: fc.integer({ min: -1e9, max: 1e12 }), stepMs: fc.constant(stepMs), values });
const history = fc.record(
  {
    id: fc.string(),
    minute: ring(60_000),
    ten: ring(600_000),
    hour: ring(3_600_000),
    first: fc.integer({ min: -1e9, max: 1e12 }),
    prior: fc.record({
      requests: fc.double({ min: 0, max: 1e6, noNaN: true }),
      overMs: fc.integer({ min: 0, max: 1e9 }),
    }),
  },
  { requiredKeys: ['id', 'minute', 'ten', 'hour'] },
);
const request = fc.record({
  now: fc.integer({ min: 0, max: 1e12 }),
  windowMs: fc.integer({ min: 1, max: 3_600_000 }),
  horizonMs: fc.integer({ min: 1, max: 40 * 3_600_000 }),
  level: fc.constantFrom(0.5, 0.9, 0.99),
});

describe('forecastDemand', () => {
  it('gives ordered integers of 0 … 2³¹−1, whatever the rings hold', () => {
    fc.assert(
      fc.property(history, request, (h, r) => {
        for (const answer of [forecastDemand(h, r), cheapForecast(h, r)]) {
          for (const number of [answer.next, answer.mean, answer.upper]) {
            expect(Number.isInteger(number) && number >= 0 && number < 2 ** 31).toBe(true);
          }
          expect(answer.upper).toBeGreaterThanOrEqual(answer.mean);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('packing', () => {
  it('brings to the worker what was handed to the pool', () => {
    fc.assert(
      fc.property(fc.array(history, { maxLength: 4 }), (batch) => {
        const back = unpackDemand(packDemand(batch));
        expect(
          back.map(({ minute, ten, hour, ...rest }) => ({ ...rest, rings: [minute, ten, hour].map(plain) })),
        ).toEqual(
          batch.map(({ minute, ten, hour, ...rest }) => ({ ...rest, rings: [minute, ten, hour].map(plain) })),
        );
      }),
      { numRuns: 60 },
    );
    fc.assert(
      fc.property(fc.array(values, { maxLength: 4 }), (batch) => {
        const series = batch.map((v, i) => ({ id: `s${i}`, startMs: i, stepMs: 60_000, values: v }));
        expect(unpackSeries(packSeries(series)).map((s) => ({ ...s, values: [...s.values] }))).toEqual(
          series,
        );
      }),
      { numRuns: 60 },
    );
  });
});

const plain = (r: { start: number; stepMs: number; values: ArrayLike<number> }) => ({
  ...r,
  values: Array.from(r.values),
});
