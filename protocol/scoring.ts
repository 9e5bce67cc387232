import { type AgreedResource, type Panel, TrimmedMedian, type Voice } from './aggregation.ts';
import { byBytes, product, quotient } from './exact.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import type { Proposal } from './proposal.ts';
import { hash32, rendezvousWeight } from './rendezvous.ts';

/** Keys on which a height's forecasts are scored. */
export const SAMPLE_KEYS = 64;
/** What stands for a PoP that had no say on a key. */
export const SILENT = -1;
export const WEIGHT_MAX = 1000;
/** Windows after which what was seen is no longer asked for: PoPs keep their counts for six. */
const STALE_WINDOWS = 5;
/** Clocks differ: beginnings within this part of a window are of the same window. */
const TOLERANCE = 8;

/** Demand time, ms. */
export interface WindowSpan {
  readonly window: number;
  readonly windowMs: number;
}

/** What was forecast at one height for one window, on a few keys. Requests in thousandths. */
export interface Sample extends WindowSpan {
  /** Whose proposals were included, by id. */
  readonly pops: readonly PopId[];
  /** Strictly by key. */
  readonly keys: readonly SampledForecast[];
}

export interface SampledForecast {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly sizeClass: number;
  /** What those agreed on who forecast this window, strictly by region. */
  readonly agreed: readonly (readonly [region: RegionId, next: number])[];
  /** What each of the PoPs said of those regions together; `SILENT` for those that were not asked. */
  readonly said: readonly number[];
}

/**
 * Forecasts that wait to be scored. `asked`: their window has passed, and the proposals of the next height tell what
 * was seen in it. `pending`: it has not, or was not known to have when the height began.
 */
export type Samples = readonly [asked: Sample, pending: Sample];

export const NO_SAMPLE: Sample = { window: 0, windowMs: 1, pops: [], keys: [] };
export const NO_SAMPLES: Samples = [NO_SAMPLE, NO_SAMPLE];

/** Whether a proposal forecasts the window that was agreed on, and not one before or after it. */
export const isTimely = ({ window, windowMs }: Proposal, agreed: WindowSpan): boolean => {
  const slack = quotient(agreed.windowMs, TOLERANCE);
  return Math.abs(window - agreed.window) <= slack && Math.abs(windowMs - agreed.windowMs) <= slack;
};

/** Whether PoPs still know what was seen in a sample's window. */
export const isFresh = (sample: Sample, now: WindowSpan): boolean =>
  now.window - sample.window <= product(STALE_WINDOWS, sample.windowMs);

/**
 * The samples after a height at which `now` was the window agreed on. What was asked is done with; what waited is
 * asked next if its window has passed. A window is sampled once, however many heights begin within it, and heights
 * may be as far apart as they like.
 */
export function nextSamples([, pending]: Samples, now: WindowSpan, draw: () => Sample): Samples {
  const waiting = pending.keys.length > 0 && isFresh(pending, now);
  if (waiting && pending.window + pending.windowMs > now.window) return [NO_SAMPLE, pending];
  const drawn = draw();
  return [waiting ? pending : NO_SAMPLE, drawn.keys.length > 0 ? drawn : NO_SAMPLE];
}

/**
 * Draws the keys by hash(chain, key), so that nobody knows beforehand where its forecast will be looked at. Only
 * those are heard who forecast the window `now`.
 */
