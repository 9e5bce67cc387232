import { accumulateGram, solveRidge } from '../regression.ts';
import type { Model } from './model.ts';

/** Penalty as a share of the mean diagonal: only keeps nearly collinear lags apart. */
const RIDGE = 1e-4;
/** An iterated forecast, or an innovation, beyond this many largest differences has diverged. */
const DIVERGED = 4;

/**
 * Seasonal ARIMA (2,0,1)(1,1,1) on the shortest season (Box and Jenkins 1970), fitted by the two regressions of Hannan
 * and Rissanen (1982): a long autoregression gives the innovations, which are then regressors beside the lags. The
 * parameters are those of the first origin; later origins only run the filter on.
 */
export function seasonalArima(name: string): Model {
  return {
    name,
    needs: (seasons) => (seasons[0] === undefined ? Number.POSITIVE_INFINITY : 5 * seasons[0] + 40),
    forecast({ values, origins, horizon, seasons }) {
      const season = seasons[0] ?? 1;
      const w = new Float64Array(values.length);
      let largest = 0;
      for (let t = season; t < values.length; t++) {
        w[t] = values[t]! - values[t - season]!;
        largest = Math.max(largest, Math.abs(w[t]!));
      }
      const bound = DIVERGED * largest;
      const first = origins[0]!;
      const long = regress([{ of: w, lags: [1, 2, 3, 4, season, season + 1, 2 * season] }], w, season, first);
      const innovations = new Float64Array(values.length);
      if (long !== undefined) innovate(innovations, w, long, 3 * season, first, bound);
      const short = regress(
        [
          { of: w, lags: [1, 2, season] },
          { of: innovations, lags: [1, season, season + 1] },
        ],
        w,
        3 * season,
        first,
      );
      if (short !== undefined) innovate(innovations, w, short, 3 * season, values.length, bound);
      return origins.map((origin) => {
        const out = new Float64Array(horizon);
        const reach = 2 * season + 2;
        const path = new Float64Array(reach + horizon);
        const news = new Float64Array(reach + horizon);
        path.set(w.subarray(origin - reach, origin));
        // Innovations to come are zero, which is what they are expected to be.
        news.set(innovations.subarray(origin - reach, origin));
        // Where nothing differs from the season before there is nothing to regress: the seasonal naive forecast stands.
        const terms = short?.map((term, i) => ({ ...term, of: i === 0 ? path : news })) ?? [];
        for (let h = 0; h < horizon; h++) {
          const next = Math.max(-bound, Math.min(bound, predicted(terms, reach + h)));
          path[reach + h] = next;
          out[h] = next + (h < season ? values[origin + h - season]! : out[h - season]!);
        }
        return out;
      });
    },
  };
}

interface Lagged {
  readonly of: Float64Array;
  readonly lags: readonly number[];
}
interface Term extends Lagged {
  readonly weights: Float64Array;
}

function predicted(terms: readonly Term[], at: number): number {
  let sum = 0;
  for (const { of, lags, weights } of terms) {
    for (let k = 0; k < lags.length; k++) sum += weights[k]! * of[at - lags[k]!]!;
  }
  return sum;
}

/** Innovations by the terms, within `bound`: those of a model that cannot be inverted grow without end, from `from` to `to`; terms may refer to the innovations before. */
function innovate(
  into: Float64Array,
  w: Float64Array,
  terms: readonly Term[],
  from: number,
  to: number,
  bound: number,
): void {
  for (let t = from; t < to; t++) {
    into[t] = Math.max(-bound, Math.min(bound, w[t]! - predicted(terms, t)));
  }
}

/** Regression of `target` on lagged rows, over the rows that have all their lags after `start`. */
function regress(
  regressors: readonly Lagged[],
  target: Float64Array,
  start: number,
  end: number,
): Term[] | undefined {
  const columns = regressors.flatMap(({ of, lags }) => lags.map((lag) => ({ of, lag })));
  const size = columns.length;
  const stride = size + 1;
  const gram = new Float64Array(stride * stride);
  const from = start + Math.max(...columns.map(({ lag }) => lag));
  accumulateGram(gram, [...columns, { of: target, lag: 0 }], from, end);
  let trace = 0;
  for (let i = 0; i < size; i++) trace += gram[i * stride + i]!;
  const penalty = new Float64Array(size).fill((RIDGE * trace) / size);
  const solution = solveRidge(gram, size, penalty, new Float64Array(stride * stride));
  if (solution === undefined) return undefined;
  let at = 0;
  return regressors.map(({ of, lags }) => {
    const weights = solution.slice(at, at + lags.length);
    at += lags.length;
    return { of, lags, weights };
  });
}
