import { exp, log1p } from './elementary.ts';
import { normalQuantile } from './intervals.ts';

/** Above this mean the distribution is continuous enough for its Wilson-Hilferty form, and the sum too long. */
const EXACT_MEAN_MAX = 256;
/** Below this excess over the mean the variance is Poisson's. */
const EXCESS_LEAST = 1e-9;

/**
 * Quantile of a negative binomial count with the given mean and variance (a Gamma-mixed Poisson; Poisson itself where
 * the variance is not above the mean). Exact for small means, by the cube-root gamma approximation of Wilson and
 * Hilferty (1931) for large ones.
 */
export function countQuantile(mean: number, variance: number, p: number, nearest = false): number {
  if (!(mean > 0)) return 0;
  const excess = Math.max(0, variance - mean) / (mean * mean);
  if (mean > EXACT_MEAN_MAX) {
    const relative = excess + 1 / mean;
    const ninth = relative / 9;
    const root = Math.max(0, 1 - ninth + normalQuantile(p) * Math.sqrt(ninth));
    return Math.ceil(mean * root * root * root);
  }
  // Probability of k from that of k − 1, so that no gamma function is needed.
  const limit = mean + 40 * Math.sqrt(Math.max(variance, mean)) + 40;
  if (excess < EXCESS_LEAST) {
    let probability = exp(-mean);
    let sum = probability;
    let k = 0;
    while (sum < p && k < limit) {
      k++;
      probability *= mean / k;
      sum += probability;
    }
    return nearest && k > 0 && 2 * p < 2 * sum - probability ? k - 1 : k;
  }
  const shape = 1 / excess;
  const success = mean / (mean + shape);
  let probability = exp(shape * log1p(-success));
  let sum = probability;
  let k = 0;
  while (sum < p && k < limit) {
    k++;
    probability *= (success * (shape + k - 1)) / k;
    sum += probability;
  }
  return nearest && k > 0 && 2 * p < 2 * sum - probability ? k - 1 : k;
}
