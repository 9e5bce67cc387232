import { CompanionTrails } from './companions.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';
import { SpaceSaving } from './space-saving.ts';
import { type Capacities, clientBit, type Summary, type SummaryResource, type Worth } from './summary.ts';

/** (resource, region) pairs that one window can tell apart; twice what a summary of 64 KiB holds. */
const PAIRS_MAX = 4096;
/** Distinct client prefixes that must have asked before a resource with a query is spoken of. */
const QUERY_PREFIXES_MIN = 3;
/** Resources with a query whose prefixes are being counted. */
const QUERIES_MAX = 16_384;
/** Companion pairs that one window hands on. */
const COMPANIONS_MAX = 2048;

/** One request as the edge or a log feed saw it. */
export interface Observation {
  readonly key16: Key16;
  readonly site: SiteId;
  /** Where the client is; the PoP's own region if geography cannot place it. */
  readonly region: RegionId;
  /** Bytes sent. */
  readonly bytes: number;
  /** Bytes of the whole representation. */
  readonly size: number;
  /** 32-bit hash of the client's /24 or /48; the address itself does not enter. */
  readonly clientPrefix: number;
  /** Demand time, Unix ms. */
  readonly at: number;
  /** False for authorised requests and responses with Set-Cookie: counted, never spoken of. */
  readonly shareable: boolean;
  /** Whether the key has a query; such a resource is spoken of only after three client prefixes asked for it. */
  readonly query?: boolean;
  /** Index of `KINDS`, 0 if not known. */
  readonly kind?: number;
  /** See `groupOfKey`, 0 if not known. */
  readonly group?: number;
}

interface PairData {
  bytes: number;
  size: number;
  site: SiteId;
  kind: number;
  group: number;
  low: number;
  high: number;
}

/**
 * What one PoP saw since the last `close`: heavy hitters by (resource, region) in a Space-Saving structure with
 * `PAIRS_MAX` slots, so a pair's count is at most N / 4096 too high (the summary subtracts that error and so never
 * overstates), the rest as a tail of totals.
 */
export class DemandWindow {
  readonly #pop: PopId;
  readonly #pairs = new SpaceSaving<PairData>(PAIRS_MAX, () => ({
    bytes: 0,
    size: 0,
    site: '' as SiteId,
    kind: 0,
    group: 0,
    low: 0,
    high: 0,
  }));
  readonly #trails = new CompanionTrails();
  /** Prefix hashes by resource with a query, until there are three; then an empty list says that it may be shared. */
  readonly #queries = new Map<Key16, number[]>();
  #sequence: number;
  #from: number;
  #requests = 0;
  #bytes = 0;

  /**
   * @param sequence number of the first window; after a restart above all that were sent before (a Unix time in
   *   seconds does)
   */
  constructor(pop: PopId, from: number, sequence: number) {
    this.#pop = pop;
    this.#from = Math.trunc(from);
    this.#sequence = sequence;
  }

  get from(): number {
    return this.#from;
  }

  observe(seen: Observation): void {
    this.#requests += 1;
    this.#bytes += seen.bytes;
    if (!seen.shareable || (seen.query === true && !this.#queryShared(seen.key16, seen.clientPrefix))) return;
    const { data } = this.#pairs.offer(seen.key16 + seen.region);
    data.bytes += seen.bytes;
    // An answer without a body (304, HEAD) or with a part of it says nothing of the size.
    data.size = Math.max(data.size, seen.size);
    data.site = seen.site;
    if (seen.kind !== undefined) data.kind = seen.kind;
    if (seen.group !== undefined) data.group = seen.group;
    const [low, high] = clientBit(seen.clientPrefix);
    data.low = (data.low | low) >>> 0;
    data.high = (data.high | high) >>> 0;
    this.#trails.observe(seen.clientPrefix, seen.key16, seen.at);
  }

  /** The finished window; the next one begins at `at`, demand time in ms. */
  close(at: number, capacities: Capacities, worth: Worth): Summary {
    const byKey = new Map<
      Key16,
      PairData & { count: number; regions: SummaryResource['regions'][number][] }
    >();
    let counted = 0;
    let countedBytes = 0;
    for (const { key, count, error, data } of this.#pairs.entries()) {
      const sure = count - error;
      if (sure <= 0) continue;
      const key16 = key.slice(0, 32) as Key16;
      let resource = byKey.get(key16);
      if (resource === undefined) {
        resource = { ...data, count: 0, regions: [] };
        byKey.set(key16, resource);
      }
      resource.count += sure;
      resource.size = Math.max(resource.size, data.size);
      resource.low = (resource.low | data.low) >>> 0;
      resource.high = (resource.high | data.high) >>> 0;
      resource.regions.push({ region: key.slice(32) as RegionId, count: sure, bytes: data.bytes });
      counted += sure;
      countedBytes += data.bytes;
    }
    const order = [...byKey].sort(([a, x], [b, y]) => y.count - x.count || (a < b ? -1 : 1));
    const index = new Map(order.map(([key16], i) => [key16, i]));
    const companions: [number, number, number][] = [];
    for (const pair of this.#trails.take()) {
      const leader = index.get(pair.leader);
      const follower = index.get(pair.follower);
      if (leader === undefined || follower === undefined) continue;
      if (companions.push([leader, follower, pair.count]) >= COMPANIONS_MAX) break;
    }
    const summary: Summary = {
      pop: this.#pop,
      sequence: this.#sequence,
      from: this.#from,
      to: Math.max(Math.trunc(at), this.#from + 1),
      requests: this.#requests,
      bytes: this.#bytes,
      tail: {
        requests: Math.max(0, this.#requests - counted),
        bytes: Math.max(0, this.#bytes - countedBytes),
      },
      capacities,
      worth,
      resources: order.map(([key16, data]) => ({
        key16,
        site: data.site,
        size: data.size,
        kind: data.kind,
        group: data.group,
        clients: [data.low, data.high],
        regions: data.regions,
      })),
      companions,
    };
    this.#pairs.clear();
    this.#from = summary.to;
    this.#sequence += 1;
    this.#requests = 0;
    this.#bytes = 0;
    return summary;
  }

  #queryShared(key16: Key16, prefix: number): boolean {
    let prefixes = this.#queries.get(key16);
    if (prefixes?.length === 0) return true;
    if (prefixes === undefined) {
      if (this.#queries.size >= QUERIES_MAX) {
        const oldest = this.#queries.keys().next().value;
        if (oldest !== undefined) this.#queries.delete(oldest);
      }
      prefixes = [];
      this.#queries.set(key16, prefixes);
    }
    if (!prefixes.includes(prefix)) prefixes.push(prefix);
    if (prefixes.length < QUERY_PREFIXES_MIN) return false;
    this.#queries.set(key16, []);
    return true;
  }
}
