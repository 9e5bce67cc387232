import type { AgreedResource, Panel, Voice } from './aggregation.ts';
import { byBytes, quotient } from './exact.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import { hash32, rendezvousWeight } from './rendezvous.ts';

/** Keys on which a height's forecasts are scored. */
export const SAMPLE_KEYS = 64;
/** What stands for a PoP that had no say on a key. */
export const SILENT = -1;
export const WEIGHT_MAX = 1000;

/** What was forecast at one height for the window that then began, on a few keys. Requests in thousandths. */
export interface Sample {
  /** Whose proposals were included, by id. */
  readonly pops: readonly PopId[];
  /** Strictly by key. */
  readonly keys: readonly SampledForecast[];
}

export interface SampledForecast {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly sizeClass: number;
  /** What was agreed, strictly by region. */
  readonly agreed: readonly (readonly [region: RegionId, next: number])[];
  /** What each of the PoPs said of those regions together; `SILENT` for those that were not asked. */
  readonly said: readonly number[];
}

export const NO_SAMPLE: Sample = { pops: [], keys: [] };

/** Draws the keys by hash(chain, key), so that nobody knows beforehand where its forecast will be looked at. */
export function drawSample(
  voices: readonly (Voice & { readonly pop: PopId })[],
  agreed: readonly AgreedResource[],
  panel: Panel,
  chain: string,
): Sample {
  const seed = hash32(chain);
  const drawn = agreed
    .map((resource) => ({ resource, weight: rendezvousWeight(seed, hash32(resource.key16)) }))
    .sort((a, b) => b.weight - a.weight || byBytes(a.resource.key16, b.resource.key16))
    .slice(0, SAMPLE_KEYS)
    .map(({ resource }) => resource)
    .sort((a, b) => byBytes(a.key16, b.key16));
  const keys = new Set(drawn.map(({ key16 }) => key16));
  const said = voices.map(({ proposal }) => {
    const spoken = new Map<Key16, ReadonlyMap<RegionId, number>>();
    for (const { key16, cells } of proposal.entries) {
      if (keys.has(key16)) spoken.set(key16, new Map(cells.map(({ region, next }) => [region, next])));
    }
    return spoken;
  });
  return {
    pops: voices.map(({ pop }) => pop),
    keys: drawn.map(({ key16, site, sizeClass, cells }): SampledForecast => {
      const speakers = panel.speakers(key16);
      return {
        key16,
        site,
        sizeClass,
        agreed: cells.map(({ region, next }) => [region, next]),
        said: voices.map(({ slot }, i) => {
          if (speakers !== undefined && !speakers.includes(slot)) return SILENT;
          const spoken = said[i]?.get(key16);
          let sum = 0;
          for (const { region } of cells) sum += spoken?.get(region) ?? 0;
          return sum;
        }),
      };
    }),
  };
}

/** What was seen of a sampled forecast, by region; nothing for what nobody saw. */
export function observationsOf(agreed: readonly AgreedResource[]): Map<Key16, ReadonlyMap<RegionId, number>> {
  return new Map(
    agreed.map(({ key16, cells }) => [
      key16,
      new Map(cells.map(({ region, observed }) => [region, observed])),
    ]),
  );
}

/** How well each PoP of a sample forecast what was then seen, 1 … 1000; a PoP that was asked nothing is absent. */
export function scoresOf(sample: Sample, agreed: readonly AgreedResource[]): Map<PopId, number> {
  const seen = observationsOf(agreed);
  const scores = new Map<PopId, number>();
  for (const [i, pop] of sample.pops.entries()) {
    let err = 0;
    let total = 0;
    let asked = 0;
    for (const { key16, agreed: forecast, said } of sample.keys) {
      const own = said[i] ?? SILENT;
      if (own === SILENT) continue;
      let observed = 0;
      for (const [region] of forecast) observed += seen.get(key16)?.get(region) ?? 0;
      err += Math.abs(own - observed);
      total += observed;
      asked += 1;
    }
    if (asked > 0) scores.set(pop, scoreOf(err, total));
  }
  return scores;
}

export const scoreOf = (err: number, total: number): number =>
  Math.max(1, WEIGHT_MAX - quotient(err, Math.max(1, quotient(total, 1000))));

/** An eighth of the way from the old weight to the score. */
export const reweigh = (weight: number, score: number): number => Math.max(1, (7 * weight + score) >> 3);
