import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type DemandHistory, forecastDemand } from '../../../forecasting/demand.ts';
import { predictSeries } from '../../../forecasting/prediction.ts';
import { freshNetwork, trainNetwork } from '../../../forecasting/recurrent-training.ts';
import { seededRandom } from '../../../protocol/random.ts';

/** Counts of a day that rises and falls, made of whole numbers and products alone. */
function counts(length: number, season: number, level: number, random: { float(): number }): Float64Array {
  return Float64Array.from({ length }, (_, t) => {
    const phase = (t % season) / season;
    return Math.floor(level * (0.2 + 4 * phase * (1 - phase)) + (1 + level / 3) * random.float());
  });
}

const sha256 = (rows: readonly Float64Array[]) => {
  const hash = createHash('sha256');
  for (const row of rows) {
    const view = new DataView(new ArrayBuffer(8 * row.length));
    row.forEach((value, i) => {
      view.setFloat64(8 * i, value);
    });
    hash.update(new Uint8Array(view.buffer));
  }
  return hash.digest('hex').slice(0, 16);
};

/** What these must be on every machine and with every engine; a change of a model changes them, and nothing else may. */
describe('the same input and seed', () => {
  it('give the same integers of demand', () => {
    const random = seededRandom(21);
    const now = 480_000 * 3_600_000 + 1_517_000;
    const ring = (stepMs: number, length: number, level: number) => {
      const start = (Math.floor(now / stepMs) - length) * stepMs;
      return { start, stepMs, values: counts(length, 86_400_000 / stepMs, level, random) };
    };
    const histories = Array.from({ length: 60 }, (_, i): DemandHistory => {
      const hourly = [0, 0.3, 2, 20, 300, 40_000][i % 6]!;
      return {
        ...{ id: `series ${i}`, minute: ring(60_000, 60, hourly / 60), ten: ring(600_000, 143, hourly / 6) },
        hour: ring(3_600_000, [30, 100, 336][i % 3]!, hourly),
        ...(i % 4 === 0 ? { prior: { requests: 3, overMs: 7_200_000 } } : {}),
      };
    });
    const request = { now, windowMs: 30_000, horizonMs: 5_400_000, level: 0.9 };
    const rows = histories.map((history) => {
      const { next, mean, upper } = forecastDemand(history, request);
      return Float64Array.of(next, mean, upper);
    });
    expect(sha256(rows)).toBe('7d2bb4800cbe1d85');
  });

  it('give the same series, to the last bit', () => {
    const random = seededRandom(22);
    const rows = [0.4, 6, 700, 1e6].flatMap((level, i) => {
      const values = counts([120, 500, 800, 60][i]!, 24, level, random);
      const request = { horizon: 24, seasons: i === 3 ? [] : [24, 168], level: 0.95 };
      const { mean, lower, upper } = predictSeries({ id: '', startMs: 0, stepMs: 1, values }, request);
      return [mean, lower, upper];
    });
    expect(sha256(rows)).toBe('5197a72e0a5971b1');
  });

  it('give the same trained network', () => {
    const random = seededRandom(23);
    const series = [5, 50, 500].map((level) => counts(500, 24, level, random));
    const options = { seasons: [24, 168], windows: 160, length: 96 } as const;
    expect(sha256([trainNetwork(freshNetwork(random), series, options, random)])).toBe('c937e3a14d09f8f2');
  });
});
