import { type Charter, distanceMs } from './charter.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import { nextControl, type OverflowState, smoothSchedule, spreadOverflow } from './overflow.ts';
import { hash32, mix32 } from './rendezvous.ts';

/** A holder is preferred to the nearest PoP if it is at most this much farther: about one fetch from a peer. */
const PREFER_HOLDER_MS = 100;
/** The PoP with the larger share of a site's regional demand is preferred if it is at most this much farther. */
const PREFER_SHARE_MS = 30;
/** An IPv6 address may lie at most this much farther than the IPv4 one: else the client is better off without. */
const FAMILY_DETOUR_MS = 50;
/** Slots of a schedule: shares are met to 1/64. */
const TURNS = 64;
/** Holders of one resource that are looked at; a plan has at most 32 candidates a resource. */
const HOLDERS = 64;
/** PoPs of one table; the schedule holds indices of 16 bits. */
export const MAX_ROUTED_POPS = 4096;
/** Fraction of the golden ratio: the sequence of its multiples modulo 1 is evenly spread at every length. */
const GOLDEN = 0.6180339887498949;

/** A PoP as routing sees it. */
export interface RoutingPop {
  readonly id: PopId;
  readonly name: string;
  readonly region: RegionId;
  /** Service addresses from its certificate, as text. */
  readonly addresses: { readonly v4: readonly string[]; readonly v6: readonly string[] };
  /** Sixteenths of its capacity in use, 0 … 15. */
  readonly load: number;
  readonly state: 'up' | 'drain' | 'sick';
  /** Whether this PoP is connected to it (true for itself). */
  readonly reachable: boolean;
}

export interface RoutingInput {
  readonly charter: Pick<Charter, 'regions' | 'distances' | 'defaultRegion' | 'sites'>;
  readonly pops: readonly RoutingPop[];
  /** PoPs that hold a valid replica of a resource. Called while queries are answered: a look-up, no work. */
  readonly holders: (key16: Key16) => readonly PopId[] | undefined;
  /** The PoP that holds the larger share of a site's predicted demand in a region. */
  readonly preferred: (site: SiteId, region: RegionId) => PopId | undefined;
  /** Epoch of the load reports. Overload control moves one step when it rises, and stands still while it does not. */
  readonly epoch: number;
}

export type AddressFamily = 'v4' | 'v6';

/** What a client asks for: a site, or one resource of it. */
export interface RoutingTarget {
  readonly site: SiteId;
  readonly key16?: Key16 | undefined;
}

/** A table as data; what is in it concerns `RoutingTable` alone. */
export interface RoutingData {
  readonly pops: readonly RoutingPop[];
  readonly defaultRegion: RegionId;
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, Row>>;
  readonly overflow: OverflowState;
}

interface Row {
  /** PoP indices: available ones by cost; behind them draining ones; sick or unreachable ones only if there is nothing else. */
  readonly order: Uint16Array;
  /** How many of `order` are available. */
  readonly available: number;
  /** Cost in ms by PoP index, for resources: the round trip alone; infinite for PoPs that the site does not allow. */
  readonly distance: Float64Array;
  readonly schedule?: Uint16Array;
}

/**
 * Which PoP answers whom: immutable, built by a pure function from what is known, swapped in whole. Chosen is the
 * nearest PoP that is healthy, not draining and not overloaded; for a site the one with the larger share of its regional
 * demand, for a resource one that holds it, if that is not much farther. Overflow is spread, and so are the clients of
 * a PoP that is lost (see `overflow.ts`).
 */
export class RoutingTable {
  readonly pops: readonly RoutingPop[];
  readonly overflow: OverflowState;
  readonly #index: ReadonlyMap<string, number>;
  readonly #rows: ReadonlyMap<string, ReadonlyMap<string, Row>>;
  readonly #defaultRegion: RegionId;
  readonly #holders: RoutingInput['holders'];
  readonly #keep: Float64Array;

  private constructor(data: RoutingData, holders: RoutingInput['holders']) {
    this.pops = data.pops;
    this.overflow = data.overflow;
    this.#index = new Map(data.pops.map(({ id }, at) => [id, at]));
    this.#rows = data.rows;
    this.#defaultRegion = data.defaultRegion;
    this.#holders = holders;
    this.#keep = Float64Array.from(data.pops, ({ id }) => data.overflow.keep.get(id) ?? 1);
  }

