import type { Model } from './model.ts';

/** Level, seasonal and error-correction constants that are tried; the best one-step error before the first origin wins. */
export interface SmoothingGrid {
  readonly level: readonly number[];
  readonly season: readonly number[];
  readonly correction: readonly number[];
}

/**
 * Exponential smoothing with one or two additive seasons and a first-order correction of the last error (Taylor
 * 2003, the additive form of Holt-Winters with damped level); on logarithms it is the multiplicative form. Constants
 * come from a small grid, because a search for the last digit buys nothing out of sample.
 */
export function doubleSeasonalSmoothing(name: string, grid: SmoothingGrid): Model {
  return {
    name,
    needs: (seasons) => {
      const longest = seasons.at(-1);
      return longest === undefined ? Number.POSITIVE_INFINITY : longest * 2;
    },
    forecast(request) {
      const first = request.origins[0]!;
      const start = initial(request.values, request.seasons);
      let best = Number.POSITIVE_INFINITY;
      let chosen: Constants = [grid.level[0]!, grid.season[0]!, grid.correction[0]!];
      for (const level of grid.level) {
        for (const season of grid.season) {
          for (const correction of grid.correction) {
            const state = copy(start);
            const error = run(state, request.values, first, [level, season, correction]);
            if (error < best) {
              best = error;
              chosen = [level, season, correction];
            }
          }
        }
      }
      return request.origins.map((origin) => {
        run(start, request.values, origin, chosen);
        return ahead(start, request.horizon, chosen[2]);
      });
    },
  };
}

/** Constants of level, seasons and correction. */
type Constants = readonly [level: number, season: number, correction: number];

interface State {
  at: number;
  level: number;
  /** Last one-step error, whose echo decays. */
  residual: number;
  readonly short: Float64Array;
  /** One zero where there is no second season. */
  readonly long: Float64Array;
  shortAt: number;
  longAt: number;
}

const copy = (state: State): State => ({ ...state, short: state.short.slice(), long: state.long.slice() });

/** State after the first long season, from its means. */
function initial(values: Float64Array, seasons: readonly number[]): State {
  const season = seasons[0]!;
  const length = seasons.length > 1 ? seasons.at(-1)! : 1;
  const start = seasons.length > 1 ? length : season;
  const short = new Float64Array(season);
  const long = new Float64Array(length);
  let level = 0;
  for (let i = 0; i < start; i++) level += values[i]! / start;
  const rounds = Math.floor(start / season);
  for (let i = 0; i < rounds * season; i++) short[i % season]! += (values[i]! - level) / rounds;
  if (length > 1) for (let i = 0; i < length; i++) long[i] = values[i]! - level - short[i % season]!;
  return { at: start, level, residual: 0, short, long, shortAt: start % season, longAt: start % length };
}

/** Advances the state to `to`; returns the mean squared error of the news on the way, the first season left out. */
function run(state: State, values: Float64Array, to: number, [alpha, gamma, phi]: Constants): number {
  const { short, long } = state;
  const settled = 2 * Math.max(short.length, long.length);
  const double = long.length > 1;
  let { level, residual, shortAt, longAt } = state;
  let error = 0;
  for (let t = state.at; t < to; t++) {
    const e = values[t]! - level - short[shortAt]! - long[longAt]!;
    // What remains after the echo of the last error is news; it moves level and seasons.
    const news = e - phi * residual;
    if (t >= settled) error += news * news;
    level += alpha * news;
    short[shortAt]! += gamma * news;
    if (double) long[longAt]! += gamma * news;
    residual = e;
    if (++shortAt === short.length) shortAt = 0;
    if (++longAt === long.length) longAt = 0;
  }
  const counted = to - Math.max(settled, state.at);
  state.at = to;
  state.level = level;
  state.residual = residual;
  state.shortAt = shortAt;
  state.longAt = longAt;
  return counted > 0 ? error / counted : 0;
}

function ahead({ level, residual, short, long, shortAt, longAt }: State, horizon: number, phi: number) {
  const out = new Float64Array(horizon);
  let echo = residual;
  for (let h = 0; h < horizon; h++) {
    echo *= phi;
    out[h] = level + short[(shortAt + h) % short.length]! + long[(longAt + h) % long.length]! + echo;
  }
  return out;
}
