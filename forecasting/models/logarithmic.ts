import { exp, log } from '../elementary.ts';
import type { Logarithms, Model } from './model.ts';

/** Share of the mean that is added before the logarithm, so that zeros stay finite and small counts do not dominate. */
const OFFSET = 0.02;
/** Logarithms beyond this are a diverged model; cut here, the caller's guard sees them without overflow. */
const LOGARITHM_MAX = 20;

/** The logarithms of a series, relative to its mean before `first`. */
export function logarithmsOf(values: Float64Array, first: number): Logarithms {
  let mean = 0;
  for (let i = 0; i < first; i++) mean += values[i]!;
  mean = mean > 0 ? mean / first : 1;
  const offset = OFFSET * mean;
  const logs = new Float64Array(values.length);
  for (let i = 0; i < logs.length; i++) logs[i] = log((values[i]! + offset) / mean);
  return { values: logs, mean, offset };
}

/** A model on the logarithm, which makes seasons and trends multiplicative (Box and Cox 1964, λ = 0). */
export function logarithmic(name: string, model: Model): Model {
  return {
    name,
    needs: model.needs,
    forecast(request) {
      const { origins, horizon, seasons } = request;
      const logarithms = request.logarithms ?? logarithmsOf(request.values, origins[0] ?? 0);
      const { values, mean, offset } = logarithms;
      const rows = model.forecast({ values, origins, horizon, seasons });
      for (const row of rows) {
        for (let h = 0; h < row.length; h++) {
          row[h] = exp(Math.min(LOGARITHM_MAX, row[h]!)) * mean - offset;
        }
      }
      return rows;
    },
  };
}
