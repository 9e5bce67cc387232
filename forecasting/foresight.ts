import {
  addOutcomes,
  adjust,
  DEFAULT_PARAMETERS,
  NO_OUTCOME,
  type Outcome,
  outcomeOf,
  type Parameters,
  remember,
} from '../protocol/adjustment.ts';
import type { Charter } from '../protocol/charter.ts';
import { Companions } from '../protocol/companions.ts';
import { History } from '../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import { type LedgerTotals, MirrorLedger } from '../protocol/mirror-ledger.ts';
import { type Plan, type PlanDemand, type PlanPop, type PlanResource, plan } from '../protocol/placement.ts';
import type { Use } from '../protocol/proposal.ts';
import type { Expectation } from '../protocol/proposal-builder.ts';
import type { Capacities, Summary, Worth } from '../protocol/summary.ts';
import { tuningKey } from '../protocol/tuning.ts';
import type { Skill } from './arrivals.ts';
import { exp } from './elementary.ts';
import type { Explanation } from './explanation.ts';
import { type Lift, Prospects } from './prospects.ts';
import { RecentDemand } from './recent-demand.ts';
import { type Share, shareOf } from './share.ts';

export type { Explanation } from './explanation.ts';
export type { Share } from './share.ts';

/** A PoP that has not been heard of for so many of its windows takes no mirrors. */
const SILENT_WINDOWS = 6;

/** A member of the cluster, from its certificate. */
export interface Member {
  readonly id: PopId;
  readonly name: string;
  readonly region: RegionId;
}

/** What the time-series workers expect of an established (resource, region), thousandths of a request. */
export interface SeriesOutlook extends Expectation {
  readonly key16: Key16;
  readonly region: RegionId;
}

export interface ForesightOptions {
  readonly self: PopId;
  readonly charter: Charter;
  readonly members: readonly Member[];
  /** `memory.history`, bytes. */
  readonly historyBytes?: number;
  /** Length of a window in demand ms; the charter's epoch, where the demand clock runs at the speed of time. */
  readonly windowMs?: number;
  /** What signals from outside add to what is expected. */
  readonly lift?: Lift;
}

/** Parameters by `tuningKey` of site and region. */
export type Tunings = ReadonlyMap<string, Parameters>;

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
 * plan in force. Pure: demand time is an argument. Every PoP plans for all, and reads off its own share.
 *
 * An epoch is `prepare`, then a plan: `ownPlan`, or one made of what the cluster decided; then `adopt`.
 */
export class Foresight {
  readonly self: PopId;
  readonly history: History;
  readonly companions = new Companions();
  readonly #prospects: Prospects;
  readonly #recent = new RecentDemand();
  readonly #ledger = new MirrorLedger();
  readonly #capacities = new Map<PopId, { capacities: Capacities; to: number; length: number }>();
  readonly #chances = new Map<Key16, number>();
  readonly #windowMs: number | undefined;
  #outlooks: ReadonlyMap<string, Expectation> = new Map();
  #resources: readonly PlanResource[] = [];
  #charter: Charter;
  #members: readonly Member[];
  #parameters: Parameters = DEFAULT_PARAMETERS;
  #tunings: Tunings | undefined;
  #outcome: Outcome = NO_OUTCOME;
  #news: Outcome = NO_OUTCOME;
  #plan: Plan = { placements: [], skips: [] };
  #now = 0;

  constructor({ self, charter, members, historyBytes, windowMs, lift }: ForesightOptions) {
    this.self = self;
    this.#charter = charter;
    this.#members = members;
    this.#windowMs = windowMs;
    this.history = new History(historyBytes);
    this.#prospects = new Prospects(this.history, this.companions, charter.horizonMs, lift);
  }

  /** The members now certified; those who left drop out of the next plan. */
  setMembers(members: readonly Member[]): void {
    this.#members = members;
  }

  setCharter(charter: Charter): void {
    this.#charter = charter;
  }

  /** Length of a window, demand ms. */
  get windowMs(): number {
    return this.#windowMs ?? this.#charter.epochMs;
  }

