import type { Model } from './model.ts';

/** The last value (random walk). */
export const lastValue: Model = {
  name: 'naive',
  needs: () => 1,
  forecast: ({ values, origins, horizon }) =>
    origins.map((origin) => new Float64Array(horizon).fill(values[origin - 1] ?? 0)),
};

/** The mean of all values. */
export const meanValue: Model = {
  name: 'mean',
  needs: () => 1,
  forecast: ({ values, origins, horizon }) => {
    let sum = 0;
    let t = 0;
    return origins.map((origin) => {
      for (; t < origin; t++) sum += values[t]!;
      return new Float64Array(horizon).fill(origin > 0 ? sum / origin : 0);
    });
  },
};