export function drawSample(
  voices: readonly (Voice & { readonly pop: PopId })[],
  agreed: readonly AgreedResource[],
  panel: Panel,
  chain: string,
  now: WindowSpan,
): Sample {
  const seed = hash32(chain);
  const drawn = agreed
    .filter(({ cells }) => cells.length > 0)
    .map((resource) => ({ resource, weight: rendezvousWeight(seed, hash32(resource.key16)) }))
    .sort((a, b) => b.weight - a.weight || byBytes(a.resource.key16, b.resource.key16))
    .slice(0, SAMPLE_KEYS)
    .map(({ resource }) => resource)
    .sort((a, b) => byBytes(a.key16, b.key16));
  const wanted = new Map(drawn.map(({ key16, site }) => [key16, site]));
  const said = voices.map(({ proposal }) => {
    const spoken = new Map<Key16, ReadonlyMap<RegionId, number>>();
    for (const { key16, site, cells } of proposal.entries) {
      if (wanted.get(key16) !== site) continue;
      spoken.set(key16, new Map(cells.map(({ region, next }) => [region, next])));
    }
    return spoken;
  });
  const timely = voices.map(({ proposal }) => isTimely(proposal, now));
  const median = new TrimmedMedian();
  return {
    window: now.window,
    windowMs: now.windowMs,
    pops: voices.map(({ pop }) => pop),
    keys: drawn.map(({ key16, site, sizeClass, cells }): SampledForecast => {
      const speakers = panel.speakers(key16);
      const asked = voices.map(({ slot }, i) => timely[i]! && (speakers?.includes(slot) ?? true));
      return {
        key16,
        site,
        sizeClass,
        agreed: cells.map(({ region }) => {
          median.clear();
          for (const [i, { slot, weight }] of voices.entries()) {
            const next = asked[i] ? said[i]!.get(key16)?.get(region) : undefined;
            if (next !== undefined) median.add(next, weight, slot);
          }
          return [region, median.take(panel.liars)];
        }),
        said: voices.map((_, i) => {
          if (!asked[i]) return SILENT;
          const spoken = said[i]!.get(key16);
          let sum = 0;
          for (const { region } of cells) sum += spoken?.get(region) ?? 0;
          return sum;
        }),
      };
    }),
  };
}

/** What was agreed to have been seen of one sampled forecast, by region. */
export interface Seen {
  readonly forecast: SampledForecast;
  readonly observed: ReadonlyMap<RegionId, number>;
}

/** What was seen of a sample; keys on which too few told anything are left out, since silence is not a zero. */
export function seenOf(sample: Sample, agreed: readonly AgreedResource[]): Seen[] {
  const wanted = new Map(sample.keys.map((forecast) => [forecast.key16, forecast]));
  return agreed.flatMap(({ key16, cells }): Seen[] => {
    const forecast = wanted.get(key16);
    if (forecast === undefined) return [];
    return [{ forecast, observed: new Map(cells.map(({ region, observed }) => [region, observed])) }];
  });
}

/** How well each PoP of a sample forecast what was then seen, 1 … 1000; a PoP that was asked nothing is absent. */
export function scoresOf({ pops }: Sample, seen: readonly Seen[]): Map<PopId, number> {
  const scores = new Map<PopId, number>();
  for (const [i, pop] of pops.entries()) {
    let err = 0;
    let agreedErr = 0;
    let total = 0;
    let asked = 0;
    for (const { forecast, observed } of seen) {
      const own = forecast.said[i] ?? SILENT;
      if (own === SILENT) continue;
      let came = 0;
      let agreed = 0;
      for (const [region, next] of forecast.agreed) {
        came += observed.get(region) ?? 0;
        agreed += next;
      }
      err += Math.abs(own - came);
      agreedErr += Math.abs(agreed - came);
      total += came;
      asked += 1;
    }
    if (asked > 0) scores.set(pop, scoreOf(err, total, agreedErr));
  }
  return scores;
}

/**
 * A score of errors against what came, or against the errors of what was agreed where that is kinder: demand that
 * comes in single requests is forecast badly by everybody, which must not make a liar's word count as much as
 * theirs. What was agreed lies among honest forecasts, so that no liar sets this measure.
 */
export function scoreOf(err: number, total: number, agreedErr: number): number {
  const absolute = WEIGHT_MAX - quotient(err, Math.max(1, quotient(total, 1000)));
  const relative = quotient(agreedErr, Math.max(1, quotient(err, WEIGHT_MAX)));
  return Math.max(1, absolute, err <= agreedErr ? WEIGHT_MAX : Math.min(WEIGHT_MAX, relative));
}

/** An eighth of the way from the old weight to the score. */
export const reweigh = (weight: number, score: number): number => Math.max(1, (7 * weight + score) >> 3);
