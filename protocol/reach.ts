import { type Charter, distanceMs } from './charter.ts';
import type { RegionId } from './ids.ts';
import type { PlanPop } from './placement.ts';
import { rendezvousWeight } from './rendezvous.ts';

/** Candidate PoPs looked at for one region's demand. */
export const CANDIDATES_MAX = 32;
/** Load at which a PoP takes nothing more. */
export const LOAD_FULL = 15;
/** Longest saving credited to one request, ms; keeps products below 2⁵³. */
export const GAIN_MAX_MS = 4000;
/** What a fetch from a peer costs beside the round trip, ms. */
const PEER_OVERHEAD_MS = 4;

/** A PoP as a region's clients see it. */
export interface Reach {
  /** Index of the PoP. */
  readonly pop: number;
  readonly distance: number;
  /** Distance with load and shortage of space added: the order in which PoPs are tried. */
  readonly rank: number;
}

const isOpen = ({ capacities: { state, load } }: PlanPop): boolean => state === 'up' && load < LOAD_FULL;

/** The PoPs nearest to a region, in the order in which they are tried. */
export class RegionReach {
  /** Where the region's clients arrive: the first PoP that is not down, drained or saturated. */
  readonly nearest: Reach | undefined;
  readonly #groups: readonly (readonly Reach[])[];
  readonly #weights = new Float64Array(CANDIDATES_MAX);

  constructor(region: RegionId, pops: readonly PlanPop[], charter: Charter) {
    const reach = pops
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
    this.nearest = reach.find(({ pop }) => isOpen(pops[pop]!)) ?? reach[0];
    this.#groups = reach[0]?.rank === reach[1]?.rank ? groupsOf(reach) : reach.map((one) => [one]);
  }

  /**
   * Tries the PoPs in order until `visit` says that it is enough. Where the nearest are equally near, PoPs of one
   * rank come in the order of a rendezvous hash, so that equals share a region's resources.
   *
   * @param key hash of the resource's key
   * @param hashes of the PoPs' ids, by index
   */
  visit(key: number, hashes: readonly number[], visit: (at: Reach) => boolean): void {
    const weights = this.#weights;
    for (const group of this.#groups) {
      if (group.length === 1) {
        if (visit(group[0]!)) return;
        continue;
      }
      for (let i = 0; i < group.length; i += 1) weights[i] = rendezvousWeight(key, hashes[group[i]!.pop]!);
      // Mostly the first is taken: sorting them all would be for nothing.
      for (let left = group.length; left > 0; left -= 1) {
        let best = 0;
        for (let i = 1; i < group.length; i += 1) if (weights[i]! > weights[best]!) best = i;
        weights[best] = -1;
        if (visit(group[best]!)) return;
      }
    }
  }
}

/** Runs of equal rank. */
function groupsOf(reach: readonly Reach[]): Reach[][] {
  const groups: Reach[][] = [];
  for (const one of reach) {
    const last = groups.at(-1);
    if (last !== undefined && last[0]!.rank === one.rank) last.push(one);
    else groups.push([one]);
  }
  return groups;
}

/** Round trips from PoPs to where content is, ms, with what a fetch costs beside them. */
export class PeerDistances {
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

  /** Indices of regions, for `of`; those without a PoP are left out. */
  indices(holders: readonly RegionId[] | undefined): readonly number[] | undefined {
    if (holders === undefined) return undefined;
    const indices: number[] = [];
    for (const region of holders) {
      const index = this.#regions.get(region);
      if (index !== undefined) indices.push(index);
    }
    return indices;
  }

  /** To the nearest PoP of the holders' regions, or of any region but its own where holders are not known. */
  of(pop: number, holders: readonly number[] | undefined): number {
    if (holders === undefined) return this.#any[pop]!;
    const row = this.#table[pop]!;
    let nearest = GAIN_MAX_MS;
    for (const region of holders) {
      const distance = row[region]!;
      if (distance < nearest) nearest = distance;
    }
    return nearest;
  }
}
