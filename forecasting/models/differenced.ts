import type { Model } from './model.ts';

/** A model of the differences to one shortest season before (Box and Jenkins 1970), added up again. */
export function differenced(name: string, model: Model): Model {
  return {
    name,
    needs: (seasons, horizon) => model.needs(seasons, horizon) + (seasons[0] ?? Number.POSITIVE_INFINITY),
    forecast(request) {
      const { values, origins, horizon, seasons } = request;
      const season = seasons[0] ?? 1;
      const differences = new Float64Array(Math.max(0, values.length - season));
      for (let i = 0; i < differences.length; i++) differences[i] = values[i + season]! - values[i]!;
      const rows = model.forecast({
        values: differences,
        origins: origins.map((origin) => origin - season),
        horizon,
        seasons,
      });
      rows.forEach((row, j) => {
        const from = origins[j]! - season;
        for (let h = 0; h < row.length; h++) row[h]! += h < season ? values[from + h]! : row[h - season]!;
      });
      return rows;
    },
  };
}

/** A model that is shown the shortest season alone. */
export function shortestSeason(name: string, model: Model): Model {
  const shortest = (seasons: readonly number[]) => seasons.slice(0, 1);
  return {
    name,
    needs: (seasons, horizon) =>
      seasons.length === 0 ? Number.POSITIVE_INFINITY : model.needs(shortest(seasons), horizon),
    forecast: (request) => model.forecast({ ...request, seasons: shortest(request.seasons) }),
  };
}