  /**
   * Builds a table. With the previous one given, overload control goes on from there; without it, it starts afresh.
   * Costs about sites × regions × PoPs; at most `MAX_ROUTED_POPS` PoPs.
   */
  static build(input: RoutingInput, previous?: RoutingTable): RoutingTable {
    const { pops, charter } = input;
    if (pops.length > MAX_ROUTED_POPS)
      throw new RangeError(`${pops.length} PoPs, at most ${MAX_ROUTED_POPS}`);
    const tiers = pops.map(tierOf);
    const marks = Uint32Array.from(pops, ({ id }) => hash32(id));
    const index = new Map<string, number>(pops.map(({ id }, at) => [id, at]));
    const seeds: { site: SiteId; region: RegionId; row: Row; lost: number | undefined }[] = [];
    const regions = charter.regions.includes(charter.defaultRegion)
      ? charter.regions
      : [...charter.regions, charter.defaultRegion];
    // Most sites allow the same PoPs; what follows from that and the region is worked out once.
    const bases = new Map<string, Row>();
    // Whose clients these would be, were all PoPs well, matters only while one is not.
    const homes = tiers.some((tier) => tier !== 0) ? new Map<string, Row>() : undefined;
    const well = tiers.map((): Tier => 0);
    for (const site of charter.sites) {
      const allow = site.allow.includes('*') ? undefined : new Set(site.allow);
      for (const region of regions) {
        const key = `${region} ${allow ? [...allow].join(' ') : '*'}`;
        const base = bases.get(key) ?? baseOf(charter, region, pops, tiers, allow, marks);
        bases.set(key, base);
        const preferred = index.get(input.preferred(site.id, region) ?? '');
        const order = orderOf(base, site.id, region, tiers, marks, preferred);
        let lost: number | undefined;
        if (homes && base.available > 0) {
          const home = homes.get(key) ?? baseOf(charter, region, pops, well, allow, marks);
          homes.set(key, home);
          const [first] = orderOf(home, site.id, region, well, marks, preferred);
          if (first !== undefined && tiers[first] !== 0) lost = first;
        }
        seeds.push({ site: site.id, region, row: { ...base, order }, lost });
      }
    }
    const available = pops.map(({ id, load }, at) => ({ id, load, available: tiers[at] === 0 }));
    const control = nextControl(available, input.epoch, previous?.overflow);
    const { shares, received } = spreadOverflow(
      available,
      seeds.map(({ row, lost }) => ({
        order: row.order.subarray(0, row.available),
        cost: row.distance,
        lost,
      })),
      control,
    );
    const rows = new Map<string, Map<string, Row>>();
    seeds.forEach(({ site, region, row }, at) => {
      const split = shares.get(at);
      const bySite = rows.get(site) ?? new Map<string, Row>();
      rows.set(site, bySite);
      bySite.set(region, split ? { ...row, schedule: smoothSchedule(split, TURNS) } : row);
    });
    const overflow = { ...control, received };
    return new RoutingTable({ pops, defaultRegion: charter.defaultRegion, rows, overflow }, input.holders);
  }

  /** The table without its look-up of holders, as data that another thread can be sent (structured clone). */
  toData(): RoutingData {
    const { pops, overflow } = this;
    return { pops, defaultRegion: this.#defaultRegion, rows: this.#rows, overflow };
  }

  static fromData(data: RoutingData, holders: RoutingInput['holders']): RoutingTable {
    return new RoutingTable(data, holders);
  }

  /** A table without PoPs, for the time before the first is built: every choice is empty. */
  static empty(): RoutingTable {
    return RoutingTable.build({
      charter: { regions: [], distances: {}, defaultRegion: 'none' as RegionId, sites: [] },
      pops: [],
      holders: () => undefined,
      preferred: () => undefined,
      epoch: 0,
    });
  }

  /**
   * PoPs for a client, the best first. `turn` is any counter that rises with each answer; it matters only while
   * overflow is spread. Unknown regions count as the default region; unknown sites have no PoPs.
   */
  choose(region: RegionId, target: RoutingTarget, turn = 0): readonly RoutingPop[] {
    const row = this.#row(region, target.site);
    if (!row) return [];
    const first = this.#first(row, target.key16, turn);
    const rest = Array.from(row.order).filter((at) => at !== first);
    return (first < 0 ? rest : [first, ...rest]).map((at) => this.pops[at]!);
  }

  /**
   * The same choice as an index into `pops`, without allocating: the first with an address of the family, or −1.
   * For IPv6 not one that is much farther than the IPv4 one: a client without IPv4 then comes through its
   * network's translator (RFC 6147), others by IPv4.
   */
  pick(
    region: RegionId,
    site: SiteId,
    key16: Key16 | undefined,
    family: AddressFamily,
    turn: number,
  ): number {
    const row = this.#row(region, site);
    if (!row) return -1;
    const first = this.#first(row, key16, turn);
    if (first < 0) return -1;
    if (this.pops[first]!.addresses[family].length > 0) return first;
    let nearest = -1;
    for (let i = 0; i < row.order.length; i += 1) {
      const at = row.order[i]!;
      if (this.pops[at]!.addresses[family].length === 0) continue;
      nearest = at;
      break;
    }
    if (nearest < 0 || family === 'v4' || this.pops[first]!.addresses.v4.length === 0) return nearest;
    return row.distance[nearest]! - row.distance[first]! <= FAMILY_DETOUR_MS ? nearest : -1;
  }

  /** PoPs that hold a resource, as far as is known. */
  holders(key16: Key16): readonly PopId[] | undefined {
    return this.#holders(key16);
  }

  #row(region: string, site: string): Row | undefined {
    const rows = this.#rows.get(site);
    return rows?.get(region) ?? rows?.get(this.#defaultRegion);
  }

  #first(row: Row, key16: Key16 | undefined, turn: number): number {
    if (row.order.length === 0) return -1;
    const ofSite = row.schedule ? row.schedule[turn % TURNS]! : row.order[0]!;
    if (key16 === undefined || row.available === 0) return ofSite;
    const holders = this.#holders(key16);
    if (!holders || holders.length === 0) return ofSite;
    const bound = row.distance[ofSite]! + PREFER_HOLDER_MS;
    let best = -1;
    for (let i = 0; i < holders.length && i < HOLDERS; i += 1) {
      const at = this.#index.get(holders[i]!);
      if (at === undefined || row.distance[at]! > bound || tierOf(this.pops[at]!) !== 0) continue;
      // An overloaded holder gives its part away here too, to the next holder or else to the site's answer.
      const keep = this.#keep[at]!;
      if (keep < 1 && (turn * GOLDEN) % 1 >= keep) continue;
      if (best < 0 || row.distance[at]! < row.distance[best]!) best = at;
    }
    return best < 0 ? ofSite : best;
  }
}

