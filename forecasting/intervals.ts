import { log } from './elementary.ts';

/** What an interval is made from: forecasts of the same kind that have come due, and how they missed. */
export interface IntervalInput {
  readonly mean: Float64Array;
  /** Actual less forecast, a row a hold-out. */
  readonly residuals: readonly Float64Array[];
  /** The forecasts that the residuals belong to. */
  readonly fitted: readonly Float64Array[];
  /** Recent level of the series, above 0; errors are taken to grow with the square root of the forecast over it. */
  readonly level: number;
  /** Share (0 … 1) of the times that matter which the hold-outs lie in: few hours of one day show little. */
  readonly seen?: number;
  /** Whether a season was asked for that the series is too short to show. */
  readonly blind?: boolean;
}

export interface Interval {
  readonly lower: Float64Array;
  readonly upper: Float64Array;
}

/** Horizons on either side whose errors speak for a horizon, the nearer the louder. */
const WINDOW = 4;
/** Share of the horizon's own errors in its scale; the rest is a line that rises from `RISE` of the mean scale. */
const OWN_SHARE = 0.8;
const RISE = 0.2;
/** How much the two sides may differ: 0 takes the quantile of absolute errors for both. */
const SKEW = 0.3;
/** Least signed quantile, in scales, so that a series that only rose is not taken never to fall. */
const SIDE_LEAST = 0.3;
/** The weights were fitted on the hold-outs, and few hold-outs hide the tails: widths grow by 1 + this / hold-outs. */
const WIDEN = 2;
/** … and by up to this where they lie close together. */
const WIDEN_UNSEEN = 0.2;
/** … and by so much where a season is yet to be seen at all. */
const WIDEN_BLIND = 0.5;
/** A forecast near zero is scaled as if it were this share of the level. */
const LEVEL_SHARE = 0.05;

/**
 * Split conformal intervals (Vovk et al. 2005; per-horizon scales as in Stankevičiūtė et al. 2021): residuals of the
 * hold-outs, divided by a scale for their horizon and level, give one pooled quantile, which the scales carry back.
 */
export function conformalInterval(input: IntervalInput, coverage: number): Interval {
  const { mean, residuals, fitted, level } = input;
  const horizon = mean.length;
  const judged = residuals[0]?.length ?? 0;
  if (judged === 0) return countInterval(mean, coverage);
  const size = (forecast: number) => Math.sqrt(Math.max(forecast / level, LEVEL_SHARE));
  const absolute = new Float64Array(judged);
  const z = new Float64Array(residuals.length * judged);
  for (let j = 0; j < residuals.length; j++) {
    for (let h = 0; h < judged; h++) {
      const error = residuals[j]![h]! / size(fitted[j]![h]!);
      z[j * judged + h] = error;
      absolute[h]! += Math.abs(error) / residuals.length;
    }
  }
  const scales = horizonScales(absolute);
  for (let i = 0; i < z.length; i++) z[i]! /= scales[i % judged]!;
  const magnitudes = z.map(Math.abs).sort();
  z.sort();
  const both = quantile(magnitudes, coverage);
  const below = Math.max(SIDE_LEAST, -quantile(z, (1 - coverage) / 2));
  const above = Math.max(SIDE_LEAST, quantile(z, (1 + coverage) / 2));
  const widen =
    1 + WIDEN / residuals.length + WIDEN_UNSEEN * (1 - (input.seen ?? 1)) + (input.blind ? WIDEN_BLIND : 0);
  const left = widen * (SKEW * below + (1 - SKEW) * both);
  const right = widen * (SKEW * above + (1 - SKEW) * both);
  const lower = new Float64Array(horizon);
  const upper = new Float64Array(horizon);
  for (let h = 0; h < horizon; h++) {
    // Beyond what hold-outs could judge, errors are taken to grow as those of a random walk do.
    const beyond = h < judged ? 1 : Math.sqrt((h + 1) / judged);
    const scale = scales[Math.min(h, judged - 1)]! * beyond * size(mean[h]!);
    lower[h] = Math.max(0, mean[h]! - left * scale);
    upper[h] = mean[h]! + right * scale;
  }
  return { lower, upper };
}

function horizonScales(absolute: Float64Array): Float64Array {
  const judged = absolute.length;
  let mean = 0;
  for (const value of absolute) mean += value / judged;
  return absolute.map((_, h) => {
    let sum = 0;
    let weights = 0;
    for (let d = -WINDOW; d <= WINDOW; d++) {
      const k = h + d;
      if (k < 0 || k >= judged) continue;
      const weight = 1 / (1 + Math.abs(d));
      sum += weight * absolute[k]!;
      weights += weight;
    }
    const line = mean * (RISE + (1 - RISE) * ((2 * h + 1) / judged));
    return (OWN_SHARE * sum) / weights + (1 - OWN_SHARE) * line + 1e-9;
  });
}

/** Quantile of ascending values, interpolated. */
export function quantile(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1);
  const below = Math.floor(at);
  const value = sorted[below] ?? 0;
  return value + (at - below) * ((sorted[below + 1] ?? value) - value);
}

/**
 * With nothing that has come due, all that is known is that demand is a count: Poisson noise around a level that may
 * be off by its own size.
 */
function countInterval(mean: Float64Array, coverage: number): Interval {
  const deviations = normalQuantile((1 + coverage) / 2);
  const lower = new Float64Array(mean.length);
  const upper = new Float64Array(mean.length);
  for (let h = 0; h < mean.length; h++) {
    const value = mean[h]!;
    const width = deviations * Math.sqrt(value + value * value + 1);
    lower[h] = Math.max(0, value - width);
    upper[h] = value + width;
  }
  return { lower, upper };
}

/** Inverse of the standard normal distribution, to some 4e-4 (Abramowitz and Stegun 26.2.23). */
export function normalQuantile(p: number): number {
  if (p < 0.5) return -normalQuantile(1 - p);
  const t = Math.sqrt(-2 * log(Math.max(1e-12, 1 - p)));
  return (
    t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
  );
}
