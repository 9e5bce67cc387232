import { predictSeries } from '../../forecasting/prediction.ts';
import type { Sample } from './forecast-data.ts';
import { intervalScore, meanAbsoluteError, naive2, naiveScale, smape } from './forecast-scores.ts';

export const HORIZON = 48;
const DAY = 24;
export const LEVEL = 0.95;
/** Points cut off the end before the hold-out: the last 48 points, and two further shifts. */
export const SHIFTS = [0, 48, 96] as const;

/** Forecast of one history: point forecasts, and the interval where there is one. */
export type Forecaster = (
  history: Float64Array,
  seasons: readonly number[],
) => { mean: ArrayLike<number>; lower?: ArrayLike<number>; upper?: ArrayLike<number> };

export interface M4Score {
  readonly smape: number;
  readonly mase: number;
  /** Mean of sMAPE and MASE, each relative to that of Naive2 on the same hold-out. */
  readonly owa: number;
  readonly coverage: number;
  readonly msis: number;
  readonly msPerSeries: number;
}

/** Scores a forecaster on one hold-out of M4 Hourly. */
export function scoreM4(samples: readonly Sample[], shift: number, forecaster: Forecaster): M4Score {
  const total = { smape: 0, mase: 0, naiveSmape: 0, naiveMase: 0, inside: 0, msis: 0, ms: 0 };
  for (const { values, seasons } of samples) {
    const n = values.length - shift - HORIZON;
    const history = values.slice(0, n);
    const actual = values.subarray(n, n + HORIZON);
    const started = process.cpuUsage();
    const { mean, lower, upper } = forecaster(history, seasons);
    const { user, system } = process.cpuUsage(started);
    total.ms += (user + system) / 1000;
    const scale = naiveScale(history, DAY);
    const naive = naive2(history, HORIZON, DAY);
    total.smape += smape(actual, mean);
    total.mase += meanAbsoluteError(actual, mean) / scale;
    total.naiveSmape += smape(actual, naive);
    total.naiveMase += meanAbsoluteError(actual, naive) / scale;
    if (lower === undefined || upper === undefined) continue;
    const { score, inside } = intervalScore(actual, lower, upper, LEVEL);
    total.inside += inside;
    total.msis += score / scale;
  }
  const n = samples.length;
  return {
    smape: total.smape / n,
    mase: total.mase / n,
    owa: (total.smape / total.naiveSmape + total.mase / total.naiveMase) / 2,
    coverage: total.inside / n,
    msis: total.msis / n,
    msPerSeries: total.ms / n,
  };
}

/** What `presage predict` does with a history. */
export const presage: Forecaster = (values, seasons) =>
  predictSeries(
    { id: '', startMs: 0, stepMs: 3_600_000, values },
    { horizon: HORIZON, seasons, level: LEVEL },
  );

export const row = (name: string, score: M4Score): string =>
  `${name.padEnd(32)} sMAPE ${score.smape.toFixed(3)}  MASE ${score.mase.toFixed(3)}  OWA ${score.owa.toFixed(4)}  ` +
  `coverage ${score.coverage.toFixed(3)}  MSIS ${score.msis.toFixed(3)}  ${score.msPerSeries.toFixed(2)} ms`;
