import { log, pow } from './elementary.ts';
import { logarithmsOf } from './models/logarithmic.ts';
import type { Model } from './models/model.ts';

export interface CombinationOptions {
  /** Hold-out origins, at most. */
  readonly holdouts: number;
  /** Steps between hold-out origins. */
  readonly spacing: number;
  /** Weights are the hold-out error to the power of minus this: 0 is a plain mean, infinity picks the best. */
  readonly power: number;
  /** Parts of the horizon that are weighted each for itself. */
  readonly blocks: number;
  /**
   * `relative`: mean of |actual − forecast| / (actual + forecast), so that quiet steps count as much as busy ones.
   * `absolute`: mean of |actual − forecast|. `deviance`: mean Poisson deviance, which is right for counts that are
   * often zero, where the other two prefer a forecast of nothing.
   */
  readonly metric: 'relative' | 'absolute' | 'deviance';
  /** Name of a model that must earn its place: it takes part only if the combined hold-outs are better with it. */
  readonly challenger?: string;
}

export interface Combination {
  /** Names of the models that carry most weight, best first, joined by `+`. */
  readonly model: string;
  readonly weights: readonly { readonly name: string; readonly weight: number }[];
  readonly mean: Float64Array;
  /** Actual less combined forecast, a row a hold-out, oldest first, each `horizon` long or shorter. */
  readonly residuals: readonly Float64Array[];
  /** The combined forecasts that the residuals belong to. */
  readonly fitted: readonly Float64Array[];
}

/** A hold-out leaves at least this share of the series to learn from. */
const LEARN_SHARE = 0.5;
/** A forecast above this many times the largest value seen is taken for divergence. */
const CEILING = 2;
/** Keeps a model that was right to the last digit from taking all weight, and the power finite. */
const ERROR_FLOOR = 1e-4;
/** A quiet step is judged as if it held at least this share of the mean, lest zeros dominate. */
const FLOOR_SHARE = 0.02;
/** A challenger must lower the combined hold-out error by this share, for its own weight was set on the same errors. */
const CHALLENGE_GAIN = 0.01;
/** Models that are named in the answer. */
const NAMED = 2;

/** Origins of the hold-outs (ascending) and how many steps of each can be judged. */
export function holdoutOrigins(
  length: number,
  horizon: number,
  options: Pick<CombinationOptions, 'holdouts' | 'spacing'>,
): { origins: number[]; judged: number } {
  const judged = Math.min(horizon, Math.floor(length / 4));
  const origins: number[] = [];
  if (judged < 1) return { origins, judged: 0 };
  const least = Math.max(2, Math.ceil(length * LEARN_SHARE));
  for (let k = 0; k < options.holdouts; k++) {
    const origin = length - judged - k * options.spacing;
    if (origin < least) break;
    origins.unshift(origin);
  }
  return { origins, judged };
}

/**
 * Forecasts with every model that has enough history, weighted by its errors from earlier origins of the same series
 * (Bates and Granger 1969; inverse-error weights as in the M4 combinations). `models` must hold one that needs a
 * single value.
 */
export function combine(
  values: Float64Array,
  models: readonly Model[],
  horizon: number,
  seasons: readonly number[],
  options: CombinationOptions,
): Combination {
  const n = values.length;
  const { origins: earlier, judged } = holdoutOrigins(n, horizon, options);
  const origins = [...earlier, n];
  const first = origins[0]!;
  const fit = models.filter((model) => model.needs(seasons, horizon) <= first);
  let largest = 0;
  let total = 0;
  for (let i = 0; i < n; i++) {
    largest = Math.max(largest, values[i]!);
    total += values[i]!;
  }
  const ceiling = CEILING * largest;
  const logarithms = logarithmsOf(values, first);
  const forecasts = fit.map((model) => {
    const rows = model.forecast({ values, origins, horizon, seasons, logarithms });
    for (let j = 0; j < rows.length; j++) guard(rows[j]!, values[origins[j]! - 1]!, ceiling);
    return rows;
  });
  const floor = n > 0 ? (FLOOR_SHARE * total) / n : 0;
  const all: Members = { models: fit, forecasts };
  const mix = (members: Members) => mixed(values, members, earlier, judged, horizon, floor, options);
  let { weights, combined } = mix(all);
  const challenger = fit.findIndex(({ name }) => name === options.challenger);
  if (challenger >= 0 && fit.length > 1) {
    const others = mix({
      models: fit.toSpliced(challenger, 1),
      forecasts: forecasts.toSpliced(challenger, 1),
    });
    const errorOf = (rows: readonly Float64Array[]) =>
      earlier.reduce(
        (sum, origin, j) => sum + ERRORS_OF[options.metric](values, origin, rows[j]!, 0, judged, floor),
        0,
      );
    if (errorOf(combined) > (1 - CHALLENGE_GAIN) * errorOf(others.combined)) ({ weights, combined } = others);
  }
  const ranked = [...weights].sort((a, b) => b.weight - a.weight).slice(0, NAMED);
  const residuals = earlier.map((origin, j) => {
    const row = new Float64Array(judged);
    for (let h = 0; h < judged; h++) row[h] = values[origin + h]! - combined[j]![h]!;
    return row;
  });
  return {
    model: ranked.map((entry) => entry.name).join('+') || 'none',
    weights,
    mean: combined.at(-1)!,
    residuals,
    fitted: combined.slice(0, -1),
  };
}

