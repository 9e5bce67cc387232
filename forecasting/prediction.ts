import { type Combination, combine } from './combination.ts';
import { conformalInterval } from './intervals.ts';
import { countQuantile } from './negative-binomial.ts';
import { bridgeOutages } from './outages.ts';
import { select } from './selection.ts';
import { cleaned, type ForecastRequest, HORIZON_MAX, type Series, type SeriesForecast } from './series.ts';

/** Hold-out origins. Ten show the tails of the errors well enough for 95 % intervals; each further one costs time. */
const HOLDOUTS = 10;
/** Steps from whose mean the recent level is taken when there is no season. */
const LEVEL_STEPS = 24;
/** Longest seasons that models look back over; beyond that the past says little and costs time. */
const SEASONS_USED = 5.7;
/** Weight of the spread of the series itself beside that of the hold-outs, for where there are few. */
const SERIES_SHARE = 0.1;
/** Short seasons over which hold-outs show all that errors do. */
const SEASONS_SEEN = 10;
/** Newest values that are looked at: at least so many, so that plain series show their trend, … */
const USED_LEAST = 256;
/** … and at most so many, two months of five-minute counts, so that no series takes long. */
const USED_MOST = 1 << 14;

/** Forecasts one series. Pure: the same input gives the same numbers, whatever was forecast before. */
export function predictSeries(series: Series, request: ForecastRequest): SeriesForecast {
  const horizon = horizonOf(request);
  const longest = Math.max(0, ...request.seasons.filter((season) => season <= series.values.length / 2));
  const limit = Math.min(USED_MOST, Math.max(USED_LEAST, Math.round(SEASONS_USED * longest), 6 * horizon));
  const shortest = Math.min(...request.seasons.filter((season) => season > 1), longest || 1);
  const values = cleaned(series.values, shortest, limit);
  bridgeOutages(
    values,
    request.seasons.filter((season) => season > 1).sort((a, b) => a - b),
  );
  const selection = select(values, request.seasons, horizon, { holdouts: HOLDOUTS });
  if (selection.class === 'empty' || values.length === 0) {
    const zero = new Float64Array(horizon);
    return { id: series.id, model: 'zero', mean: zero, lower: zero.slice(), upper: zero.slice() };
  }
  const combination = combine(values, selection.models, horizon, selection.seasons, selection.options);
  const { mean, residuals, fitted } = combination;
  if (selection.class === 'counts') {
    return {
      id: series.id,
      model: combination.model,
      mean,
      ...countIntervals(combination, values, request.level),
    };
  }
  const recent = values.subarray(-(selection.seasons.at(-1) ?? LEVEL_STEPS));
  let level = 0;
  for (const value of recent) level += value / recent.length;
  const reach = (residuals.length - 1) * selection.options.spacing + (residuals[0]?.length ?? 0);
  // A season that the series does not hold yet is one that its hold-outs have seen little of.
  const asked = Math.min(...request.seasons.filter((season) => season > 1));
  const season = selection.seasons[0] ?? (Number.isFinite(asked) ? asked : 1);
  const seen = Math.min(1, reach / (SEASONS_SEEN * season));
  const blind = selection.seasons.length === 0 && Number.isFinite(asked);
  const interval = conformalInterval(
    { mean, residuals, fitted, level: Math.max(level, 1e-9), seen, blind },
    request.level,
  );
  return { id: series.id, model: combination.model, mean, ...interval };
}

/** Negative-binomial quantiles with the dispersion of the hold-outs, mixed with that of the series itself. */
function countIntervals({ mean, residuals, fitted }: Combination, values: Float64Array, coverage: number) {
  let excess = 0;
  let scale = 0;
  for (let j = 0; j < residuals.length; j++) {
    for (let h = 0; h < residuals[j]!.length; h++) {
      const forecast = fitted[j]![h]!;
      excess += residuals[j]![h]! * residuals[j]![h]! - forecast;
      scale += forecast * forecast;
    }
  }
  let average = 0;
  for (const value of values) average += value / values.length;
  for (const value of values) {
    excess += SERIES_SHARE * ((value - average) * (value - average) - average);
    scale += SERIES_SHARE * average * average;
  }
  const relative = scale > 0 ? Math.max(0, excess / scale) : 1;
  const lower = new Float64Array(mean.length);
  const upper = new Float64Array(mean.length);
  for (let h = 0; h < mean.length; h++) {
    const m = mean[h]!;
    // Count forecasts are often flat, so that one pair of quantiles serves many steps.
    if (h > 0 && m === mean[h - 1]) {
      lower[h] = lower[h - 1]!;
      upper[h] = upper[h - 1]!;
      continue;
    }
    const variance = m + relative * m * m;
    const low = countQuantile(m, variance, (1 - coverage) / 2);
    // Where nothing lies below, all the miss is above.
    const high = countQuantile(m, variance, low > 0 ? (1 + coverage) / 2 : coverage, true);
    lower[h] = Math.min(m, low);
    upper[h] = Math.max(m, high);
  }
  return { lower, upper, relativeVariance: relative };
}

/** A forecast without a model, for when there is no time: one season ago, or the last value. */
export function cheapPrediction(series: Series, request: ForecastRequest): SeriesForecast {
  const horizon = horizonOf(request);
  const season = Math.min(
    ...request.seasons.filter((length) => length > 1 && length <= series.values.length),
  );
  const known = Number.isFinite(season) ? season : 1;
  const values = cleaned(series.values, 0, 2 * known);
  const mean = new Float64Array(horizon);
  for (let h = 0; h < horizon; h++) mean[h] = values[values.length - known + (h % known)] ?? 0;
  const residuals: Float64Array[] = [];
  const interval = conformalInterval({ mean, residuals, fitted: residuals, level: 1 }, request.level);
  return { id: series.id, model: known > 1 ? 'seasonal-naive' : 'naive', mean, ...interval };
}

const horizonOf = (request: ForecastRequest): number =>
  Math.max(1, Math.min(HORIZON_MAX, Math.floor(request.horizon) || 1));
