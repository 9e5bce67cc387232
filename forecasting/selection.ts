import type { CombinationOptions } from './combination.ts';
import type { Model } from './models/model.ts';
import {
  COUNT_MODELS,
  LEAN_MODELS,
  PLAIN_MODELS,
  SEASONAL_MODELS,
  SHORT_MODELS,
  YOUNG_COUNT_MODELS,
  YOUNG_LEAN_MODELS,
  YOUNG_SEASONAL_MODELS,
} from './repertoire.ts';

/** The class of a series, which decides which models may speak and how they are judged. */
export type SeriesClass = 'empty' | 'counts' | 'seasonal' | 'plain' | 'short';

export interface Selection {
  readonly class: SeriesClass;
  readonly models: readonly Model[];
  readonly seasons: readonly number[];
  readonly options: CombinationOptions;
}

/** Whole numbers with a mean below this are counts, whose noise hides most of a curve. */
const COUNT_MEAN = 5;
/** With a larger share of empty steps than this, a series is a row of events and not a curve. */
const SPARSE_ZEROS = 0.6;
/** A season is used once the series holds it and this share of it again. */
const SEASON_SHARE = 1.5;
/** From this many of the longest season on, regressions on two of them have hold-outs to prove themselves. */
const OLD_SEASONS = 3;

/** How much work a forecast may be, and of what kind of series it is known to be. */
export interface Effort {
  readonly holdouts: number;
  /** Seen for minutes: growth and decay in place of trends over the whole past. */
  readonly young?: boolean;
  /** The few models that are worth their time in every epoch. */
  readonly lean?: boolean;
}

/** Class of a series, and what goes with it. */
export function select(
  values: Float64Array,
  seasons: readonly number[],
  horizon: number,
  { holdouts, young = false, lean = false }: Effort,
): Selection {
  const n = values.length;
  let zeros = 0;
  let whole = 0;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    if (values[i] === 0) zeros++;
    if (Number.isInteger(values[i])) whole++;
    sum += values[i]!;
  }
  const spacing = Math.max(1, Math.floor(horizon / 2));
  if (zeros === n) {
    return {
      class: 'empty',
      models: [],
      seasons: [],
      options: { holdouts: 0, spacing, power: 0, blocks: 1, metric: 'absolute' },
    };
  }
  const usable = [...new Set(seasons)]
    .filter((season) => season > 1 && SEASON_SHARE * season <= n)
    .sort((a, b) => a - b);
  if (zeros > SPARSE_ZEROS * n || (!young && whole === n && sum < COUNT_MEAN * n)) {
    return {
      class: 'counts',
      models: young ? YOUNG_COUNT_MODELS : COUNT_MODELS,
      seasons: usable,
      options: { holdouts, spacing, power: young ? 1 : 3, blocks: 1, metric: 'deviance' },
    };
  }
  if (young) {
    return {
      class: 'short',
      models: SHORT_MODELS,
      seasons: [],
      options: { holdouts, spacing, power: 2, blocks: 1, metric: 'deviance' },
    };
  }
  const short = usable[0];
  if (short === undefined) {
    return {
      class: 'plain',
      models: PLAIN_MODELS,
      seasons: [],
      options: { holdouts, spacing, power: 2, blocks: 1, metric: 'absolute' },
    };
  }
  return {
    class: 'seasonal',
    models: seasonalModels(n >= OLD_SEASONS * usable.at(-1)!, lean),
    seasons: usable.length > 1 ? [short, usable.at(-1)!] : [short],
    // Hold-outs a whole season apart judge each horizon at the same time of day as the forecast; those of a shorter
    // horizon are spread over one season, lest a few quiet hours speak for all.
    options: {
      holdouts,
      spacing: short <= horizon ? short : Math.max(spacing, Math.ceil(short / holdouts)),
      power: 5,
      blocks: 3,
      metric: 'relative',
    },
  };
}

function seasonalModels(old: boolean, lean: boolean): readonly Model[] {
  if (old) return lean ? LEAN_MODELS : SEASONAL_MODELS;
  return lean ? YOUNG_LEAN_MODELS : YOUNG_SEASONAL_MODELS;
}
