/** A regular series: `values[i]` belongs to the step that begins at `startMs + i × stepMs`. NaN marks a gap. */
export interface Series {
  readonly id: string;
  /** Unix ms. */
  readonly startMs: number;
  readonly stepMs: number;
  readonly values: Float64Array | readonly number[];
}

export interface ForecastRequest {
  /** Steps ahead, 1 … `HORIZON_MAX`. */
  readonly horizon: number;
  /** Season lengths in steps, such as 24 and 168 for hours; empty where none is known. */
  readonly seasons: readonly number[];
  /** Coverage that the interval aims at, such as 0.95. */
  readonly level: number;
}

/** A forecast of each of the next `horizon` steps; `lower` ≤ `mean` ≤ `upper`, none negative, none NaN. */
export interface SeriesForecast {
  readonly id: string;
  /** The model, or the models of the combination that carry most weight. */
  readonly model: string;
  readonly mean: Float64Array;
  readonly lower: Float64Array;
  readonly upper: Float64Array;
  /** Of counts: variance of the negative binomial beyond its mean, over the square of the mean. */
  readonly relativeVariance?: number;
}

/** Over a year of hours; beyond it no model here says more than its season. */
export const HORIZON_MAX = 10_000;
/** Keeps one hostile series from holding a worker for seconds. */
export const VALUES_MAX = 1 << 17;
/** Demand above this is a defect of the input; it also keeps squares and sums far from overflow. */
export const VALUE_MAX = 1e15;
/** Demand below this is none; it keeps quotients of values finite. */
export const VALUE_MIN = 1e-9;

/**
 * The last `limit` values, fit for models: negative, infinite and missing values are gaps, gaps take the value one
 * season before (or the last one known), and what is outside `VALUE_MIN` … `VALUE_MAX` is cut to zero or to it.
 */
export function cleaned(
  values: Float64Array | readonly number[],
  season: number,
  limit: number,
): Float64Array {
  const from = Math.max(0, values.length - limit);
  const out = new Float64Array(values.length - from);
  let last = 0;
  let known = false;
  for (let i = 0; i < out.length; i++) {
    const value = values[from + i]!;
    if (value >= 0 && value < Number.POSITIVE_INFINITY) {
      last = value < VALUE_MIN ? 0 : Math.min(value, VALUE_MAX);
      if (!known) {
        // Values before the first known one can only be guessed from it.
        out.fill(last, 0, i);
        known = true;
      }
      out[i] = last;
    } else if (known) {
      out[i] = season > 0 && i >= season ? out[i - season]! : last;
    }
  }
  return out;
}
