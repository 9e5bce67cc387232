import type { Key16 } from '../../protocol/ids.ts';
import { SimulatedCache } from './cache.ts';
import type { Trace, TraceRequest, TraceResource } from './trace.ts';

/** What the simulated PoPs have. */
export interface WorldOptions {
  /** Bytes a PoP may store. */
  readonly storage: number;
  /** Bytes a second that a PoP may spend on mirroring. */
  readonly bandwidth: number;
  /** Round trips between PoPs, ms. */
  readonly distances: readonly (readonly number[])[];
  /** Round trip from clients to their PoP, ms. */
  readonly clientMs: number;
  /** Time to the origin's first byte, ms. */
  readonly originMs: number;
  /** Bytes a second of one fetch from a peer or from the origin. */
  readonly fetchRate: number;
}

/** What a policy sees and may do. It is told of requests as they come, never before. */
export interface Policy {
  readonly name: string;
  /** Whether a miss asks the other PoPs before the origin. */
  readonly peers: boolean;
  /** Called once before the first request. */
  begin?(world: World): void;
  /** A request was served at its PoP; `first` if it was the PoP's first for that resource. */
  served?(request: TraceRequest, first: boolean, world: World): void;
  /** Time has come to `now`; called before each request. */
  tick?(now: number, world: World): void;
  /** A mirror has arrived, was used for the first time, or was evicted unused. */
  arrived?(pop: number, resource: TraceResource, at: number): void;
  evicted?(pop: number, key16: Key16, size: number): void;
}

export interface PolicyOutcome {
  readonly policy: string;
  readonly hitRatio: number;
  readonly byteHitRatio: number;
  /** First requests of a (resource, PoP) that found nothing, and those that a mirror awaited. */
  readonly coldMisses: number;
  readonly coldMissesAvoided: number;
  readonly originBytes: number;
  readonly peerBytes: number;
  readonly prefetchedBytes: number;
  /** Prefetched and not asked for by the end of the log, young ones included. */
  readonly wastedBytes: number;
  readonly latencyMs: {
    readonly mean: number;
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
  };
}

interface Transfer {
  readonly pop: number;
  readonly resource: TraceResource;
  readonly at: number;
}

/** The PoPs under one policy: caches, fetches, and mirrors that take time. */
export class World {
  readonly trace: Trace;
  readonly options: WorldOptions;
  readonly #policy: Policy;
  readonly #caches: SimulatedCache[];
  readonly #asked = new Set<string>();
  /** In order of arrival at each PoP. */
  readonly #transfers: Transfer[][];
  readonly #pending = new Set<string>();
  readonly #busy: number[];
  readonly #latencies: number[] = [];
  #hits = 0;
  #hitBytes = 0;
  #cold = 0;
  #avoided = 0;
  #originBytes = 0;
  #peerBytes = 0;
  #prefetched = 0;
  #wasted = 0;

