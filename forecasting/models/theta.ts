import type { Model } from './model.ts';

const CONSTANTS = [0.05, 0.15, 0.3, 0.5, 0.8] as const;

/**
 * The Theta method (Assimakopoulos and Nikolopoulos 2000), as Hyndman and Billah 2003 have it: simple exponential
 * smoothing with half the slope of the linear trend as drift, on seasonally adjusted values. Seasonal differences are
 * means per position of the longest season that fits twice.
 */
export function theta(name: string): Model {
  return {
    name,
    needs: () => 8,
    forecast: ({ values, origins, horizon, seasons }) =>
      origins.map((origin) => {
        const season = seasons.findLast((length) => 2 * length <= origin) ?? 1;
        const start = origin - Math.floor(origin / season) * season;
        const n = origin - start;
        const shape = new Float64Array(season);
        let mean = 0;
        for (let i = 0; i < n; i++) {
          const value = values[start + i]!;
          shape[i % season]! += value;
          mean += value;
        }
        mean /= n;
        for (let i = 0; i < season; i++) shape[i] = (shape[i]! * season) / n - mean;
        const adjusted = new Float64Array(n);
        let slope = 0;
        let spread = 0;
        const middle = (n - 1) / 2;
        for (let i = 0; i < n; i++) {
          adjusted[i] = values[start + i]! - shape[i % season]!;
          slope += (i - middle) * adjusted[i]!;
          spread += (i - middle) * (i - middle);
        }
        slope = spread > 0 ? slope / spread : 0;
        let best = Number.POSITIVE_INFINITY;
        let level = mean;
        for (const alpha of CONSTANTS) {
          let state = adjusted[0]!;
          let error = 0;
          for (let i = 1; i < n; i++) {
            const e = adjusted[i]! - state;
            error += e * e;
            state += alpha * e;
          }
          if (error < best) {
            best = error;
            level = state;
          }
        }
        const out = new Float64Array(horizon);
        for (let h = 0; h < horizon; h++) out[h] = level + 0.5 * slope * (h + 1) + shape[h % season]!;
        return out;
      }),
  };
}
