import type { Parameters } from './adjustment.ts';
import { type Charter, siteAllows } from './charter.ts';
import { byBytes } from './exact.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import { GAIN_MAX_MS, LOAD_FULL, PeerDistances, type Reach, RegionReach } from './reach.ts';
import { hash32 } from './rendezvous.ts';
import type { Capacities } from './summary.ts';

/** A PoP further than this from the demand does not mirror for it, ms. */
const FAR_MS = 250;
/** Metadata, request and index of one replica, bytes. */
const OBJECT_OVERHEAD = 512;
/** Share of an object's bytes that is always at risk, thousandths: no chance is a certainty. */
const RISK_MIN = 100;
/** A plan spends at most what a PoP can pull in this many epochs. */
const FILL_EPOCHS = 20;
/** Share of the storage budget that mirrors may fill, thousandths; the rest is for what clients ask for. */
const MIRROR_STORAGE = 500;
/** Expected requests from which a replica belongs in memory, thousandths. */
const MEMORY_TIER = 8000;
/** Skipped candidates that are remembered for `explain`. */
const SKIPS_MAX = 65_536;
const MIB = 1 << 20;

/** A PoP that may hold replicas. */
export interface PlanPop {
  readonly id: PopId;
  readonly name: string;
  readonly region: RegionId;
  readonly capacities: Capacities;
}

/** Demand of one region for one resource over the horizon. */
export interface PlanDemand {
  readonly region: RegionId;
  /** Expected requests, thousandths. */
  readonly expected: number;
  /** Chance that there is a request at all, thousandths: what is not at risk of going unused. */
  readonly chance: number;
  /** That chance as far as the forecast has earned belief, thousandths: what a mirror is worth. */
  readonly credit: number;
  /** The region has asked before, so its PoP keeps the content rather than mirrors it. */
  readonly held: boolean;
}

export interface PlanResource {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly size: number;
  readonly demand: readonly PlanDemand[];
  /** Regions that have asked for it, so that their PoPs hold it; by default some PoP of another region does. */
  readonly holders?: readonly RegionId[];
}

/** All that a plan is made of. Lists need no order; the plan makes its own. */
export interface PlanState {
  readonly pops: readonly PlanPop[];
  readonly resources: readonly PlanResource[];
  readonly parameters: Parameters;
  /** What goes before `parameters` for a site in a region, by `site region`. */
  readonly tuned?: ReadonlyMap<string, Parameters>;
}

/** Why a candidate was passed over. */
export type SkipReason =
  | 'drain'
  | 'sick'
  | 'overloaded'
  | 'no-storage'
  | 'no-bandwidth'
  | 'not-allowed'
  | 'too-far'
  | 'below-threshold'
  | 'no-credit';

/** One replica that the plan lists. */
export interface Placement {
  readonly key16: Key16;
  readonly size: number;
  readonly pop: PopId;
  /** The demand that it is for. */
  readonly region: RegionId;
  readonly tier: 'memory' | 'disk';
  /** `keep` what the PoP's own clients asked for, `mirror` what they are expected to. */
  readonly purpose: 'keep' | 'mirror';
  /** Milli-request milliseconds saved per MiB at risk. */
  readonly value: number;
  readonly chance: number;
  readonly expected: number;
}

export interface Skip {
  readonly key16: Key16;
  readonly pop: PopId;
  readonly region: RegionId;
  readonly reason: SkipReason;
  readonly value: number;
}

export interface Plan {
  /** By value, greatest first. */
  readonly placements: readonly Placement[];
  readonly skips: readonly Skip[];
}

/**
 * Which content belongs where: value per byte at risk, greatest first, under every PoP's storage and bandwidth.
 *
 * A mirror's value is the credited chance of a request times the milliseconds that it saves, where the alternative
 * is a fetch from the nearest peer. It costs the bytes that are expected to go unused: those that are used would
 * have been fetched anyway. For each region's demand the PoPs are tried in order of distance, load and free space;
 * between equals a rendezvous hash spreads resources. Pure and deterministic; integers only.
 */
