import type { Model } from './model.ts';

/** Stretches whose continuations are averaged. */
const NEIGHBOURS = 5;
/** Keeps the weight of an exact match finite, relative to the mean square of the stretch. */
const DISTANCE_FLOOR = 1e-9;

/**
 * Analogues (Lorenz 1969; nearest neighbours of Yakowitz 1987): the past stretches that resembled the last season
 * most say how it goes on, each shifted to the present level. Only stretches at the same phase of the shortest season
 * are asked, and they weigh by the inverse of their squared distance.
 */
export function analogue(name: string): Model {
  return {
    name,
    needs: (seasons, horizon) => {
      const season = seasons[0];
      return season === undefined
        ? Number.POSITIVE_INFINITY
        : season * 3 + Math.ceil(horizon / season) * season;
    },
    forecast: ({ values, origins, horizon, seasons }) => {
      const season = seasons[0] ?? 1;
      const ahead = Math.ceil(horizon / season) * season;
      return origins.map((origin) => {
        const base = origin - season;
        const level = meanOf(values, base, season);
        const found: { start: number; level: number; distance: number }[] = [];
        for (let start = base - ahead; start >= 0; start -= season) {
          const mean = meanOf(values, start, season);
          let distance = 0;
          for (let i = 0; i < season; i++) {
            const e = values[base + i]! - level - (values[start + i]! - mean);
            distance += e * e;
          }
          found.push({ start, level: mean, distance });
        }
        found.sort((a, b) => a.distance - b.distance);
        const out = new Float64Array(horizon);
        let total = 0;
        for (const one of found.slice(0, NEIGHBOURS)) {
          const weight = 1 / (one.distance + DISTANCE_FLOOR * (1 + level * level));
          total += weight;
          for (let h = 0; h < horizon; h++) {
            out[h]! += weight * (values[one.start + season + h]! - one.level + level);
          }
        }
        for (let h = 0; h < horizon; h++) out[h]! /= total;
        return out;
      });
    },
  };
}

function meanOf(values: Float64Array, from: number, length: number): number {
  let sum = 0;
  for (let i = from; i < from + length; i++) sum += values[i]!;
  return sum / length;
}
