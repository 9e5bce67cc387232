import { describe, expect, it } from 'vitest';
import { exponentialSmoothing } from '../../../forecasting/models/exponential-smoothing.ts';
import { predictSeries } from '../../../forecasting/prediction.ts';
import { absent, m4Hourly, nasaHourly, shopCounts } from '../../bench/forecast-data.ts';
import { presage, SHIFTS, scoreM4 } from '../../bench/forecast-m4.ts';
import { poissonDeviance } from '../../bench/forecast-scores.ts';

const m4 = m4Hourly();
const nasa = nasaHourly();
const shop = shopCounts();

describe('accuracy', () => {
  it.skipIf(m4 === undefined)(
    m4 ? 'holds on M4 Hourly what is promised' : absent('m4-hourly-train.csv'),
    { timeout: 300_000 },
    () => {
      const scores = SHIFTS.map((shift) => scoreM4(m4 ?? [], shift, presage));
      const mean = (pick: (score: (typeof scores)[number]) => number) =>
        scores.reduce((sum, score) => sum + pick(score), 0) / scores.length;
      expect(mean(({ owa }) => owa)).toBeLessThan(0.375);
      expect(mean(({ msis }) => msis)).toBeLessThan(5.8);
      expect(mean(({ coverage }) => coverage)).toBeGreaterThan(0.93);
      expect(mean(({ coverage }) => coverage)).toBeLessThan(0.97);
    },
  );

  it.skipIf(nasa === undefined)(
    nasa ? 'beats both seasonal naives on request rates' : absent('the NASA rates'),
    () => {
      const error = { ours: 0, day: 0, week: 0 };
      for (const { id, values, seasons } of nasa ?? []) {
        for (let origin = 400; origin + 24 <= values.length; origin += 24) {
          const series = { id, startMs: 0, stepMs: 3_600_000, values: values.subarray(0, origin) };
          const { mean } = predictSeries(series, { horizon: 24, seasons, level: 0.95 });
          for (let h = 0; h < 24; h++) {
            const actual = values[origin + h]!;
            error.ours += Math.abs(actual - mean[h]!);
            error.day += Math.abs(actual - values[origin + h - 24]!);
            error.week += Math.abs(actual - values[origin + h - 168]!);
          }
        }
      }
      expect(error.ours).toBeLessThan(0.85 * Math.min(error.day, error.week));
    },
  );

  it.skipIf(shop === undefined)(
    shop ? 'beats exponential smoothing on daily counts, with honest intervals' : absent('the shop log'),
    { timeout: 300_000 },
    () => {
      const busy = (shop ?? []).filter(({ values }) => values.reduce((sum, y) => sum + y, 0) >= 30);
      const ses = exponentialSmoothing('ses', 0);
      const sum = { ours: 0, ses: 0, inside: 0, count: 0 };
      for (const { id, values, seasons } of busy) {
        const origin = values.length - 7;
        const series = { id, startMs: 0, stepMs: 86_400_000, values: values.subarray(0, origin) };
        const { mean, lower, upper } = predictSeries(series, { horizon: 7, seasons, level: 0.95 });
        const actual = values.subarray(origin);
        const [smooth = mean] = ses.forecast({ values, origins: [origin], horizon: 7, seasons: [] });
        sum.ours += poissonDeviance(actual, mean);
        sum.ses += poissonDeviance(actual, smooth);
        sum.inside += actual.filter((y, h) => y >= lower[h]! && y <= upper[h]!).length;
        sum.count += actual.length;
      }
      expect(sum.ours).toBeLessThan(sum.ses);
      expect(Math.abs(sum.inside / sum.count - 0.95)).toBeLessThan(0.02);
    },
  );
});
