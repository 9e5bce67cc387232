import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import { hourOf, RegionHours } from './region-hours.ts';
import { type Counts, RING_BYTES, type RingName, Rings } from './rings.ts';
import { type ClientBits, clientsOf, type Summary } from './summary.ts';

/** Default of `memory.history`. */
export const HISTORY_BYTES = 128 << 20;
/** Measured heap that a record of each kind takes; rings come on top. */
const RESOURCE_BYTES = 600;
const REGION_BYTES = 240;
const POP_BYTES = 130;
/** Shares of the budget for rings and for records. */
const RING_SHARE = 0.53;
const RECORD_SHARE = 0.44;
/** Requests from which a resource has rings of its own. */
const RESOURCE_RING_MIN = 4;
/** Requests from one region from which that region has rings of its own; below, the resource's share is taken. */
const REGION_RING_MIN = 24;
/** Half-lives of the two recent counts, ms. */
const FAST_MS = 15 * 60_000;
const SLOW_MS = 3 * 3_600_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Forgotten resources that wait for their records to be dropped. */
const FORGOTTEN_MAX = 65_536;
/** PoPs whose windows are told apart. */
const NAMES_MAX = 4096;
/** PoPs remembered of one resource, those that were asked last. */
const POPS_MAX = 8;

/**
 * 2^(-elapsed / half) in plain arithmetic, linear between whole halvings: the same number on every machine, which
 * `Math.pow` does not promise.
 */
export function fade(elapsed: number, half: number): number {
  if (elapsed <= 0) return 1;
  const halvings = elapsed / half;
  if (halvings >= 50) return 0;
  const whole = Math.floor(halvings);
  return (1 - (halvings - whole) / 2) / 2 ** whole;
}

/** What is known of one resource in one region. */
export interface RegionDemand {
  readonly region: RegionId;
  total: number;
  /** Demand time of the end of the first and the last window with a request, ms. */
  first: number;
  last: number;
  /** Recent counts with half-lives of 15 minutes and 3 hours, as of `last`. */
  fast: number;
  slow: number;
  slot: number;
}

/** When one PoP was asked for a resource. */
export interface PopDemand {
  readonly pop: PopId;
  first: number;
  last: number;
  total: number;
}

/** Everything remembered of one resource. */
export interface ResourceDemand {
  readonly key16: Key16;
  site: SiteId;
  size: number;
  kind: number;
  group: number;
  low: number;
  high: number;
  total: number;
  first: number;
  last: number;
  fast: number;
  slow: number;
  slot: number;
  readonly regions: RegionDemand[];
  /** The PoPs that were asked last, a few of them. */
  readonly pops: PopDemand[];
}

/** A record for the database: the key16 and positional plain data. */
export type HistoryRow = readonly [key16: Key16, value: readonly unknown[]];

/**
 * The demand history of a cluster, folded from the summaries of all PoPs: per resource totals, recent counts,
 * distinct clients, first and last request by region and by PoP, and minute, ten-minute and hour rings where there
 * is enough to fill them. Bounded by `bytes`; what is least asked for and longest ago is forgotten first.
 */
export class History {
  readonly rings: Rings;
  readonly #recordBytesMax: number;
  #recordBytes = 0;
  readonly #resources = new Map<Key16, ResourceDemand>();
  readonly #windows = new Map<PopId, { sequence: number; to: number }>();
  readonly #hours = new RegionHours();
  #changed = new Set<ResourceDemand>();
  #forgotten = new Set<Key16>();

  constructor(bytes = HISTORY_BYTES) {
    this.rings = new Rings(Math.floor((bytes * RING_SHARE) / RING_BYTES));
    this.#recordBytesMax = Math.max(1 << 17, Math.floor(bytes * RECORD_SHARE));
  }

  get size(): number {
    return this.#resources.size;
  }

  get(key16: Key16): ResourceDemand | undefined {
    return this.#resources.get(key16);
  }

  resources(): IterableIterator<ResourceDemand> {
    return this.#resources.values();
  }

