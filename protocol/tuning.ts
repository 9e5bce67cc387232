import {
  addOutcomes,
  adjust,
  DEFAULT_PARAMETERS,
  NO_OUTCOME,
  type Outcome,
  PARAMETER_BOUNDS,
  type Parameters,
  remember,
} from './adjustment.ts';
import { byBytes, quotient, scaled, within } from './exact.ts';
import type { RegionId, SiteId } from './ids.ts';
import type { Seen } from './scoring.ts';

/** Pairs of site and region that are tuned by themselves; further ones keep the defaults. */
export const TUNINGS_MAX = 4_096;
/** Thousandths of a height between two looks at known demand. */
export const REPLAN_BOUNDS = [1000, 4000] as const;
/** Requests (thousandths) in the sample below which accuracy says nothing. */
const EVIDENCE = 10_000;

/** How the plan treats one site's demand in one region, and what it learnt that from. */
export interface Tuning {
  readonly site: SiteId;
  readonly region: RegionId;
  readonly parameters: Parameters;
  /** Heights between two looks at known demand, thousandths. */
  readonly replan: number;
  /** Recent accuracy of the agreed forecasts, thousandths. */
  readonly accuracy: number;
  readonly outcome: Outcome;
}

/** What mirroring came to for a site in a region since the last height. */
export interface Lot {
  readonly site: SiteId;
  readonly region: RegionId;
  readonly outcome: Outcome;
}

export const untuned = (site: SiteId, region: RegionId): Tuning => ({
  site,
  region,
  parameters: DEFAULT_PARAMETERS,
  replan: REPLAN_BOUNDS[0],
  accuracy: 500,
  outcome: NO_OUTCOME,
});

/** By site, then by region; neither name holds a space. */
export const tuningKey = (site: SiteId, region: RegionId): string => `${site} ${region}`;

/**
 * Whether known demand is weighed anew.
 *
 * @param count of heights, or of turns
 * @param heights that one count takes
 */
export const isDue = (tuning: Tuning | undefined, count: number, heights = 1): boolean =>
  tuning === undefined || count % Math.max(1, quotient(tuning.replan, 1000 * heights)) === 0;

interface Accuracy {
  expected: number;
  observed: number;
  off: number;
}

/**
 * Moves the tunings by what mirroring came to (`lots`) and by how the forecasts of a sample compare with what was
 * agreed to have happened (`seen`). Every step is bounded, and without news nothing moves. The result is strictly by key.
 */
export function tune(old: readonly Tuning[], lots: readonly Lot[], seen: readonly Seen[]): Tuning[] {
  const tunings = new Map(old.map((tuning) => [tuningKey(tuning.site, tuning.region), tuning]));
  const news = new Map<string, Lot>();
  for (const lot of lots) {
    const key = tuningKey(lot.site, lot.region);
    const known = news.get(key);
    const outcome = known === undefined ? lot.outcome : addOutcomes(known.outcome, lot.outcome);
    news.set(key, { ...lot, outcome });
  }
  for (const key of [...news.keys()].sort(byBytes)) {
    const { site, region, outcome } = news.get(key)!;
    const tuning = tunings.get(key) ?? untuned(site, region);
    if (tunings.size < TUNINGS_MAX || tunings.has(key)) tunings.set(key, learn(tuning, outcome));
  }
  for (const [key, accuracy] of accuraciesOf(seen)) {
    const tuning = tunings.get(key);
    if (tuning !== undefined) tunings.set(key, calibrate(tuning, accuracy));
  }
  return [...tunings.keys()].sort(byBytes).map((key) => tunings.get(key)!);
}

function learn(tuning: Tuning, lot: Outcome): Tuning {
  const outcome = remember(tuning.outcome, lot);
  const parameters = adjust(tuning.parameters, outcome, lot);
  // As the threshold moves, so does the interval: where mirrors go unused, demand is judged less hastily.
  const shift = scaled(parameters.threshold, 1000, tuning.parameters.threshold) - 1000;
  const replan = within(tuning.replan + shift, REPLAN_BOUNDS);
  return { ...tuning, outcome, parameters, replan };
}

function accuraciesOf(seen: readonly Seen[]): Map<string, Accuracy> {
  const accuracies = new Map<string, Accuracy>();
  for (const { forecast, observed } of seen) {
    for (const [region, next] of forecast.agreed) {
      const key = tuningKey(forecast.site, region);
      const sum = accuracies.get(key) ?? { expected: 0, observed: 0, off: 0 };
      const came = observed.get(region) ?? 0;
      sum.expected += next;
      sum.observed += came;
      sum.off += Math.abs(next - came);
      accuracies.set(key, sum);
    }
  }
  return accuracies;
}

/** Forecasts that promise more than comes are trusted less, and the other way round, a sixteenth a height. */
function calibrate(tuning: Tuning, { expected, observed, off }: Accuracy): Tuning {
  if (expected + observed < EVIDENCE) return tuning;
  const hit = 1000 - Math.min(1000, scaled(off, 1000, Math.max(1, expected + observed)));
  const wanted = within(scaled(observed, 1000, Math.max(1, expected)), PARAMETER_BOUNDS.safety);
  const { safety } = tuning.parameters;
  return {
    ...tuning,
    accuracy: tuning.accuracy + Math.trunc((hit - tuning.accuracy) / 8),
    parameters: {
      ...tuning.parameters,
      safety: within(safety + Math.trunc((wanted - safety) / 16), PARAMETER_BOUNDS.safety),
    },
  };
}
