import type { Model } from './model.ts';

/** The value one season ago (the benchmark of Hyndman and Koehler 2006); `which` picks the season, 0 the shortest. */
export function seasonalNaive(name: string, which: number): Model {
  return {
    name,
    needs: (seasons) => seasons[which] ?? Number.POSITIVE_INFINITY,
    forecast: ({ values, origins, horizon, seasons }) =>
      origins.map((origin) => {
        const season = seasons[which] ?? 1;
        const out = new Float64Array(horizon);
        for (let h = 0; h < horizon; h++) out[h] = values[origin - season + (h % season)]!;
        return out;
      }),
  };
}
