import {
  addOutcomes,
  adjust,
  DEFAULT_PARAMETERS,
  type LedgerTotals,
  MirrorLedger,
  NO_OUTCOME,
  type Outcome,
  outcomeOf,
  type Parameters,
  remember,
} from '../protocol/adjustment.ts';
import type { Charter } from '../protocol/charter.ts';
import { Companions } from '../protocol/companions.ts';
import { History, type ResourceDemand } from '../protocol/history.ts';
import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import { type Plan, type PlanDemand, type PlanPop, type PlanResource, plan } from '../protocol/placement.ts';
import type { Capacities, Summary, Worth } from '../protocol/summary.ts';
import { Arrivals, type Skill } from './arrivals.ts';
import type { Explanation } from './explanation.ts';
import { FEATURE_COUNT, FEATURES, PairFeatures } from './pair-features.ts';
import { type Share, shareOf } from './share.ts';

export type { Explanation } from './explanation.ts';
export type { Share } from './share.ts';

/** Resources not asked for anywhere within so many horizons are not planned for. */
const ACTIVE_HORIZONS = 1.5;
/** Each epoch this share of the resources that did not change is looked at again. */
const ROTATION = 8;
/** Nats of skill before the model is believed at all (chance alone: one in e^10), and fully. */
const SKILL_MIN = 10;
const SKILL_FULL = 20;
/** Least credit, thousandths, worth a place in the plan's input. */
const CREDIT_MIN = 5;
/** A PoP that has not been heard of for so many of its windows takes no mirrors. */
const SILENT_WINDOWS = 6;

/** A member of the cluster, from its certificate. */
export interface Member {
  readonly id: PopId;
  readonly name: string;
  readonly region: RegionId;
}

/** What the time-series workers expect of an established (resource, region), thousandths of a request. */
export interface SeriesOutlook {
  readonly key16: Key16;
  readonly region: RegionId;
  readonly next: number;
  readonly mean: number;
  readonly upper: number;
}

export interface ForesightOptions {
  readonly self: PopId;
  readonly charter: Charter;
  readonly members: readonly Member[];
  /** `memory.history`, bytes. */
  readonly historyBytes?: number;
}

export interface EpochOutcome {
  readonly plan: Plan;
  /** By value, greatest first. */
  readonly ownShare: readonly Share[];
}

/** Learned state as plain data, for the database. The history has rows of its own. */
export interface ForesightSnapshot {
  readonly edition: 1;
  readonly arrivals: unknown;
  readonly companions: unknown;
  readonly features: unknown;
  readonly ledger: unknown;
  readonly parameters: Parameters;
  readonly outcome: Outcome;
}

/**
 * One PoP's foresight: what it folds from the summaries of all, what it expects to be asked for where, and the
 * plan that follows. Pure: demand time is an argument. Every PoP plans for all, and reads off its own share.
 *
 * Mirrors earn credit only once the arrivals model has shown, on first requests that it had not seen, that it tells
 * pairs apart better than chance; so on a load with nothing to learn nothing is mirrored, however busy it is.
 */
export class Foresight {
  readonly self: PopId;
  readonly history: History;
  readonly companions = new Companions();
  readonly #features: PairFeatures;
  readonly #arrivals: Arrivals;
  readonly #ledger = new MirrorLedger();
  readonly #capacities = new Map<PopId, { capacities: Capacities; to: number; length: number }>();
  readonly #entries = new Map<Key16, PlanResource>();
  readonly #touched = new Set<Key16>();
  readonly #chances = new Map<Key16, number>();
  readonly #x = new Float64Array(FEATURE_COUNT);
  #charter: Charter;
  #members: readonly Member[];
  #parameters: Parameters = DEFAULT_PARAMETERS;
  #outcome: Outcome = NO_OUTCOME;
  #news: Outcome = NO_OUTCOME;
  #plan: Plan = { placements: [], skips: [] };
  #round = 0;
  #now = 0;

  constructor({ self, charter, members, historyBytes }: ForesightOptions) {
    this.self = self;
    this.#charter = charter;
    this.#members = members;
    this.history = new History(historyBytes);
    this.#features = new PairFeatures(this.history, this.companions);
    this.#arrivals = new Arrivals(FEATURE_COUNT, charter.horizonMs);
  }

  /** The members now certified; those who left drop out of the next plan. */
  setMembers(members: readonly Member[]): void {
    this.#members = members;
  }

