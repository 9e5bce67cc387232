import type { Model } from './model.ts';

/** Share of the mean that is added before the logarithm, so that zeros stay finite and small counts do not dominate. */
const OFFSET = 0.02;
/** Logarithms beyond this are a diverged model; cut here, the caller's guard sees them without overflow. */
const LOGARITHM_MAX = 20;

/** A model on the logarithm, which makes seasons and trends multiplicative (Box and Cox 1964, λ = 0). */
export function logarithmic(name: string, model: Model): Model {
  return {
    name,
    needs: model.needs,
    forecast(request) {
      const first = request.origins[0] ?? 0;
      let mean = 0;
      for (let i = 0; i < first; i++) mean += request.values[i]!;
      mean = mean > 0 ? mean / first : 1;
      const offset = OFFSET * mean;
      const values = new Float64Array(request.values.length);
      for (let i = 0; i < values.length; i++) values[i] = Math.log((request.values[i]! + offset) / mean);
      const rows = model.forecast({ ...request, values });
      for (const row of rows) {
        for (let h = 0; h < row.length; h++) {
          row[h] = Math.exp(Math.min(LOGARITHM_MAX, row[h]!)) * mean - offset;
        }
      }
      return rows;
    },
  };
}