  /** What this PoP's own plans are tuned by. A plan that was agreed on is tuned by `tunings`. */
  get parameters(): Parameters {
    return this.#parameters;
  }

  /** What the plan in force was tuned by, if the cluster decided it; undefined while it is this PoP's own. */
  get tunings(): Tunings | undefined {
    return this.#tunings;
  }

  /** What the plan in force was tuned by for one site's demand in one region. */
  parametersFor(site: SiteId, region: RegionId): Parameters {
    if (this.#tunings === undefined) return this.#parameters;
    return this.#tunings.get(tuningKey(site, region)) ?? DEFAULT_PARAMETERS;
  }

  /** The model's measured lead over chance, and how far it is believed, thousandths. */
  get skill(): Skill & { readonly trust: number } {
    return { ...this.#prospects.skill, trust: this.#prospects.trust };
  }

  /** What mirroring came to at this PoP. */
  get mirrors(): LedgerTotals {
    return this.#ledger.totals;
  }

  /** What mirroring came to of late at all PoPs together. */
  get outcome(): Outcome {
    return this.#outcome;
  }

  /** What this PoP would plan with if it planned alone, from the last `prepare`. */
  get resources(): readonly PlanResource[] {
    return this.#resources;
  }

  /** Takes in a window, a peer's or its own. False if it is not newer than the last of its PoP. */
  fold(summary: Summary): boolean {
    const previous = this.history.newest(summary.pop);
    if (previous !== undefined && summary.sequence <= previous.sequence) return false;
    this.#prospects.fold(summary);
    if (!this.history.fold(summary)) return false;
    this.#recent.fold(summary);
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
   * Learns from what has matured by `now` (demand ms) and weighs every active resource.
   *
   * @param outlooks forecasts of established series, where there are any
   */
  prepare(now: number, outlooks: Iterable<SeriesOutlook> = []): void {
    this.#now = now;
    this.#ledger.mature(now, this.#charter.horizonMs);
    this.#adjust();
    this.#prospects.weigh(now, this.#regions(), this.#charter);
    this.#recent.forget(now, this.windowMs);
    this.#take(outlooks);
  }

  /** The plan from the own forecasts alone, without putting it in force; after `prepare`. */
  ownPlan(): Plan {
    const state = {
      pops: this.#pops(this.#now),
      resources: this.#resources,
      parameters: this.#parameters,
    };
    return plan(state, this.#charter);
  }

  /**
   * Puts a plan in force, own or agreed: explanations and the ledger's chances follow it.
   *
   * @param tunings `tuned` of the decided plan's state: what it was tuned by; left out for an own plan
   * @returns this PoP's share, by value, greatest first
   */
  adopt(plan: Plan, tunings?: Tunings): readonly Share[] {
    this.#plan = plan;
    this.#tunings = tunings;
    this.#chances.clear();
    for (const { pop, purpose, key16, chance } of plan.placements) {
      if (pop === this.self && purpose === 'mirror') this.#chances.set(key16, chance);
    }
    return shareOf(plan, this.self);
  }

  /** A whole epoch of a PoP that plans alone: `prepare`, `ownPlan`, `adopt`. */
  epoch(now: number, outlooks: Iterable<SeriesOutlook> = []): EpochOutcome {
    this.prepare(now, outlooks);
    const own = this.ownPlan();
    return { ownShare: this.adopt(own), plan: own };
  }

  /**
   * Requests (thousandths) of all PoPs from demand time `from` for one window. Windows that overlap it in part count
   * in part; what ended more than six windows before the last `prepare` is forgotten and counts nothing.
   */
  observed(key16: Key16, region: RegionId, from: number, lengthMs = this.windowMs): number {
    return this.#recent.observed(key16, region, from, lengthMs);
  }

  /** What was expected of an established series at the last `prepare`, thousandths. */
  outlook(key16: Key16, region: RegionId): Expectation | undefined {
    return this.#outlooks.get(key16 + region);
  }

  /** A signal speaks of a resource. */
  signalled(key16: Key16): void {
    this.#prospects.signalled(key16);
  }

  /** A client asked for it here; true if a mirror was used for the first time. */
  requested(key16: Key16): boolean {
    return this.#ledger.requested(key16);
  }

  /** A mirror, planned or speculative, is complete here. */
  mirrored(key16: Key16, size: number, at: number): void {
    const site = this.history.get(key16)?.site;
    this.#ledger.mirrored(key16, size, at, this.#chances.get(key16) ?? 0, site);
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

  /** For this PoP's next proposal: what mirroring came to here since the last call, by site; 64 sites at most. */
  takeUses(): Use[] {
    return this.#ledger.takeUses();
  }

  /** Why a resource is, or is not, where it is. */
  explain(key16: Key16): Explanation {
    const resource = this.history.get(key16);
    const regions = this.#regions();
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
      demand: resource === undefined ? [] : this.#prospects.demandOf(resource, regions, this.#now),
      placements: this.#plan.placements.filter((one) => one.key16 === key16),
      skips: this.#plan.skips.filter((one) => one.key16 === key16),
      reasons: resource === undefined ? [] : this.#prospects.reasonsOf(resource, regions, this.#now),
      parameters:
        resource === undefined
          ? []
          : regions.map((region) => ({ region, parameters: this.parametersFor(resource.site, region) })),
      agreed: this.#tunings !== undefined,
    };
  }

  snapshot(): ForesightSnapshot {
    const { arrivals, features } = this.#prospects.snapshot();
    return {
      edition: 1,
      arrivals,
      companions: this.companions.snapshot(),
      features,
      ledger: this.#ledger.snapshot(),
      parameters: this.#parameters,
      outcome: this.#outcome,
    };
  }

  /** Takes back a snapshot; what does not fit (another edition, other features, damage) is left out. */
  restore(saved: Partial<ForesightSnapshot>): void {
    if (saved.edition !== 1) return;
    this.#prospects.restore(saved);
    if (Array.isArray(saved.companions)) this.companions.restore(saved.companions);
    this.#ledger.restore(saved.ledger);
    this.#parameters = integersOf(saved.parameters, DEFAULT_PARAMETERS);
    this.#outcome = integersOf(saved.outcome, NO_OUTCOME);
  }

  #adjust(): void {
    const lot = this.#news;
    this.#news = NO_OUTCOME;
    this.#outcome = remember(this.#outcome, lot);
    this.#parameters = adjust(this.#parameters, this.#outcome, lot);
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

  /** What may be asked for, and what is known to be, together: what is planned with. */
  #take(outlooks: Iterable<SeriesOutlook>): void {
    const expectations = new Map<string, Expectation>();
    const resources = new Map(this.#prospects.entries);
    for (const { key16, region, next, mean, upper } of outlooks) {
      expectations.set(key16 + region, { next, mean, upper });
      const resource = this.history.get(key16);
      if (resource === undefined || mean <= 0) continue;
      const known = resources.get(key16);
      const chance = Math.floor(1000 * (1 - exp(-mean / 1000)));
      const demand: PlanDemand = { region, expected: mean, chance, credit: chance, held: true };
      const { site, size } = resource;
      const holders = resource.regions.map((one) => one.region);
      resources.set(key16, { key16, site, size, demand: [...(known?.demand ?? []), demand], holders });
    }
    this.#outlooks = expectations;
    this.#resources = [...resources.values()];
  }
}

/** What of `saved` is integers under the names of `defaults`; the defaults for the rest. */
function integersOf<T extends { readonly [name in keyof T]: number }>(saved: unknown, defaults: T): T {
  const row = (typeof saved === 'object' && saved !== null ? saved : {}) as Record<string, unknown>;
  const entries = Object.entries(defaults).map(([name, value]) => [
    name,
    Number.isSafeInteger(row[name]) ? row[name] : value,
  ]);
  return Object.fromEntries(entries) as T;
}
