import { describe, expect, it } from 'vitest';
import { predictSeries } from '../../../forecasting/prediction.ts';
import { select } from '../../../forecasting/selection.ts';
import { seededRandom } from '../../../protocol/random.ts';

const random = seededRandom(12);
/** Hours that are loud by day and quiet by night. */
const series = (length: number) =>
  Float64Array.from({ length }, (_, t) => {
    const day = 1 + Math.sin((t / 24) * 2 * Math.PI);
    return 100 + 100 * day + (5 + 30 * day) * (random.float() + random.float() - 1);
  });

describe('predictSeries', () => {
  it('covers what comes within the next hours, at whatever hour it is asked', () => {
    let inside = 0;
    let count = 0;
    for (let i = 0; i < 150; i++) {
      const values = series(240 + i);
      const history = { id: '', startMs: 0, stepMs: 3_600_000, values: values.subarray(0, -3) };
      const { lower, upper } = predictSeries(history, { horizon: 3, seasons: [24, 168], level: 0.95 });
      for (let h = 0; h < 3; h++) {
        const value = values.at(h - 3)!;
        count++;
        if (value >= lower[h]! && value <= upper[h]!) inside++;
      }
    }
    expect(inside / count).toBeGreaterThan(0.93);
    expect(inside / count).toBeLessThan(0.995);
  });

  it('judges models over a whole season, however short the horizon', () => {
    for (const horizon of [1, 3, 10, 24, 48]) {
      const { spacing } = select(series(600), [24, 168], horizon, { holdouts: 10 }).options;
      expect(10 * spacing).toBeGreaterThanOrEqual(24);
    }
  });

  it('is less sure where a season was asked for that is not there yet', () => {
    const values = series(20);
    const width = (seasons: number[]) => {
      const { lower, upper } = predictSeries(
        { id: '', startMs: 0, stepMs: 3_600_000, values },
        { horizon: 3, seasons, level: 0.95 },
      );
      return upper[0]! - lower[0]!;
    };
    expect(width([24])).toBeGreaterThan(width([]));
  });
});