  constructor(trace: Trace, options: WorldOptions, policy: Policy) {
    this.trace = trace;
    this.options = options;
    this.#policy = policy;
    const pops = trace.regions.map((_, pop) => pop);
    this.#caches = pops.map(
      (pop) =>
        new SimulatedCache(options.storage, (key16, size) => {
          this.#wasted += size;
          policy.evicted?.(pop, key16, size);
        }),
    );
    this.#transfers = pops.map(() => []);
    this.#busy = pops.map(() => Number.NEGATIVE_INFINITY);
  }

  has(pop: number, key16: Key16): boolean {
    return this.#caches[pop]!.has(key16);
  }

  /** Begins to mirror, not before `at`; within the PoP's bandwidth, one after the other. */
  mirror(pop: number, resource: TraceResource, at: number): void {
    const pair = resource.key16 + String(pop);
    if (this.#pending.has(pair) || this.has(pop, resource.key16)) return;
    const begun = Math.max(at, this.#busy[pop]!);
    const done = begun + (1000 * resource.size) / this.options.bandwidth;
    this.#busy[pop] = done;
    this.#pending.add(pair);
    this.#transfers[pop]!.push({ pop, resource, at: done });
  }

  run(): PolicyOutcome {
    this.#policy.begin?.(this);
    for (const request of this.trace.requests) this.#serve(request);
    for (const cache of this.#caches) for (const size of cache.unused().values()) this.#wasted += size;
    const { requests, bytes } = this.trace;
    const sorted = Float64Array.from(this.#latencies).sort();
    const quantile = (q: number) => Math.round(sorted[Math.floor(q * (sorted.length - 1))] ?? 0);
    const mean = sorted.reduce((sum, ms) => sum + ms, 0) / Math.max(1, sorted.length);
    const ratio = (part: number, whole: number) => Math.round((10_000 * part) / Math.max(1, whole)) / 10_000;
    return {
      policy: this.#policy.name,
      hitRatio: ratio(this.#hits, requests.length),
      byteHitRatio: ratio(this.#hitBytes, bytes),
      coldMisses: this.#cold,
      coldMissesAvoided: this.#avoided,
      originBytes: this.#originBytes,
      peerBytes: this.#peerBytes,
      prefetchedBytes: this.#prefetched,
      wastedBytes: this.#wasted,
      latencyMs: {
        mean: Math.round(mean * 10) / 10,
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
      },
    };
  }

  #serve(request: TraceRequest): void {
    const { at, key16, pop, resource } = request;
    this.#policy.tick?.(at, this);
    this.#land(at);
    const cache = this.#caches[pop]!;
    const pair = key16 + String(pop);
    const first = !this.#asked.has(pair);
    this.#asked.add(pair);
    const outcome = cache.request(key16);
    let ms = this.options.clientMs;
    if (outcome === 'miss') {
      if (first) this.#cold += 1;
      ms += this.#fetch(pop, resource);
      cache.store(key16, resource.size);
    } else {
      if (first) this.#avoided += 1;
      this.#hits += 1;
      this.#hitBytes += resource.size;
    }
    this.#latencies.push(ms);
    this.#policy.served?.(request, first, this);
  }

  /** Mirrors that have arrived by `now` enter the caches. */
  #land(now: number): void {
    for (let pop = 0; pop < this.#transfers.length; pop += 1) {
      const queue = this.#transfers[pop]!;
      while (queue.length > 0 && queue[0]!.at <= now) {
        const { resource, at } = queue.shift()!;
        this.#pending.delete(resource.key16 + String(pop));
        if (this.has(pop, resource.key16)) continue;
        const { bytes, fromPeer } = this.#source(pop, resource);
        if (!this.#caches[pop]!.mirror(resource.key16, resource.size)) continue;
        this.#prefetched += bytes;
        if (fromPeer) this.#peerBytes += bytes;
        else this.#originBytes += bytes;
        this.#policy.arrived?.(pop, resource, at);
      }
    }
  }

  #source(pop: number, resource: TraceResource): { bytes: number; fromPeer: boolean; ms: number } {
    let nearest = Number.POSITIVE_INFINITY;
    for (let other = 0; other < this.#caches.length; other += 1) {
      if (other === pop || !this.has(other, resource.key16)) continue;
      nearest = Math.min(nearest, this.options.distances[pop]?.[other] ?? Number.POSITIVE_INFINITY);
    }
    const fromPeer = Number.isFinite(nearest);
    return { bytes: resource.size, fromPeer, ms: fromPeer ? nearest : this.options.originMs };
  }

  #fetch(pop: number, resource: TraceResource): number {
    const { size } = resource;
    const source = this.#policy.peers ? this.#source(pop, resource) : undefined;
    if (source?.fromPeer) this.#peerBytes += size;
    else this.#originBytes += size;
    return (source?.ms ?? this.options.originMs) + (1000 * size) / this.options.fetchRate;
  }
}