export function plan(state: PlanState, charter: Charter): Plan {
  const pops = [...state.pops].sort((a, b) => (a.id < b.id ? -1 : 1));
  const popHashes = pops.map((pop) => hash32(pop.id));
  const { offers, skips } = offersOf(state, pops, charter);
  const skip = (key16: Key16, pop: number, region: RegionId, reason: SkipReason, value: number) => {
    if (skips.length < SKIPS_MAX) skips.push({ key16, pop: pops[pop]!.id, region, reason, value });
  };
  const budgets = new Budgets(state, pops, charter);
  const placements: Placement[] = [];
  const placed = new Uint8Array(Math.ceil((state.resources.length * pops.length) / 8));
  let hashed: PlanResource | undefined;
  let hash = 0;
  for (const { resource, place, demand, reach, nearest, fetchMs, site, value, parameters } of offers) {
    const { key16, size } = resource;
    const kib = Math.ceil((size + OBJECT_OVERHEAD) / 1024);
    let left = demand.held ? 1 : parameters.targets;
    if (hashed !== resource) {
      hashed = resource;
      hash = hash32(key16);
    }
    reach.visit(hash, popHashes, (at) => {
      const pop = pops[at.pop]!;
      const { state: health, load } = pop.capacities;
      // The nearest PoP's value stands for the demand; a further one must still be worth it.
      const worth = at === nearest ? value : worthOf(resource, demand, at, nearest, fetchMs, parameters);
      let reason: SkipReason | undefined;
      if (!budgets.allows(site, at.pop)) reason = 'not-allowed';
      else if (health !== 'up') reason = health;
      else if (load >= LOAD_FULL) reason = 'overloaded';
      else if (at.distance > FAR_MS) reason = 'too-far';
      else if (!demand.held && worth < parameters.threshold) reason = 'below-threshold';
      else if (!budgets.stores(at.pop, kib)) reason = 'no-storage';
      else if (!demand.held && !budgets.fills(site, at.pop, kib)) reason = 'no-bandwidth';
      if (reason !== undefined) {
        skip(key16, at.pop, demand.region, reason, worth);
        return reason === 'too-far' || reason === 'below-threshold';
      }
      const bit = place * pops.length + at.pop;
      if ((placed[bit >> 3]! & (1 << (bit & 7))) === 0) {
        placed[bit >> 3] = placed[bit >> 3]! | (1 << (bit & 7));
        budgets.spend(at.pop, kib, demand.held);
        placements.push({
          key16,
          size,
          pop: pop.id,
          region: demand.region,
          tier: demand.expected >= MEMORY_TIER ? 'memory' : 'disk',
          purpose: demand.held ? 'keep' : 'mirror',
          value: worth,
          chance: demand.chance,
          expected: demand.expected,
        });
      }
      left -= 1;
      return left <= 0;
    });
  }
  return { placements, skips };
}

/** What one region's demand for one resource is worth to its nearest PoP. */
interface Offer {
  readonly resource: PlanResource;
  /** Of the key in byte order; equal keys share it. */
  readonly place: number;
  readonly demand: PlanDemand;
  readonly reach: RegionReach;
  readonly nearest: Reach;
  /** What a miss at the nearest PoP costs. */
  readonly fetchMs: number;
  readonly value: number;
  readonly site: number;
  readonly parameters: Parameters;
}

/** All demand that is worth an offer, by value, greatest first, then by key and region. */
function offersOf(
  state: PlanState,
  pops: readonly PlanPop[],
  charter: Charter,
): { offers: Offer[]; skips: Skip[] } {
  const peers = new PeerDistances(pops, charter);
  const places = placesOf(state.resources);
  const regions = new Map<RegionId, { index: number; reach: RegionReach }>();
  const sites = new Map(charter.sites.map(({ id }, index) => [id, index]));
  const tuned = new Map<SiteId, Map<RegionId, Parameters>>();
  const offers: Offer[] = [];
  const skips: Skip[] = [];
  for (const [i, resource] of state.resources.entries()) {
    const holders = peers.indices(resource.holders);
    const site = sites.get(resource.site) ?? NO_SITE;
    let ofSite = tuned.get(resource.site);
    if (ofSite === undefined) {
      ofSite = new Map();
      tuned.set(resource.site, ofSite);
    }
    for (const demand of resource.demand) {
      let region = regions.get(demand.region);
      if (region === undefined) {
        region = { index: regions.size, reach: new RegionReach(demand.region, pops, charter) };
        regions.set(demand.region, region);
      }
      const { reach } = region;
      const { nearest } = reach;
      if (nearest === undefined) continue;
      const fetchMs = peers.of(nearest.pop, holders);
      let parameters = ofSite.get(demand.region);
      if (parameters === undefined) {
        parameters = tunedFor(state, resource.site, demand.region);
        ofSite.set(demand.region, parameters);
      }
      const value = worthOf(resource, demand, nearest, nearest, fetchMs, parameters);
      if (value < parameters.threshold && !demand.held) {
        if (skips.length >= SKIPS_MAX) continue;
        const reason = demand.credit <= 0 ? 'no-credit' : 'below-threshold';
        skips.push({
          key16: resource.key16,
          pop: pops[nearest.pop]!.id,
          region: demand.region,
          reason,
          value,
        });
        continue;
      }
      offers.push({
        resource,
        place: places[i]!,
        demand,
        reach,
        nearest,
        fetchMs,
        value,
        site,
        parameters,
      });
    }
  }
  offers.sort(
    (a, b) =>
      b.value - a.value ||
      a.place - b.place ||
      (a.demand.region < b.demand.region ? -1 : a.demand.region > b.demand.region ? 1 : 0),
  );
  return { offers, skips };
}

