import type { Charter } from '../protocol/charter.ts';
import type { Companions } from '../protocol/companions.ts';
import type { History, ResourceDemand } from '../protocol/history.ts';
import type { Key16, RegionId } from '../protocol/ids.ts';
import type { PlanDemand, PlanResource } from '../protocol/placement.ts';
import type { Summary } from '../protocol/summary.ts';
import { Arrivals, type Skill } from './arrivals.ts';
import { exp } from './elementary.ts';
import type { Explanation } from './explanation.ts';
import { FEATURE_COUNT, FEATURES, PairFeatures } from './pair-features.ts';

/** Resources not asked for anywhere within so many horizons are not planned for. */
const ACTIVE_HORIZONS = 1.5;
/** Each epoch this share of the resources that did not change is looked at again. */
const ROTATION = 8;
/** Nats of skill before the model is believed at all (chance alone: one in e^10), and fully. */
const SKILL_MIN = 10;
const SKILL_FULL = 20;
/** Least credit, thousandths, worth a place in the plan's input. */
const CREDIT_MIN = 5;

/** Requests expected of a pair with what outside signals add to the `expected` of the model. */
export type Lift = (key16: Key16, region: RegionId, now: number, expected: number) => number;

/**
 * Where resources may come to be asked for that have not been asked for there: the arrivals model with its features,
 * fed by windows, and what it makes of every active resource.
 *
 * Credit is given only once the model has shown, on first requests that it had not seen, that it tells pairs apart
 * better than chance; so on a load with nothing to learn nothing is mirrored, however busy it is.
 */
export class Prospects {
  readonly #history: History;
  readonly #features: PairFeatures;
  readonly #arrivals: Arrivals;
  readonly #entries = new Map<Key16, PlanResource>();
  readonly #touched = new Set<Key16>();
  readonly #x = new Float64Array(FEATURE_COUNT);
  readonly #lift: Lift;
  #round = 0;

  constructor(
    history: History,
    companions: Companions,
    horizonMs: number,
    lift: Lift = (_key16, _region, _now, own) => own,
  ) {
    this.#history = history;
    this.#lift = lift;
    this.#features = new PairFeatures(history, companions);
    this.#arrivals = new Arrivals(FEATURE_COUNT, horizonMs);
  }

  /** The model's measured lead over chance. */
  get skill(): Skill {
    return this.#arrivals.skill;
  }

  /** How far the model is believed, thousandths. */
  get trust(): number {
    const { gain } = this.#arrivals.skill;
    return Math.floor(Math.max(0, Math.min(1000, (1000 * (gain - SKILL_MIN)) / (SKILL_FULL - SKILL_MIN))));
  }

  /** What may be asked for, from the last `weigh`. */
  get entries(): ReadonlyMap<Key16, PlanResource> {
    return this.#entries;
  }

  /** Takes in a window *before* the history does, which then no longer tells what came for the first time. */
  fold(summary: Summary): void {
    for (const row of summary.resources) {
      const known = this.#history.get(row.key16);
      if (known === undefined) this.#features.known(row.group);
      for (const { region, count } of row.regions) {
        const first = known === undefined || !known.regions.some((one) => one.region === region);
        this.#features.asked(row.group, region, count, first, summary.to);
        if (first) this.#arrivals.arrived(row.key16 + region, summary.to);
      }
      this.#touched.add(row.key16);
    }
  }

  /** A signal speaks of a resource, which is to be looked at again. */
  signalled(key16: Key16): void {
    this.#touched.add(key16);
  }