  setCharter(charter: Charter): void {
    this.#charter = charter;
  }

  get parameters(): Parameters {
    return this.#parameters;
  }

  /** The model's measured lead over chance, and how far it is believed, thousandths. */
  get skill(): Skill & { readonly trust: number } {
    return { ...this.#arrivals.skill, trust: this.#trust() };
  }

  /** What mirroring came to at this PoP. */
  get mirrors(): LedgerTotals {
    return this.#ledger.totals;
  }

  /** What mirroring came to of late at all PoPs together. */
  get outcome(): Outcome {
    return this.#outcome;
  }

  /** Takes in a window, a peer's or its own. False if it is not newer than the last of its PoP. */
  fold(summary: Summary): boolean {
    const previous = this.history.newest(summary.pop);
    if (previous !== undefined && summary.sequence <= previous.sequence) return false;
    for (const row of summary.resources) {
      const known = this.history.get(row.key16);
      if (known === undefined) this.#features.known(row.group);
      for (const { region, count } of row.regions) {
        const first = known === undefined || !known.regions.some((one) => one.region === region);
        this.#features.asked(row.group, region, count, first, summary.to);
        if (first) this.#arrivals.arrived(row.key16 + region, summary.to);
      }
      this.#touched.add(row.key16);
    }
    if (!this.history.fold(summary)) return false;
    for (const [leader, follower, count] of summary.companions) {
      const a = summary.resources[leader];
      const b = summary.resources[follower];
      if (a !== undefined && b !== undefined) {
        this.companions.fold({ leader: a.key16, follower: b.key16, count });
      }
    }
    this.#capacities.set(summary.pop, {
      capacities: summary.capacities,
      to: summary.to,
      length: summary.to - summary.from,
    });
    if (summary.pop !== this.self) {
      this.#news = addOutcomes(this.#news, outcomeOf(summary.worth));
    }
    return true;
  }

  /**
   * Plans: learns from what has matured by `now` (demand ms), weighs every active resource, and places.
   *
   * @param outlooks forecasts of established series, where there are any
   */
  epoch(now: number, outlooks: Iterable<SeriesOutlook> = []): EpochOutcome {
    this.#now = now;
    this.#ledger.mature(now, this.#charter.horizonMs);
    this.#adjust();
    this.#arrivals.mature(now);
    this.#features.refresh(now);
    this.#weigh(now);
    const state = {
      pops: this.#pops(now),
      resources: this.#withOutlooks(outlooks),
      parameters: this.#parameters,
    };
    this.#plan = plan(state, this.#charter);
    this.#chances.clear();
    for (const { pop, purpose, key16, chance } of this.#plan.placements) {
      if (pop === this.self && purpose === 'mirror') this.#chances.set(key16, chance);
    }
    return { plan: this.#plan, ownShare: shareOf(this.#plan, this.self) };
  }

  /** A client asked for it here; true if a mirror was used for the first time. */
  requested(key16: Key16): boolean {
    return this.#ledger.requested(key16);
  }

  /** A mirror, planned or speculative, is complete here. */
  mirrored(key16: Key16, size: number, at: number): void {
    this.#ledger.mirrored(key16, size, at, this.#chances.get(key16) ?? 0);
  }

  /** A mirror was evicted, or given up unused. */
  released(key16: Key16): void {
    this.#ledger.released(key16);
  }

  /** For this PoP's next summary: what mirroring came to since the last one. To be called once a window. */
  takeWorth(): Worth {
    const worth = this.#ledger.take();
    this.#news = addOutcomes(this.#news, outcomeOf(worth));
    return worth;
  }

  /** Why a resource is, or is not, where it is. */
  explain(key16: Key16): Explanation {
    const resource = this.history.get(key16);
    const regions = this.#regions();
    const trust = this.#trust();
    const reasons: Explanation['reasons'][number][] = [];
    if (resource !== undefined) {
      for (const region of regions) {
        if (resource.regions.some((one) => one.region === region)) continue;
        this.#features.fillResource(this.#x, resource, regions.length, this.#now);
        this.#features.fillRegion(this.#x, resource, region, this.#now);
        const { weights } = this.#arrivals;
        reasons.push({
          region,
          base: this.#arrivals.baseOf(region),
          expected: this.#arrivals.expect(this.#x, region),
          factors: FEATURES.map((feature, i) => ({ feature, factor: Math.exp(weights[i]! * this.#x[i]!) })),
        });
      }
    }
    return {
      known: resource !== undefined,
      size: resource?.size ?? 0,
      requests: resource?.total ?? 0,
      clients: resource === undefined ? 0 : this.history.clients(resource),
      regions: (resource?.regions ?? []).map(({ region, total, first, last }) => ({
        region,
        requests: total,
        first,
        last,
      })),
      pops: (resource?.pops ?? []).map(({ pop, first, last }) => ({ pop, first, last })),
      demand: resource === undefined ? [] : this.#weighOne(resource, regions, trust, this.#now),
      placements: this.#plan.placements.filter((one) => one.key16 === key16),
      skips: this.#plan.skips.filter((one) => one.key16 === key16),
      reasons,
    };
  }

  snapshot(): ForesightSnapshot {
    return {
      edition: 1,
      arrivals: this.#arrivals.snapshot(),
      companions: this.companions.snapshot(),
      features: this.#features.snapshot(),
      ledger: this.#ledger.snapshot(),
      parameters: this.#parameters,
      outcome: this.#outcome,
    };
  }

  /** Takes back a snapshot; what does not fit (another edition, other features) is left out. */
  restore(saved: Partial<ForesightSnapshot>): void {
    if (saved.edition !== 1) return;
    this.#arrivals.restore(saved.arrivals);
    if (Array.isArray(saved.companions)) this.companions.restore(saved.companions);
    this.#features.restore(saved.features);
    this.#ledger.restore(saved.ledger);
    if (saved.parameters !== undefined) this.#parameters = { ...DEFAULT_PARAMETERS, ...saved.parameters };
    if (saved.outcome !== undefined) this.#outcome = saved.outcome;
  }

  #adjust(): void {
    const lot = this.#news;
    this.#news = NO_OUTCOME;
    this.#outcome = remember(this.#outcome, lot);
    this.#parameters = adjust(this.#parameters, this.#outcome, lot);
  }

  #trust(): number {
    const { gain } = this.#arrivals.skill;
    return Math.floor(Math.max(0, Math.min(1000, (1000 * (gain - SKILL_MIN)) / (SKILL_FULL - SKILL_MIN))));
  }

  /** Regions that have a PoP near them are those worth planning for: the members' own. */
  #regions(): RegionId[] {
    return [...new Set(this.#members.map((member) => member.region))].sort((a, b) => (a < b ? -1 : 1));
  }

  #pops(now: number): PlanPop[] {
    return this.#members.flatMap(({ id, name, region }): PlanPop[] => {
      const said = this.#capacities.get(id);
      if (said === undefined) return [];
      const silent = now - said.to > SILENT_WINDOWS * said.length;
      const capacities = silent ? { ...said.capacities, state: 'sick' as const } : said.capacities;
      return [{ id, name, region, capacities }];
    });
  }

  /** Weighs what changed, and in rotation some of the rest; opens samples to learn from. */
  #weigh(now: number): void {
    const regions = this.#regions();
    const trust = this.#trust();
    const oldest = now - ACTIVE_HORIZONS * this.#charter.horizonMs;
    this.#round += 1;
    let at = 0;
    for (const resource of this.history.resources()) {
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
      if (this.history.get(key16) === undefined) this.#entries.delete(key16);
    }
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
      const expected = this.#arrivals.expect(this.#x, region);
      if (watch !== undefined) {
        const pair = resource.key16 + region;
        if (watch || this.#arrivals.watched(pair) === 0) this.#arrivals.watch(pair, region, this.#x, now);
      }
      const chance = Math.floor(1000 * (1 - Math.exp(-expected)));
      const credit = Math.floor((chance * trust) / 1000);
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

  #withOutlooks(outlooks: Iterable<SeriesOutlook>): PlanResource[] {
    const resources = new Map(this.#entries);
    for (const { key16, region, mean } of outlooks) {
      const resource = this.history.get(key16);
      if (resource === undefined || mean <= 0) continue;
      const known = resources.get(key16);
      const chance = Math.floor(1000 * (1 - Math.exp(-mean / 1000)));
      const demand: PlanDemand = { region, expected: mean, chance, credit: chance, held: true };
      const { site, size } = resource;
      const holders = resource.regions.map((one) => one.region);
      resources.set(key16, { key16, site, size, demand: [...(known?.demand ?? []), demand], holders });
    }
    return [...resources.values()];
  }
}
