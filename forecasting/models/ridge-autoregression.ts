import { accumulateGram, solveRidge } from '../regression.ts';
import type { Model, ModelRequest } from './model.ts';

export interface RidgeOptions {
  readonly name: string;
  /** Lags in steps for the given seasons, ascending; empty where the model does not apply. */
  readonly lags: (seasons: readonly number[]) => readonly number[];
  /** Penalty, as a share of the mean of the diagonal of the Gram matrix. */
  readonly ridge: number;
  /** Weight of a step against the next one; below 1 the past fades. */
  readonly discount: number;
}

/** Regressions on fewer rows than this many per lag follow noise. */
const ROWS_PER_LAG = 3;
/** An iterated forecast further from the centre than this many largest deviations has diverged. */
const DIVERGED = 8;

/**
 * Autoregression on seasonal lags with an L2 penalty (Hoerl and Kennedy 1970), iterated over the horizon. The Gram
 * matrix grows along the series, so that a further origin costs one solution.
 */
export function ridgeAutoregression(options: RidgeOptions): Model {
  return {
    name: options.name,
    needs(seasons) {
      const lags = options.lags(seasons);
      return lags.length === 0 ? Number.POSITIVE_INFINITY : lags.at(-1)! + ROWS_PER_LAG * lags.length;
    },
    forecast({ values, origins, horizon, seasons }: ModelRequest) {
      const lags = Int32Array.from(options.lags(seasons));
      const size = lags.length;
      const longest = lags[size - 1]!;
      const stride = size + 1;
      const first = origins[0]!;
      // The centre takes the place of an intercept; it is that of the first origin, and so leaks nothing.
      let centre = 0;
      for (let i = 0; i < first; i++) centre += values[i]!;
      centre /= Math.max(1, first);
      const x = new Float64Array(values.length);
      let largest = 0;
      for (let i = 0; i < x.length; i++) {
        x[i] = values[i]! - centre;
        largest = Math.max(largest, Math.abs(x[i]!));
      }
      const bound = DIVERGED * largest;
      const columns = [...lags, 0].map((lag) => ({ of: x, lag }));
      const gram = new Float64Array(stride * stride);
      const work = new Float64Array(stride * stride);
      const penalty = new Float64Array(size);
      const path = new Float64Array(longest + horizon);
      // Weights rise along the series instead of fading behind it, so that the Gram matrix need not be scaled.
      const weights = new Float64Array(values.length);
      let weight = 1;
      for (let t = longest; t < values.length; t++) {
        weights[t] = weight;
        weight /= options.discount;
      }
      let from = Math.min(longest, first);
      return origins.map((origin) => {
        accumulateGram(gram, columns, from, origin, weights);
        from = origin;
        let trace = 0;
        for (let i = 0; i < size; i++) trace += gram[i * stride + i]!;
        penalty.fill((options.ridge * trace) / size);
        const out = new Float64Array(horizon);
        const solution = solveRidge(gram, size, penalty, work);
        // A constant series has no deviations to regress on: its forecast is the centre.
        if (solution === undefined) return out.fill(trace > 0 ? Number.NaN : centre);
        path.set(x.subarray(origin - longest, origin), 0);
        for (let h = 0; h < horizon; h++) {
          let sum = 0;
          for (let j = 0; j < size; j++) sum += solution[j]! * path[longest + h - lags[j]!]!;
          sum = Math.max(-bound, Math.min(bound, sum));
          path[longest + h] = sum;
          out[h] = sum + centre;
        }
        return out;
      });
    },
  };
}
