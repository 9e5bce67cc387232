import type { History } from '../protocol/history.ts';
import { TRIAL_HOURS } from './network-trial.ts';
import { TRAINING_HOURS_MIN } from './recurrent-training.ts';
import { trimmed } from './ring.ts';
import { NETWORK_LEAST } from './seasonal-outlook.ts';
import type { Series } from './series.ts';

/** More say nothing new for a thousand parameters, and cost memory. */
const SERIES_MAX = 2_000;

/** The hours of established series that are long and busy enough to teach and to be helped. */
export function trainingSeries(history: Pick<History, 'established' | 'series'>, now: number): Series[] {
  const found: Series[] = [];
  for (const { resource, region } of history.established()) {
    const ring = history.series(resource.key16, region.region, 'hour', now);
    if (ring === undefined) continue;
    // The hour of the first request is not whole.
    const hours = trimmed(ring, region.first + ring.stepMs);
    if (hours.values.length < TRAINING_HOURS_MIN + TRIAL_HOURS) continue;
    const id = resource.key16 + region.region;
    const series = { id, startMs: hours.start, stepMs: hours.stepMs, values: hours.values };
    if (totalOf(series) >= NETWORK_LEAST * hours.values.length) found.push(series);
  }
  return busiest(found);
}

/** Those with most requests, as many as a training takes. */
export function busiest(series: readonly Series[]): Series[] {
  const totals = new Map(series.map((one) => [one, totalOf(one)]));
  return [...series]
    .sort((a, b) => totals.get(b)! - totals.get(a)! || (a.id < b.id ? -1 : 1))
    .slice(0, SERIES_MAX);
}

function totalOf({ values }: Series): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}