  /** Learns from what has matured by `now`; weighs what changed, and in rotation some of the rest; opens samples. */
  weigh(now: number, regions: readonly RegionId[], { horizonMs }: Charter): void {
    this.#arrivals.mature(now);
    this.#features.refresh(now);
    const { trust } = this;
    const oldest = now - ACTIVE_HORIZONS * horizonMs;
    this.#round += 1;
    let at = 0;
    for (const resource of this.#history.resources()) {
      at += 1;
      const changed = this.#touched.has(resource.key16);
      if (!changed && (at + this.#round) % ROTATION !== 0) continue;
      if (resource.last < oldest) {
        this.#entries.delete(resource.key16);
        continue;
      }
      const demand = this.#weighOne(resource, regions, trust, now, changed);
      if (demand.length === 0) this.#entries.delete(resource.key16);
      else {
        const { key16, site, size } = resource;
        const holders = resource.regions.map(({ region }) => region);
        this.#entries.set(key16, { key16, site, size, demand, holders });
      }
    }
    this.#touched.clear();
    for (const key16 of this.#entries.keys()) {
      if (this.#history.get(key16) === undefined) this.#entries.delete(key16);
    }
  }

  /** What one resource would be planned with now. Nothing is learned from asking. */
  demandOf(resource: ResourceDemand, regions: readonly RegionId[], now: number): readonly PlanDemand[] {
    return this.#weighOne(resource, regions, this.trust, now);
  }

  /** For each region that has not asked: what is expected there, and by what factors. */
  reasonsOf(resource: ResourceDemand, regions: readonly RegionId[], now: number): Explanation['reasons'] {
    const reasons: Explanation['reasons'][number][] = [];
    const { weights } = this.#arrivals;
    for (const region of regions) {
      if (resource.regions.some((one) => one.region === region)) continue;
      this.#features.fillResource(this.#x, resource, regions.length, now);
      this.#features.fillRegion(this.#x, resource, region, now);
      const own = this.#arrivals.expect(this.#x, region);
      const expected = this.#lift(resource.key16, region, now, own);
      const factors = FEATURES.map((feature, i) => ({
        feature: feature as string,
        factor: exp(weights[i]! * this.#x[i]!),
      }));
      if (expected > own) factors.push({ feature: 'signals', factor: expected / own });
      reasons.push({ region, base: this.#arrivals.baseOf(region), expected, factors });
    }
    return reasons;
  }

  /** Plain data for persistence. */
  snapshot(): { readonly arrivals: unknown; readonly features: unknown } {
    return { arrivals: this.#arrivals.snapshot(), features: this.#features.snapshot() };
  }

  restore({ arrivals, features }: { readonly arrivals?: unknown; readonly features?: unknown }): void {
    this.#arrivals.restore(arrivals);
    this.#features.restore(features);
  }

  #weighOne(
    resource: ResourceDemand,
    regions: readonly RegionId[],
    trust: number,
    now: number,
    watch?: boolean,
  ): PlanDemand[] {
    const demand: PlanDemand[] = [];
    // Of what has been seen without a body alone the size is not known, and with it the price.
    if (resource.size === 0 || resource.regions.length >= regions.length) return demand;
    this.#features.fillResource(this.#x, resource, regions.length, now);
    for (const region of regions) {
      if (resource.regions.some((one) => one.region === region)) continue;
      this.#features.fillRegion(this.#x, resource, region, now);
      const own = this.#arrivals.expect(this.#x, region);
      if (watch !== undefined) {
        const pair = resource.key16 + region;
        if (watch || this.#arrivals.watched(pair) === 0) this.#arrivals.watch(pair, region, this.#x, now);
      }
      // A signal has proved itself before it adds anything; so what it adds needs no other trust.
      const expected = this.#lift(resource.key16, region, now, own);
      const alone = chanceOf(own);
      const chance = chanceOf(expected);
      const credit = Math.floor((alone * trust) / 1000) + chance - alone;
      if (credit < CREDIT_MIN) continue;
      demand.push({
        region,
        expected: Math.min(0x7fffffff, Math.floor(1000 * expected)),
        chance,
        credit,
        held: false,
      });
    }
    return demand;
  }
}

/** Chance of at least one request where so many are expected, thousandths. */
const chanceOf = (expected: number): number => Math.floor(1000 * (1 - exp(-expected)));