interface Members {
  readonly models: readonly Model[];
  /** A row an origin, for each model. */
  readonly forecasts: readonly Float64Array[][];
}

/** Rows of all origins, weighted block by block of the horizon by the errors at the earlier ones. */
function mixed(
  values: Float64Array,
  { models, forecasts }: Members,
  earlier: readonly number[],
  judged: number,
  horizon: number,
  floor: number,
  options: CombinationOptions,
) {
  const blocks = Math.max(1, Math.min(options.blocks, judged));
  const combined = [...earlier, values.length].map(() => new Float64Array(horizon));
  const overall = new Float64Array(models.length);
  for (let b = 0; b < blocks; b++) {
    const from = Math.floor((b * judged) / blocks);
    const to = b === blocks - 1 ? horizon : Math.floor(((b + 1) * judged) / blocks);
    const weights = blockWeights(values, forecasts, earlier, from, Math.min(to, judged), floor, options);
    for (let m = 0; m < models.length; m++) {
      const weight = weights[m]!;
      overall[m]! += (weight * (to - from)) / horizon;
      for (let j = 0; j < combined.length; j++) {
        const row = forecasts[m]![j]!;
        const out = combined[j]!;
        for (let h = from; h < to; h++) out[h]! += weight * row[h]!;
      }
    }
  }
  return { combined, weights: models.map((model, m) => ({ name: model.name, weight: overall[m]! })) };
}

/** Sum of errors of one row over the steps `from` … `to` of the horizon; `floor` is a small share of the mean. */
type RowError = (
  values: Float64Array,
  origin: number,
  row: Float64Array,
  from: number,
  to: number,
  floor: number,
) => number;

const ERRORS_OF: Readonly<Record<CombinationOptions['metric'], RowError>> = {
  relative(values, origin, row, from, to, floor) {
    let error = 0;
    for (let h = from; h < to; h++) {
      const actual = values[origin + h]!;
      error += Math.abs(actual - row[h]!) / (actual + row[h]! + floor || 1);
    }
    return error;
  },
  absolute(values, origin, row, from, to, floor) {
    let error = 0;
    for (let h = from; h < to; h++) error += Math.abs(values[origin + h]! - row[h]!);
    return floor > 0 ? (FLOOR_SHARE * error) / floor : error;
  },
  deviance(values, origin, row, from, to, floor) {
    let error = 0;
    for (let h = from; h < to; h++) {
      const actual = values[origin + h]!;
      const forecast = row[h]! + floor;
      if (forecast > 0) error += 2 * ((actual > 0 ? actual * log(actual / forecast) : 0) - actual + forecast);
    }
    return error;
  },
};

function blockWeights(
  values: Float64Array,
  forecasts: readonly Float64Array[][],
  origins: readonly number[],
  from: number,
  to: number,
  floor: number,
  { power, metric }: CombinationOptions,
): Float64Array {
  const weights = new Float64Array(forecasts.length).fill(1);
  const count = origins.length * (to - from);
  let sum = 0;
  for (let m = 0; m < forecasts.length; m++) {
    if (count > 0) {
      let error = 0;
      for (let j = 0; j < origins.length; j++) {
        const row = forecasts[m]![j]!;
        error += ERRORS_OF[metric](values, origins[j]!, row, from, to, floor);
      }
      weights[m] = 1 / pow(error / count + ERROR_FLOOR, power);
    }
    sum += weights[m]!;
  }
  for (let m = 0; m < weights.length; m++) weights[m]! /= sum;
  return weights;
}

/** Puts a forecast within bounds: no NaN, none negative, none diverged. */
function guard(row: Float64Array, last: number, ceiling: number): void {
  for (let h = 0; h < row.length; h++) {
    const value = row[h]!;
    if (!(value >= 0)) row[h] = value < 0 ? 0 : last;
    else if (value > ceiling) row[h] = ceiling;
  }
}
