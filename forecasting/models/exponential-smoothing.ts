import type { Model } from './model.ts';

const LEVELS = [0.05, 0.1, 0.2, 0.35, 0.55, 0.8] as const;
const TRENDS = [0, 0.05, 0.2] as const;

/**
 * Exponential smoothing of the level, with a damped trend when `damping` is above 0 (Gardner and McKenzie 1985; ETS(A,N,N)
 * and ETS(A,Ad,N) of Hyndman et al. 2008). The constants with the least one-step error before the first origin win.
 */
export function exponentialSmoothing(name: string, damping: number): Model {
  const trends = damping > 0 ? TRENDS : ([0] as const);
  return {
    name,
    needs: () => 3,
    forecast({ values, origins, horizon }) {
      const first = origins[0]!;
      let best = Number.POSITIVE_INFINITY;
      let alpha = 0.2;
      let beta = 0;
      for (const a of LEVELS) {
        for (const b of trends) {
          let level = values[0]!;
          let trend = 0;
          let error = 0;
          for (let t = 1; t < first; t++) {
            const e = values[t]! - level - damping * trend;
            error += e * e;
            level += damping * trend + a * e;
            trend = damping * trend + a * b * e;
          }
          if (error < best) {
            best = error;
            alpha = a;
            beta = b;
          }
        }
      }
      let level = values[0]!;
      let trend = 0;
      let t = 1;
      return origins.map((origin) => {
        for (; t < origin; t++) {
          const e = values[t]! - level - damping * trend;
          level += damping * trend + alpha * e;
          trend = damping * trend + alpha * beta * e;
        }
        const out = new Float64Array(horizon);
        let drift = 0;
        let factor = damping;
        for (let h = 0; h < horizon; h++) {
          drift += factor * trend;
          factor *= damping;
          out[h] = level + drift;
        }
        return out;
      });
    },
  };
}
