import type { Parameters } from './adjustment.ts';
import { type Charter, distanceMs } from './charter.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import { hash32, rendezvousWeight } from './rendezvous.ts';
import type { Capacities } from './summary.ts';

/** Candidate PoPs looked at for one region's demand. */
export const CANDIDATES_MAX = 32;
/** A PoP further than this from the demand does not mirror for it, ms. */
const FAR_MS = 250;
/** What a fetch from a peer costs beside the round trip, ms. */
const PEER_OVERHEAD_MS = 4;
/** Longest saving credited to one request, ms; keeps products below 2⁵³. */
const GAIN_MAX_MS = 4000;
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
/** Load at which a PoP takes nothing more. */
const LOAD_FULL = 15;
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

interface Reach {
  /** Index of the PoP. */
  readonly pop: number;
  readonly distance: number;
  /** Distance with load and shortage of space added: the order in which PoPs are tried. */
  readonly rank: number;
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
  const tuned = (site: SiteId, region: RegionId): Parameters =>
    state.tuned?.get(`${site} ${region}`) ?? state.parameters;
  const pops = [...state.pops].sort((a, b) => (a.id < b.id ? -1 : 1));
  const popHashes = pops.map((pop) => hash32(pop.id));
  const peers = new PeerDistances(pops, charter);
  const storage = pops.map(
    ({ capacities: c }) => Math.floor((c.storageBudgetMiB * MIRROR_STORAGE) / 1000) * 1024,
  );
  /** What a PoP could pull within the plan's epochs, KiB, and what has been given out of it. */
  const pullable = pops.map(({ capacities: c }) =>
    Math.floor((c.fillKiBps * charter.epochMs * FILL_EPOCHS) / 1000),
  );
  const filled = new Array<number>(pops.length).fill(0);
  const shareOf = (pop: number, site: SiteId): number =>
    Math.floor((pullable[pop]! * tuned(site, pops[pop]!.region).fillShare) / 1000);
  const reaches = new Map<RegionId, readonly Reach[]>();
  const allowed = new Map<SiteId, readonly boolean[]>();
  for (const site of charter.sites) {
    allowed.set(
      site.id,
      pops.map((pop) => site.allow.includes('*') || site.allow.includes(pop.name)),
    );
  }

  const offers: Offer[] = [];
  const skips: Skip[] = [];
  const skip = (key16: Key16, pop: number, region: RegionId, reason: SkipReason, value: number) => {
    const at = pops[pop];
    if (at !== undefined && skips.length < SKIPS_MAX)
      skips.push({ key16, pop: at.id, region, reason, value });
  };

  for (const resource of state.resources) {
    const permitted = allowed.get(resource.site);
    const holders = peers.indices(resource.holders);
    for (const demand of resource.demand) {
      let reach = reaches.get(demand.region);
      if (reach === undefined) {
        reach = reachOf(demand.region, pops, charter);
        reaches.set(demand.region, reach);
      }
      // Clients of a PoP that is down, drained or saturated arrive at the next one.
      const nearest = reach.find(({ pop }) => isOpen(pops[pop]!)) ?? reach[0];
      if (nearest === undefined) continue;
      const fetchMs = peers.of(nearest.pop, holders);
      const parameters = tuned(resource.site, demand.region);
      const value = worthOf(resource, demand, nearest, nearest, fetchMs, parameters);
      if (value < parameters.threshold && !demand.held) {
        skip(
          resource.key16,
          nearest.pop,
          demand.region,
          demand.credit <= 0 ? 'no-credit' : 'below-threshold',
          value,
        );
        continue;
      }
      offers.push({ resource, demand, reach, nearest, fetchMs, value, permitted, parameters });
    }
  }
  offers.sort(
    (a, b) =>
      b.value - a.value ||
      (a.resource.key16 < b.resource.key16 ? -1 : a.resource.key16 > b.resource.key16 ? 1 : 0) ||
      (a.demand.region < b.demand.region ? -1 : 1),
  );

