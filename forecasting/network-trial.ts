import { seasonalOutlook } from './seasonal-outlook.ts';
import type { Series } from './series.ts';

/** What a network added to the forecasts of hours that its training had not seen. */
export interface NetworkTrial {
  /** Series that it was tried on. */
  readonly series: number;
  /** Mean absolute error over the mean of each series, averaged over series, of the models without it and with it. */
  readonly without: number;
  readonly with: number;
}

/** Newest hours that training leaves out and the trial forecasts. */
export const TRIAL_HOURS = 24;
/** Hours ahead: as far as the curves of an epoch reach. */
const AHEAD = 6;

/**
 * Forecasts the last day of hourly series by the epoch's own path, with and without a network, from four origins.
 * Pure. Series that are too short or too quiet for it say nothing.
 */
export function tryNetwork(series: readonly Series[], network: Float64Array): NetworkTrial {
  let tried = 0;
  const sums = { without: 0, with: 0 };
  for (const { id, startMs, stepMs, values } of series) {
    const n = values.length;
    let total = 0;
    for (let i = 0; i < n; i++) total += values[i]!;
    const errors = { without: 0, with: 0 };
    let judged = 0;
    for (let origin = n - TRIAL_HOURS; origin + AHEAD <= n; origin += AHEAD) {
      const now = startMs + origin * stepMs;
      const request = { now, windowMs: stepMs, horizonMs: AHEAD * stepMs, level: 0.9 };
      const ring = { start: startMs, stepMs, values: values.slice(0, origin) };
      const plain = seasonalOutlook(id, ring, request)?.curve?.values;
      const assisted = seasonalOutlook(id, ring, { ...request, network })?.curve?.values;
      if (plain === undefined || assisted === undefined) break;
      for (let h = 0; h < AHEAD; h++) {
        errors.without += Math.abs(values[origin + h]! - plain[h]!);
        errors.with += Math.abs(values[origin + h]! - assisted[h]!);
      }
      judged += AHEAD;
    }
    if (judged < TRIAL_HOURS || total <= 0) continue;
    tried++;
    sums.without += errors.without / judged / (total / n);
    sums.with += errors.with / judged / (total / n);
  }
  return {
    series: tried,
    without: tried > 0 ? sums.without / tried : 0,
    with: tried > 0 ? sums.with / tried : 0,
  };
}
