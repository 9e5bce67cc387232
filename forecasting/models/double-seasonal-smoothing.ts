import type { Model, ModelRequest } from './model.ts';

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
      let best = Number.POSITIVE_INFINITY;
      let rows: Float64Array[] = [];
      for (const level of grid.level) {
        for (const season of grid.season) {
          for (const correction of grid.correction) {
            const run = smooth(request, level, season, correction);
            if (run.error < best || rows.length === 0) {
              best = run.error;
              rows = run.rows;
            }
          }
        }
      }
      return rows;
    },
  };
}

function smooth(
  { values, origins, horizon, seasons }: ModelRequest,
  alpha: number,
  gamma: number,
  phi: number,
): { error: number; rows: Float64Array[] } {
  const short = seasons[0]!;
  const long = seasons.length > 1 ? seasons.at(-1)! : 0;
  const first = origins[0]!;
  const rows: Float64Array[] = [];
  const daily = new Float64Array(short);
  const weekly = new Float64Array(long);
  const start = long > 0 ? long : short;
  let level = 0;
  for (let i = 0; i < start; i++) level += values[i]!;
  level /= start;
  const rounds = Math.floor(start / short);
  for (let i = 0; i < rounds * short; i++) daily[i % short]! += (values[i]! - level) / rounds;
  for (let i = 0; i < long; i++) weekly[i] = values[i]! - level - daily[i % short]!;
  let residual = 0;
  let error = 0;
  let counted = 0;
  let next = 0;
  for (let t = start; t <= values.length; t++) {
    while (next < origins.length && origins[next] === t) {
      const out = new Float64Array(horizon);
      let echo = residual;
      for (let h = 0; h < horizon; h++) {
        echo *= phi;
        const i = t + h;
        out[h] = level + daily[i % short]! + (long > 0 ? weekly[i % long]! : 0) + echo;
      }
      rows.push(out);
      next++;
    }
    if (t === values.length) break;
    const d = t % short;
    const w = long > 0 ? t % long : 0;
    const base = level + daily[d]! + (long > 0 ? weekly[w]! : 0);
    const e = values[t]! - base;
    // What remains after the echo of the last error is news; it moves level and seasons.
    const news = e - phi * residual;
    if (t < first && t >= 2 * start) {
      error += news * news;
      counted++;
    }
    level += alpha * news;
    daily[d]! += gamma * news;
    if (long > 0) weekly[w]! += gamma * news;
    residual = e;
  }
  return { error: counted > 0 ? error / counted : 0, rows };
}
