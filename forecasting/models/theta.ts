import type { Model } from './model.ts';

const CONSTANTS = [0.05, 0.15, 0.3, 0.5, 0.8] as const;

/**
 * The Theta method (Assimakopoulos and Nikolopoulos 2000), as Hyndman and Billah 2003 have it: simple exponential
 * smoothing with half the slope of the linear trend as drift, on seasonally adjusted values. Seasonal differences are
 * means per position of the longest season that fits twice; the smoothing constant is that of the first origin.
 */
export function theta(name: string): Model {
  return {
    name,
    needs: () => 8,
    forecast({ values, origins, horizon, seasons }) {
      let constant: number | undefined;
      return origins.map((origin) => {
        const season = seasons.findLast((length) => 2 * length <= origin) ?? 1;
        const { adjusted, shape, slope } = adjust(values, origin, season);
        constant ??= bestConstant(adjusted);
        let level = adjusted[0]!;
        for (let i = 1; i < adjusted.length; i++) level += constant * (adjusted[i]! - level);
        const out = new Float64Array(horizon);
        for (let h = 0; h < horizon; h++) out[h] = level + 0.5 * slope * (h + 1) + shape[h % season]!;
        return out;
      });
    },
  };
}

/** The whole seasons before `origin` less their seasonal shape, and the slope of what remains. */
function adjust(values: Float64Array, origin: number, season: number) {
  const rounds = Math.floor(origin / season);
  const n = rounds * season;
  const start = origin - n;
  const shape = new Float64Array(season);
  let mean = 0;
  for (let k = 0; k < rounds; k++) {
    const at = start + k * season;
    for (let i = 0; i < season; i++) shape[i]! += values[at + i]!;
  }
  for (let i = 0; i < season; i++) {
    shape[i]! /= rounds;
    mean += shape[i]! / season;
  }
  for (let i = 0; i < season; i++) shape[i]! -= mean;
  const adjusted = new Float64Array(n);
  let slope = 0;
  const middle = (n - 1) / 2;
  for (let k = 0, i = 0; k < rounds; k++) {
    for (let p = 0; p < season; p++, i++) {
      adjusted[i] = values[start + i]! - shape[p]!;
      slope += (i - middle) * adjusted[i]!;
    }
  }
  // Sum of squares of n consecutive numbers around their mean.
  const spread = (n * (n * n - 1)) / 12;
  return { adjusted, shape, slope: spread > 0 ? slope / spread : 0 };
}

function bestConstant(adjusted: Float64Array): number {
  let best = Number.POSITIVE_INFINITY;
  let chosen: number = CONSTANTS[0];
  for (const constant of CONSTANTS) {
    let level = adjusted[0]!;
    let error = 0;
    for (let i = 1; i < adjusted.length; i++) {
      const e = adjusted[i]! - level;
      error += e * e;
      level += constant * e;
    }
    if (error < best) {
      best = error;
      chosen = constant;
    }
  }
  return chosen;
}
