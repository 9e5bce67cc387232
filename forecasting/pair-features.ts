import type { Companions } from '../protocol/companions.ts';
import { fade, type History, type ResourceDemand } from '../protocol/history.ts';
import type { Key16, RegionId } from '../protocol/ids.ts';
import { log, log1p } from './elementary.ts';

/** Half-life of what counts as a leader's present demand, ms. */
const LEADER_MS = 3 * 3_600_000;
/** Leaders that have not been asked for within this are passed over. */
const LEADER_AGE_MS = 6 * 3_600_000;
/** Below this a companion's pull is not told from none. */
const PULL_FLOOR = 0.03;
/** How old the pulls may be, ms of demand time. */
const REFRESH_MS = 120_000;
/** Groups (directories) remembered. */
const GROUPS_MAX = 32_768;

/** Names of the features, in the order of the vector. */
export const FEATURES = [
  'bias',
  'size',
  'size squared',
  'requests',
  'fast',
  'slow',
  'clients',
  'regions',
  'regions squared',
  'since last',
  'since first',
  'companions',
  'companions new',
  'group breadth',
  'group demand',
  'page',
  'image',
  'media',
  'single client',
] as const;
export const FEATURE_COUNT = FEATURES.length;

interface Group {
  known: number;
  readonly asked: Map<RegionId, { resources: number; requests: number; at: number }>;
}

/**
 * What is known of a resource that a region has not asked for yet, as numbers for the arrivals model. Keeps the
 * two things that the history does not hold: how far each region has gone through a directory, and how strongly
 * what a region asks for now pulls its companions after it.
 */
export class PairFeatures {
  readonly #history: History;
  readonly #companions: Companions;
  readonly #groups = new Map<number, Group>();
  #refreshed = Number.NEGATIVE_INFINITY;
  #pulls = new Map<Key16, Map<RegionId, number>>();

  constructor(history: History, companions: Companions) {
    this.#history = history;
    this.#companions = companions;
  }

  /** A resource was heard of for the first time. */
  known(group: number): void {
    if (group !== 0) this.#group(group).known += 1;
  }

  /** A region asked for a resource of a group; `first` if it had not asked for that resource before. */
  asked(group: number, region: RegionId, count: number, first: boolean, at: number): void {
    if (group === 0) return;
    const { asked } = this.#group(group);
    const known = asked.get(region);
    if (known === undefined) asked.set(region, { resources: 1, requests: count, at });
    else {
      known.requests = known.requests * fade(at - known.at, LEADER_MS) + count;
      known.at = Math.max(known.at, at);
      if (first) known.resources += 1;
    }
  }

  /** Works out anew which resources are pulled by what each region asks for now, unless that is recent. */
  refresh(now: number): void {
    if (now - this.#refreshed < REFRESH_MS) return;
    this.#refreshed = now;
    const pulls = new Map<Key16, Map<RegionId, number>>();
    for (const leader of this.#history.resources()) {
      if (now - leader.last > LEADER_AGE_MS) continue;
      const followers = this.#companions.of(leader.key16);
      if (followers === undefined) continue;
      for (const demand of leader.regions) {
        const rate = demand.slow * fade(now - demand.last, LEADER_MS);
        if (rate < PULL_FLOOR) continue;
        for (const [follower, count] of followers) {
          let pull = pulls.get(follower);
          if (pull === undefined) {
            pull = new Map();
            pulls.set(follower, pull);
          }
          const chance = Math.min(1, count / (leader.total + 1));
          pull.set(demand.region, (pull.get(demand.region) ?? 0) + rate * chance);
        }
      }
    }
    this.#pulls = pulls;
  }

  /** The part of the vector that all regions share, given how many there are. Written into `into`. */
  fillResource(into: Float64Array, resource: ResourceDemand, regions: number, now: number): void {
    const idle = Math.max(0, now - resource.last);
    const size = (log(resource.size + 64) - 9) / 2;
    const clients = this.#history.clients(resource);
    const share = (resource.regions.length - 1) / Math.max(1, regions - 1);
    into[0] = 1;
    into[1] = size;
    into[2] = size * size - 1;
    into[3] = log(resource.total);
    into[4] = log1p(resource.fast * fade(idle, 15 * 60_000));
    into[5] = log1p(resource.slow * fade(idle, LEADER_MS));
    into[6] = log(Math.max(1, clients));
    into[7] = share;
    into[8] = share * share;
    into[9] = log1p(idle / 600_000);
    into[10] = log1p(Math.max(0, now - resource.first) / 600_000);
    into[15] = resource.kind === 1 ? 1 : 0;
    into[16] = resource.kind === 2 ? 1 : 0;
    into[17] = resource.kind === 3 || resource.kind === 4 || resource.kind === 8 ? 1 : 0;
    into[18] = clients <= 1 ? 1 : 0;
  }

  /** The rest of the vector: what differs between regions. */
  fillRegion(into: Float64Array, resource: ResourceDemand, region: RegionId, now: number): void {
    const pull = this.#pulls.get(resource.key16)?.get(region) ?? 0;
    const group = resource.group === 0 ? undefined : this.#groups.get(resource.group);
    const here = group?.asked.get(region);
    into[11] = pull === 0 ? 0 : log((pull + PULL_FLOOR) / PULL_FLOOR) / 2;
    into[12] = pull > PULL_FLOOR ? 1 : 0;
    into[13] = group === undefined ? 0 : log(((here?.resources ?? 0) + 0.5) / (group.known + 1));
    into[14] = here === undefined ? 0 : log1p(here.requests * fade(now - here.at, LEADER_MS)) / 2;
  }

  /** Plain data for persistence. */
  snapshot(): unknown {
    return [...this.#groups].map(([group, { known, asked }]) => [
      group,
      known,
      [...asked].map(([region, { resources, requests, at }]) => [region, resources, requests, at]),
    ]);
  }

  restore(saved: unknown): void {
    if (!Array.isArray(saved)) return;
    for (const [group, known, asked] of saved as [number, number, [RegionId, number, number, number][]][]) {
      if (!Number.isFinite(group) || !Number.isFinite(known) || !Array.isArray(asked)) continue;
      const own = this.#group(group);
      own.known = known;
      for (const [region, resources, requests, at] of asked) {
        if ([resources, requests, at].every((one) => Number.isFinite(one))) {
          own.asked.set(region, { resources, requests, at });
        }
      }
    }
  }

  #group(group: number): Group {
    let known = this.#groups.get(group);
    if (known === undefined) {
      if (this.#groups.size >= GROUPS_MAX) {
        const oldest = this.#groups.keys().next().value;
        if (oldest !== undefined) this.#groups.delete(oldest);
      }
      known = { known: 0, asked: new Map() };
      this.#groups.set(group, known);
    }
    return known;
  }
}