type Tier = 0 | 1 | 2;

/** 0: may be chosen; 1: draining, chosen if there is no other; 2: sick or out of reach, chosen if there is nothing else. */
function tierOf(pop: RoutingPop): Tier {
  if (pop.state === 'sick' || !pop.reachable) return 2;
  return pop.state === 'drain' ? 1 : 0;
}

/** The PoPs that may answer a region, by tier and round trip. */
function baseOf(
  charter: RoutingInput['charter'],
  region: RegionId,
  pops: readonly RoutingPop[],
  tiers: readonly Tier[],
  allow: ReadonlySet<string> | undefined,
  marks: Uint32Array,
): Row {
  const distance = Float64Array.from(pops, (pop) =>
    !allow || allow.has(pop.name)
      ? distanceMs(charter, region, pop.name, pop.region)
      : Number.POSITIVE_INFINITY,
  );
  const candidates = pops.map((_, at) => at).filter((at) => Number.isFinite(distance[at]!));
  const usable = candidates.filter((at) => tiers[at] !== 2);
  const chosen = usable.length > 0 ? usable : candidates;
  const seed = hash32(region);
  const rank = marks.map((mark) => mix32(mark ^ seed));
  chosen.sort(
    (a, b) =>
      tiers[a]! - tiers[b]! ||
      distance[a]! - distance[b]! ||
      rank[a]! - rank[b]! ||
      (pops[a]!.id < pops[b]!.id ? -1 : 1),
  );
  return {
    order: Uint16Array.from(chosen),
    available: chosen.filter((at) => tiers[at] === 0).length,
    distance,
  };
}

/**
 * The order for one site: the preferred PoP is moved up if it is near enough. Otherwise, equally near PoPs share the
 * sites of a region among them, each site staying with one, so that caches stay warm.
 */
function orderOf(
  base: Row,
  site: SiteId,
  region: RegionId,
  tiers: readonly Tier[],
  marks: Uint32Array,
  preferred: number | undefined,
): Uint16Array {
  const order = Uint16Array.from(base.order);
  const [nearest] = order;
  if (nearest === undefined) return order;
  const { distance } = base;
  let first = order.length;
  if (
    preferred !== undefined &&
    tiers[preferred] === tiers[nearest] &&
    distance[preferred]! - PREFER_SHARE_MS <= distance[nearest]!
  ) {
    first = order.indexOf(preferred);
  } else {
    const seed = hash32(`${site} ${region}`);
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < order.length; i += 1) {
      const at = order[i]!;
      if (tiers[at] !== tiers[nearest] || distance[at] !== distance[nearest]) break;
      const rank = mix32(marks[at]! ^ seed);
      if (rank >= least) continue;
      least = rank;
      first = i;
    }
  }
  if (first < order.length) {
    const at = order[first]!;
    order.copyWithin(1, 0, first);
    order[0] = at;
  }
  return order;
}