  /** The newest window folded from a PoP, for `judgeSummary`. */
  newest(pop: PopId): { readonly sequence: number; readonly to: number } | undefined {
    return this.#windows.get(pop);
  }

  /** Adds a window to the rings and totals. A window not newer than the last of its PoP is left out: false. */
  fold(summary: Summary): boolean {
    const previous = this.#windows.get(summary.pop);
    if (previous !== undefined && summary.sequence <= previous.sequence) return false;
    if (previous === undefined && this.#windows.size >= NAMES_MAX) return false;
    this.#windows.set(summary.pop, { sequence: summary.sequence, to: summary.to });
    for (const row of summary.resources) {
      const resource = this.#resource(row.key16, summary.to);
      resource.site = row.site;
      if (row.size > 0) resource.size = row.size;
      if (row.kind !== 0) resource.kind = row.kind;
      if (row.group !== 0) resource.group = row.group;
      resource.low = (resource.low | row.clients[0]) >>> 0;
      resource.high = (resource.high | row.clients[1]) >>> 0;
      let all = 0;
      for (const { region, count } of row.regions) {
        all += count;
        this.#hours.add(region, summary.from, count);
        this.#bump(this.#region(resource, region, summary.to), count, summary, REGION_RING_MIN, resource);
      }
      this.#bump(resource, all, summary, RESOURCE_RING_MIN);
      this.#seenAt(resource, summary, all);
      this.#changed.add(resource);
    }
    return true;
  }

  /** About how many client prefixes asked for a resource, all PoPs together. */
  clients(resource: ResourceDemand): number {
    return clientsOf([resource.low, resource.high] as ClientBits);
  }

  /**
   * Counts of a (resource, region) for a forecast, of whole buckets before `now`, oldest first. A region without
   * rings of its own gets its share of the resource's, at its own times of day. None before the bucket of `from`.
   * `undefined` while there is too little to fill a ring.
   */
  series(key16: Key16, region: RegionId, name: RingName, now: number, from = 0): Counts | undefined {
    const resource = this.#resources.get(key16);
    const own = resource?.regions.find((known) => known.region === region);
    if (resource === undefined || own === undefined) return undefined;
    if (own.slot >= 0) return this.rings.read(own.slot, name, now, from);
    if (resource.slot < 0) return undefined;
    const shared = this.rings.read(resource.slot, name, now, from);
    const share = own.total / Math.max(1, resource.total);
    const shareAt = this.#shareAt(resource, region, share);
    const { start, stepMs } = shared;
    return { ...shared, values: shared.values.map((count, i) => count * shareAt(start + i * stepMs)) };
  }

  /** The (resource, region) pairs with rings of their own, hence established, in the order of their appearance. */
  *established(): IterableIterator<{ resource: ResourceDemand; region: RegionDemand }> {
    for (const resource of this.#resources.values()) {
      for (const region of resource.regions) if (region.slot >= 0) yield { resource, region };
    }
  }

  /** Records changed since the last call, whole: one batch for the database a window. */
  takeChanged(): HistoryRow[] {
    const rows = [...this.#changed].map((resource) => this.#row(resource));
    this.#changed = new Set();
    return rows;
  }

  /** Resources forgotten since the last call, whose records the database is to drop. */
  takeForgotten(): Key16[] {
    const forgotten = [...this.#forgotten];
    this.#forgotten = new Set();
    return forgotten;
  }

  /** All records. */
  toRows(): HistoryRow[] {
    return [...this.#resources.values()].map((resource) => this.#row(resource));
  }

  /** The newest window by PoP, to be kept beside the rows. */
  windows(): [PopId, number, number][] {
    return [...this.#windows].map(([pop, { sequence, to }]) => [pop, sequence, to]);
  }

  /** Takes back what `toRows`, `takeChanged` and `windows` gave; rows that are not whole are left out and counted. */
  fromRows(rows: Iterable<HistoryRow>, windows: readonly (readonly [PopId, number, number])[] = []): number {
    let refused = 0;
    for (const [pop, sequence, to] of windows) this.#windows.set(pop, { sequence, to });
    for (const [key16, value] of rows) if (!this.#take(key16, value)) refused += 1;
    return refused;
  }

  #seenAt({ pops }: ResourceDemand, { pop, to }: Summary, count: number): void {
    const known = pops.find((one) => one.pop === pop);
    if (known !== undefined) {
      known.last = Math.max(known.last, to);
      known.total += count;
      return;
    }
    const fresh = { pop, first: to, last: to, total: count };
    if (pops.length < POPS_MAX) {
      pops.push(fresh);
      this.#recordBytes += POP_BYTES;
      return;
    }
    let stalest = 0;
    for (let i = 1; i < pops.length; i += 1) if (pops[i]!.last < pops[stalest]!.last) stalest = i;
    pops[stalest] = fresh;
  }

  #resource(key16: Key16, at: number): ResourceDemand {
    const known = this.#resources.get(key16);
    if (known !== undefined) return known;
    if (this.#recordBytes >= this.#recordBytesMax) this.#forget(at);
    this.#recordBytes += RESOURCE_BYTES;
    const resource: ResourceDemand = {
      key16,
      site: '' as SiteId,
      size: 0,
      kind: 0,
      group: 0,
      low: 0,
      high: 0,
      total: 0,
      first: at,
      last: at,
      fast: 0,
      slow: 0,
      slot: -1,
      regions: [],
      pops: [],
    };
    this.#resources.set(key16, resource);
    this.#forgotten.delete(key16);
    return resource;
  }

  #region(resource: ResourceDemand, region: RegionId, at: number): RegionDemand {
    let known = resource.regions.find((one) => one.region === region);
    if (known === undefined) {
      known = { region, total: 0, first: at, last: at, fast: 0, slow: 0, slot: -1 };
      resource.regions.push(known);
      this.#recordBytes += REGION_BYTES;
    }
    return known;
  }

  #bump(
    demand: ResourceDemand | RegionDemand,
    count: number,
    { from, to }: Summary,
    ringMin: number,
    whole?: ResourceDemand,
  ): void {
    demand.fast = demand.fast * fade(to - demand.last, FAST_MS) + count;
    demand.slow = demand.slow * fade(to - demand.last, SLOW_MS) + count;
    demand.last = Math.max(demand.last, to);
    demand.total += count;
    if (demand.slot < 0 && demand.total >= ringMin) {
      demand.slot = this.#slot(to);
      // Rings of a region's own would begin as if nothing had come before; its share of the resource's is nearer.
      if (demand.slot >= 0 && 'region' in demand && whole !== undefined && whole.slot >= 0) {
        const share = (demand.total - count) / Math.max(1, whole.total);
        this.rings.copy(whole.slot, demand.slot, this.#shareAt(whole, demand.region, share));
      }
    }
    if (demand.slot < 0) return;
    // A window may be longer than a minute: its requests are spread over the minutes that it touches.
    let told = 0;
    for (let at = from; at < to; ) {
      const end = Math.min(to, (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS);
      const upTo = Math.floor((count * (end - from)) / (to - from));
      if (upTo > told) this.rings.add(demand.slot, at, upTo - told);
      told = upTo;
      at = end;
    }
  }

  /** The share of a region in what came of a resource at a time, where it is usually `share`. */
  #shareAt({ regions }: ResourceDemand, region: RegionId, share: number): (at: number) => number {
    const leans = this.#hours.leans(regions, region);
    return (at) => Math.min(1, share * leans[hourOf(at)]!);
  }

  #slot(at: number): number {
    const free = this.rings.open();
    if (free >= 0) return free;
    const owners: { slot: number; last: number; slow: number }[] = [];
    for (const resource of this.#resources.values()) {
      if (resource.slot >= 0) owners.push(resource);
      for (const region of resource.regions) if (region.slot >= 0) owners.push(region);
    }
    const worth = (owner: { last: number; slow: number }) => owner.slow * fade(at - owner.last, SLOW_MS);
    owners.sort((a, b) => worth(a) - worth(b) || a.slot - b.slot);
    for (const owner of owners.slice(0, Math.ceil(owners.length / 16))) {
      this.rings.close(owner.slot);
      owner.slot = -1;
    }
    return this.rings.open();
  }

  /** Frees an eighth of the room: what is asked for least, counting the recent past most. */
  #forget(at: number): void {
    const all = [...this.#resources.values()].map((resource) => ({
      resource,
      worth: resource.slow * fade(at - resource.last, SLOW_MS),
    }));
    all.sort(
      (a, b) =>
        a.worth - b.worth ||
        a.resource.last - b.resource.last ||
        (a.resource.key16 < b.resource.key16 ? -1 : 1),
    );
    for (const { resource } of all.slice(0, Math.ceil(all.length / 8))) {
      if (resource.slot >= 0) this.rings.close(resource.slot);
      for (const region of resource.regions) if (region.slot >= 0) this.rings.close(region.slot);
      this.#resources.delete(resource.key16);
      this.#changed.delete(resource);
      if (this.#forgotten.size < FORGOTTEN_MAX) this.#forgotten.add(resource.key16);
      const { regions, pops } = resource;
      this.#recordBytes -= RESOURCE_BYTES + regions.length * REGION_BYTES + pops.length * POP_BYTES;
    }
  }

  #row(r: ResourceDemand): HistoryRow {
    const ring = (slot: number) => (slot < 0 ? [] : this.rings.save(slot));
    return [
      r.key16,
      [
        1,
        r.site,
        [r.size, r.kind, r.group, r.low, r.high, r.total, r.first, r.last, r.fast, r.slow],
        ring(r.slot),
        r.regions.map((d) => [d.region, [d.total, d.first, d.last, d.fast, d.slow], ring(d.slot)]),
        r.pops.map((p) => [p.pop, p.first, p.last, p.total]),
      ],
    ];
  }