/** The place of each resource's key in byte order. */
function placesOf(resources: readonly PlanResource[]): Uint32Array {
  const order = resources.map((_, i) => i);
  const keyAt = (i: number) => resources[i]!.key16;
  if (order.some((i) => i > 0 && keyAt(i - 1) >= keyAt(i))) order.sort((a, b) => byBytes(keyAt(a), keyAt(b)));
  const places = new Uint32Array(resources.length);
  for (let n = 1; n < order.length; n += 1) {
    places[order[n]!] = places[order[n - 1]!]! + (keyAt(order[n]!) === keyAt(order[n - 1]!) ? 0 : 1);
  }
  return places;
}

const tunedFor = (state: PlanState, site: SiteId, region: RegionId): Parameters =>
  state.tuned?.get(`${site} ${region}`) ?? state.parameters;

/** Stands for a site that the charter does not name: no PoP may hold it. */
const NO_SITE = -1;

/** What the PoPs can still take. Storage and bandwidth in KiB. */
class Budgets {
  readonly #storage: number[];
  /** What a PoP could pull within the plan's epochs, by site, and what has been given out of it. */
  readonly #fillable: readonly (readonly number[])[];
  readonly #filled: number[];
  readonly #allowed: readonly (readonly boolean[])[];

  constructor(state: PlanState, pops: readonly PlanPop[], charter: Charter) {
    this.#storage = pops.map(
      ({ capacities: c }) => Math.floor((c.storageBudgetMiB * MIRROR_STORAGE) / 1000) * 1024,
    );
    this.#filled = pops.map(() => 0);
    this.#fillable = charter.sites.map(({ id }) =>
      pops.map(({ region, capacities: c }) => {
        const pullable = Math.floor((c.fillKiBps * charter.epochMs * FILL_EPOCHS) / 1000);
        return Math.floor((pullable * tunedFor(state, id, region).fillShare) / 1000);
      }),
    );
    this.#allowed = charter.sites.map((site) => pops.map(({ name }) => siteAllows(site, name)));
  }

  allows(site: number, pop: number): boolean {
    return this.#allowed[site]?.[pop] === true;
  }

  stores(pop: number, kib: number): boolean {
    return this.#storage[pop]! >= kib;
  }

  fills(site: number, pop: number, kib: number): boolean {
    return this.#filled[pop]! + kib <= this.#fillable[site]![pop]!;
  }

  spend(pop: number, kib: number, held: boolean): void {
    this.#storage[pop] = this.#storage[pop]! - kib;
    if (!held) this.#filled[pop] = this.#filled[pop]! + kib;
  }
}

/** Milli-request milliseconds saved per MiB at risk by a replica at one PoP, where a miss costs `fetchMs`. */
function worthOf(
  { size }: PlanResource,
  { credit, chance }: PlanDemand,
  at: Reach,
  nearest: Reach,
  fetchMs: number,
  { safety }: Parameters,
): number {
  // Clients arrive at the nearest PoP; being sent on to a further or busier one eats into the saving.
  const saved = Math.max(0, Math.min(GAIN_MAX_MS, fetchMs - (at.rank - nearest.distance)));
  const trusted = Math.min(1000, Math.floor((Math.min(1000, credit) * safety) / 1000));
  const likely = Math.min(1000, Math.floor((Math.min(1000, chance) * safety) / 1000));
  const atRisk = Math.max(RISK_MIN, 1000 - likely);
  const bytes = Math.floor(((size + OBJECT_OVERHEAD) * atRisk) / 1000) + 1;
  return Math.floor((trusted * saved * MIB) / bytes);
}
