/** Symmetric mean absolute percentage error, in percent, as the M4 competition has it. */
export function smape(actual: ArrayLike<number>, forecast: ArrayLike<number>): number {
  let sum = 0;
  for (let h = 0; h < actual.length; h++) {
    const size = Math.abs(actual[h]!) + Math.abs(forecast[h]!);
    if (size > 0) sum += (200 * Math.abs(actual[h]! - forecast[h]!)) / size;
  }
  return sum / actual.length;
}

/** Mean absolute error of the seasonal naive forecast within the history, by which errors are scaled. */
export function naiveScale(history: ArrayLike<number>, season: number): number {
  let sum = 0;
  for (let t = season; t < history.length; t++) sum += Math.abs(history[t]! - history[t - season]!);
  return sum / (history.length - season);
}

export function meanAbsoluteError(actual: ArrayLike<number>, forecast: ArrayLike<number>): number {
  let sum = 0;
  for (let h = 0; h < actual.length; h++) sum += Math.abs(actual[h]! - forecast[h]!);
  return sum / actual.length;
}

/** Mean interval score (Gneiting and Raftery 2007), not yet scaled, and the share of values inside. */
export function intervalScore(
  actual: ArrayLike<number>,
  lower: ArrayLike<number>,
  upper: ArrayLike<number>,
  level: number,
): { score: number; inside: number } {
  const penalty = 2 / (1 - level);
  let score = 0;
  let inside = 0;
  for (let h = 0; h < actual.length; h++) {
    const y = actual[h]!;
    score += upper[h]! - lower[h]!;
    if (y < lower[h]!) score += penalty * (lower[h]! - y);
    else if (y > upper[h]!) score += penalty * (y - upper[h]!);
    else inside++;
  }
  return { score: score / actual.length, inside: inside / actual.length };
}

/** Naive2 of M4: the last value, seasonally adjusted by classical decomposition where a test at 90 % finds a season. */
export function naive2(history: Float64Array, horizon: number, season: number): Float64Array {
  const n = history.length;
  const last = history[n - 1]!;
  if (!seasonal(history, season)) return new Float64Array(horizon).fill(last);
  const half = season / 2;
  const sums = new Float64Array(season);
  const counts = new Float64Array(season);
  for (let t = half; t < n - half; t++) {
    let trend = (history[t - half]! + history[t + half]!) / 2;
    for (let d = 1 - half; d < half; d++) trend += history[t + d]!;
    sums[t % season]! += (history[t]! * season) / trend;
    counts[t % season]!++;
  }
  const indices = sums.map((sum, i) => sum / counts[i]!);
  const mean = indices.reduce((sum, index) => sum + index, 0) / season;
  const adjusted = (last * mean) / indices[(n - 1) % season]!;
  return Float64Array.from({ length: horizon }, (_, h) => (adjusted * indices[(n + h) % season]!) / mean);
}

function seasonal(history: Float64Array, season: number): boolean {
  const n = history.length;
  if (n < 3 * season) return false;
  const mean = history.reduce((sum, value) => sum + value, 0) / n;
  const covariance = (lag: number) => {
    let sum = 0;
    for (let t = lag; t < n; t++) sum += (history[t]! - mean) * (history[t - lag]! - mean);
    return sum;
  };
  const variance = covariance(0);
  let squares = 0;
  for (let lag = 1; lag < season; lag++) squares += (covariance(lag) / variance) ** 2;
  return Math.abs(covariance(season) / variance) > 1.645 * Math.sqrt((1 + 2 * squares) / n);
}

/** Mean Poisson deviance; a forecast below `floor` counts as `floor`, since nothing forgives an exact zero. */
export function poissonDeviance(
  actual: ArrayLike<number>,
  forecast: ArrayLike<number>,
  floor = 0.01,
): number {
  let sum = 0;
  for (let h = 0; h < actual.length; h++) {
    const y = actual[h]!;
    const f = Math.max(floor, forecast[h]!);
    sum += 2 * ((y > 0 ? y * Math.log(y / f) : 0) - y + f);
  }
  return sum / actual.length;
}

/** P(Y < y) and P(Y ≤ y) of a negative binomial count, Poisson's where the variance is not above the mean. */
export function countProbabilities(y: number, mean: number, variance: number): [below: number, upTo: number] {
  if (!(mean > 0)) return [y > 0 ? 1 : 0, 1];
  const excess = Math.max(0, variance - mean) / (mean * mean);
  const shape = excess < 1e-9 ? Number.POSITIVE_INFINITY : 1 / excess;
  const success = excess < 1e-9 ? 0 : mean / (mean + shape);
  let probability = excess < 1e-9 ? Math.exp(-mean) : Math.exp(shape * Math.log1p(-success));
  let below = 0;
  for (let k = 1; k <= y; k++) {
    below += probability;
    probability *= excess < 1e-9 ? mean / k : (success * (shape + k - 1)) / k;
  }
  return [Math.min(1, below), Math.min(1, below + probability)];
}

/**
 * How far a count lies between two quantiles: its probability integral transform, spread over the step that the
 * distribution makes there (Czado, Gneiting and Held 2009). The mean of it is `to - from` for calibrated forecasts,
 * which the share of counts inside an interval of whole numbers is not.
 */
export function spreadCoverage([below, upTo]: readonly [number, number], from: number, to: number): number {
  const step = upTo - below;
  if (step <= 0) return below >= from && below <= to ? 1 : 0;
  return Math.max(0, Math.min(upTo, to) - Math.max(below, from)) / step;
}