  const placements: Placement[] = [];
  const placed = new Set<string>();
  for (const { resource, demand, reach, nearest, fetchMs, permitted, value, parameters } of offers) {
    const { key16, size } = resource;
    const kib = Math.ceil((size + OBJECT_OVERHEAD) / 1024);
    let left = demand.held ? 1 : parameters.targets;
    for (const at of spread(reach, key16, popHashes)) {
      const pop = pops[at.pop]!;
      const { state: health, load } = pop.capacities;
      // The nearest PoP's value stands for the demand; a further one must still be worth it.
      const worth = at === nearest ? value : worthOf(resource, demand, at, nearest, fetchMs, parameters);
      let reason: SkipReason | undefined;
      if (permitted?.[at.pop] !== true) reason = 'not-allowed';
      else if (health !== 'up') reason = health;
      else if (load >= LOAD_FULL) reason = 'overloaded';
      else if (at.distance > FAR_MS) reason = 'too-far';
      else if (!demand.held && worth < parameters.threshold) reason = 'below-threshold';
      else if (storage[at.pop]! < kib) reason = 'no-storage';
      else if (!demand.held && filled[at.pop]! + kib > shareOf(at.pop, resource.site))
        reason = 'no-bandwidth';
      if (reason !== undefined) {
        skip(key16, at.pop, demand.region, reason, worth);
        if (reason === 'too-far' || reason === 'below-threshold') break;
        continue;
      }
      const once = key16 + String(at.pop);
      if (!placed.has(once)) {
        placed.add(once);
        storage[at.pop] = storage[at.pop]! - kib;
        if (!demand.held) filled[at.pop] = filled[at.pop]! + kib;
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
      if (left <= 0) break;
    }
  }
  return { placements, skips };
}

const isOpen = ({ capacities: { state, load } }: PlanPop): boolean => state === 'up' && load < LOAD_FULL;

interface Offer {
  readonly resource: PlanResource;
  readonly demand: PlanDemand;
  readonly reach: readonly Reach[];
  readonly nearest: Reach;
  /** What a miss at the nearest PoP costs. */
  readonly fetchMs: number;
  readonly value: number;
  readonly permitted: readonly boolean[] | undefined;
  readonly parameters: Parameters;
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

/** Round trips from PoPs to where content is, ms, with what a fetch costs beside them. */
class PeerDistances {
  readonly #regions = new Map<RegionId, number>();
  /** By PoP, then by index of region. */
  readonly #table: Int32Array[];
  /** By PoP: to the nearest PoP of any region but its own. */
  readonly #any: number[];

  constructor(pops: readonly PlanPop[], charter: Charter) {
    for (const { region } of pops) {
      if (!this.#regions.has(region)) this.#regions.set(region, this.#regions.size);
    }
    this.#table = pops.map((own) => {
      const row = new Int32Array(this.#regions.size).fill(GAIN_MAX_MS);
      for (const { name, region } of pops) {
        if (region === own.region) continue;
        const index = this.#regions.get(region)!;
        const distance = Math.max(1, Math.trunc(distanceMs(charter, own.region, name, region)));
        row[index] = Math.min(row[index]!, distance + PEER_OVERHEAD_MS);
      }
      return row;
    });
    this.#any = this.#table.map((row) => row.reduce((least, ms) => Math.min(least, ms), GAIN_MAX_MS));
  }

  indices(holders: readonly RegionId[] | undefined): readonly number[] | undefined {
    return holders?.map((region) => this.#regions.get(region) ?? -1);
  }

  /** To the nearest PoP of the holders' regions, or of any region but its own where holders are not known. */
  of(pop: number, holders: readonly number[] | undefined): number {
    if (holders === undefined) return this.#any[pop]!;
    const row = this.#table[pop]!;
    let nearest = GAIN_MAX_MS;
    for (const region of holders) {
      const distance = row[region];
      if (distance !== undefined && distance < nearest) nearest = distance;
    }
    return nearest;
  }
}

/** The PoPs nearest to a region, in the order in which they are tried. */
function reachOf(region: RegionId, pops: readonly PlanPop[], charter: Charter): readonly Reach[] {
  return pops
    .map((pop, index): Reach => {
      const distance = Math.trunc(distanceMs(charter, region, pop.name, pop.region));
      const { load, storageFreeMiB: free, storageBudgetMiB: budget } = pop.capacities;
      // Half load costs nothing; above it a millisecond, two, four … up to saturation, where it is skipped.
      const busy = load <= 7 || load >= LOAD_FULL ? 0 : 1 << (load - 8);
      const scarce = free * 10 < budget ? 10 : 0;
      return { pop: index, distance, rank: distance + busy + scarce };
    })
    .sort((a, b) => a.rank - b.rank || a.pop - b.pop)
    .slice(0, CANDIDATES_MAX);
}

/** The same order, but PoPs of one rank by rendezvous, so that equals share a region's resources. */
function spread(reach: readonly Reach[], key16: Key16, hashes: readonly number[]): readonly Reach[] {
  if (reach.length < 2 || reach[0]!.rank !== reach[1]!.rank) return reach;
  const key = hash32(key16);
  return [...reach].sort(
    (a, b) =>
      a.rank - b.rank ||
      rendezvousWeight(key, hashes[b.pop]!) - rendezvousWeight(key, hashes[a.pop]!) ||
      a.pop - b.pop,
  );
}