  #take(key16: Key16, value: readonly unknown[]): boolean {
    const [edition, site, numbers, ring, regions, pops] = value as [number, SiteId, ...unknown[][]];
    if (edition !== 1 || typeof site !== 'string') return false;
    if (!isNumbers(numbers, 10) || !isNumbers(ring, 0) || !Array.isArray(regions) || !Array.isArray(pops))
      return false;
    const [size, kind, group, low, high, total, first, last = 0, fast, slow] = numbers;
    const resource = this.#resource(key16, last);
    Object.assign(resource, { site, size, kind, group, low, high, total, first, last, fast, slow });
    const open = (saved: readonly number[]): number => {
      const slot = saved.length > 0 ? this.#slot(last) : -1;
      if (slot >= 0) this.rings.load(slot, saved);
      return slot;
    };
    resource.slot = open(ring);
    for (const one of regions) {
      const [region, n, saved] = one as [RegionId, unknown, unknown];
      if (typeof region !== 'string' || !isNumbers(n, 5) || !isNumbers(saved, 0)) continue;
      const demand = this.#region(resource, region, n[1]!);
      const [total, first, last, fast, slow] = n;
      Object.assign(demand, { total, first, last, fast, slow });
      demand.slot = open(saved);
      if (demand.slot < 0) continue;
      this.#hours.replay(region, this.rings.read(demand.slot, 'hour', demand.last + HOUR_MS));
    }
    for (const one of pops.slice(0, POPS_MAX)) {
      const [pop, ...n] = one as [PopId, ...unknown[]];
      if (typeof pop !== 'string' || !isNumbers(n, 3)) continue;
      resource.pops.push({ pop, first: n[0]!, last: n[1]!, total: n[2]! });
      this.#recordBytes += POP_BYTES;
    }
    return true;
  }
}

function isNumbers(value: unknown, atLeast: number): value is number[] {
  return Array.isArray(value) && value.length >= atLeast && value.every((n) => Number.isFinite(n));
}
