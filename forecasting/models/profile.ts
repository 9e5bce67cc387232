import type { Model } from './model.ts';

export interface ProfileOptions {
  readonly name: string;
  /** Weight of a season against the next one. */
  readonly discount: number;
  /** Steps at the end whose ratio to the profile gives the level; 0 for no adjustment. */
  readonly recent: number;
}

/**
 * Profile of the longest season (day of week × hour of day for hours): discounted means per position, scaled by how
 * far the last steps stood from it.
 */
export function profile(options: ProfileOptions): Model {
  return {
    name: options.name,
    needs: (seasons) => (seasons.at(-1) ?? Number.POSITIVE_INFINITY) + options.recent,
    forecast: ({ values, origins, horizon, seasons }) =>
      origins.map((origin) => {
        const season = seasons.at(-1) ?? 1;
        const base = new Float64Array(season);
        let total = 0;
        let weight = 1;
        for (let start = origin - season; start >= 0; start -= season) {
          for (let i = 0; i < season; i++) base[i]! += weight * values[start + i]!;
          total += weight;
          weight *= options.discount;
        }
        for (let i = 0; i < season; i++) base[i]! /= total;
        let ratio = 1;
        if (options.recent > 0) {
          let seen = 0;
          let expected = 0;
          for (let i = 1; i <= options.recent; i++) {
            seen += values[origin - i]!;
            expected += base[season - 1 - ((i - 1) % season)]!;
          }
          ratio = expected > 0 ? seen / expected : 1;
        }
        const out = new Float64Array(horizon);
        for (let h = 0; h < horizon; h++) out[h] = base[h % season]! * ratio;
        return out;
      }),
  };
}
