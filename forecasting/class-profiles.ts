import type { History, RegionDemand, ResourceDemand } from '../protocol/history.ts';
import type { RegionId } from '../protocol/ids.ts';
import type { DemandHistory } from './demand.ts';
import { demandHistory } from './demand-history.ts';
import { log } from './elementary.ts';

/** Younger pairs say little of the rate that they will have. */
const AGE_MIN_MS = 900_000;
/** A class leans on the one above it as if it had been watched for so long at that one's rate. */
const LEAN_MS = 36_000_000;
/** Classes kept; what comes beyond leans on the class above. */
const CLASSES_MAX = 32_768;
/** Pairs on which the strength is fitted, and requests of one that are looked at. */
const FIT_PAIRS_MAX = 1_000;
const FIT_REQUESTS_MAX = 100;
/** Strengths tried, in hours: the time after which a series counts as much as its class. */
const STRENGTHS = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4].map((hours) => hours * 3_600_000);
/** Profiles are computed anew after so much demand time. */
const REFRESH_MS = 600_000;
/** Older pairs have shown what they are, or that they are quiet. */
const YOUNG_MS = 6 * 3_600_000;

/** What series like one ask for: so many requests in so many ms, as much as it should weigh. */
export interface ClassPrior {
  readonly requests: number;
  readonly overMs: number;
}

interface Exposure {
  requests: number;
  ms: number;
}

/**
 * Rates at which pairs of a class were asked for after their first request: by region, and within it by site and kind
 * of content, and by site and directory of the path. Each class leans on the one above, and the strength of the prior
 * is that under which what is known is likeliest (empirical Bayes on a gamma-Poisson model, Robbins 1956). Pure.
 */
export class ClassProfiles {
  readonly #classes = new Map<string, Exposure>();
  readonly #strengthMs: number;

  constructor(resources: Iterable<ResourceDemand>, now: number) {
    const pairs: { resource: ResourceDemand; demand: RegionDemand }[] = [];
    for (const resource of resources) {
      for (const demand of resource.regions) {
        const ms = now - demand.first;
        if (ms < AGE_MIN_MS) continue;
        for (const name of classesOf(resource, demand.region)) this.#add(name, demand.total - 1, ms);
        pairs.push({ resource, demand });
      }
    }
    this.#strengthMs = this.#fitted(pairs, now);
  }

  /** Ms after which a series' own record counts as much as its class. */
  get strengthMs(): number {
    return this.#strengthMs;
  }

  /** Requests a ms of the class of a pair. */
  rate(resource: Pick<ResourceDemand, 'site' | 'kind' | 'group'>, region: RegionId): number {
    const [all = '', ...narrower] = classesOf(resource, region);
    const whole = this.#classes.get(all);
    let rate = whole === undefined ? 0 : whole.requests / whole.ms;
    for (const name of narrower) {
      const own = this.#classes.get(name);
      if (own !== undefined) rate = (own.requests + rate * LEAN_MS) / (own.ms + LEAN_MS);
    }
    return rate;
  }

  prior(resource: Pick<ResourceDemand, 'site' | 'kind' | 'group'>, region: RegionId): ClassPrior {
    return { requests: this.rate(resource, region) * this.#strengthMs, overMs: this.#strengthMs };
  }

  #add(name: string, requests: number, ms: number): void {
    const known = this.#classes.get(name);
    if (known !== undefined) {
      known.requests += requests;
      known.ms += ms;
    } else if (this.#classes.size < CLASSES_MAX) this.#classes.set(name, { requests, ms });
  }

  #fitted(pairs: readonly { resource: ResourceDemand; demand: RegionDemand }[], now: number): number {
    const stride = Math.max(1, Math.ceil(pairs.length / FIT_PAIRS_MAX));
    const sample = pairs
      .filter((_, i) => i % stride === 0)
      .map(({ resource, demand }) => {
        const requests = Math.max(0, demand.total - 1);
        const looked = Math.min(FIT_REQUESTS_MAX, requests);
        const ms = (now - demand.first) * (requests > looked ? looked / requests : 1);
        return { requests: looked, ms, rate: this.rate(resource, demand.region) };
      })
      .filter(({ rate }) => rate > 0);
    let best = STRENGTHS[0]!;
    let most = Number.NEGATIVE_INFINITY;
    for (const strength of STRENGTHS) {
      let likelihood = 0;
      for (const { requests, ms, rate } of sample) {
        const shape = rate * strength;
        for (let i = 0; i < requests; i++) likelihood += log(shape + i);
        likelihood += shape * log(strength) - (shape + requests) * log(strength + ms);
      }
      if (likelihood <= most) continue;
      most = likelihood;
      best = strength;
    }
    return best;
  }
}

const classesOf = (
  { site, kind, group }: Pick<ResourceDemand, 'site' | 'kind' | 'group'>,
  region: RegionId,
): string[] => ['', region, `${region} ${site} kind ${kind}`, `${region} ${site} group ${group}`];

/**
 * The young pairs of a history: asked for in a region, but not enough for rings of their own, of resources that have
 * some. Each with its share of those and what its class lets one expect.
 */
export class ColdStarts {
  readonly #history: Pick<History, 'resources' | 'series'>;
  #profiles: ClassProfiles | undefined;
  #at = 0;

  constructor(history: Pick<History, 'resources' | 'series'>) {
    this.#history = history;
  }

  /**
   * Series to be forecast beside the established ones, those asked for last first, at most `limit`, and only of
   * resources that are `wanted`.
   */
  series(
    now: number,
    limit: number,
    wanted: (key16: ResourceDemand['key16']) => boolean = () => true,
  ): DemandHistory[] {
    const profiles = this.#profilesAt(now);
    const young: { resource: ResourceDemand; demand: RegionDemand }[] = [];
    for (const resource of this.#history.resources()) {
      if (resource.slot < 0 || !wanted(resource.key16)) continue;
      for (const demand of resource.regions) {
        if (demand.slot < 0 && now - demand.first <= YOUNG_MS) young.push({ resource, demand });
      }
    }
    young.sort(
      (a, b) =>
        b.demand.last - a.demand.last ||
        (a.resource.key16 < b.resource.key16 ? -1 : a.resource.key16 > b.resource.key16 ? 1 : 0),
    );
    return young.slice(0, Math.max(0, limit)).flatMap(({ resource, demand }) => {
      const known = demandHistory(this.#history, resource.key16, demand, now);
      return known ? [{ ...known, prior: profiles.prior(resource, demand.region) }] : [];
    });
  }

  #profilesAt(now: number): ClassProfiles {
    if (this.#profiles === undefined || now - this.#at >= REFRESH_MS || now < this.#at) {
      this.#profiles = new ClassProfiles(this.#history.resources(), now);
      this.#at = now;
    }
    return this.#profiles;
  }
}
