import type { Site } from '../../protocol/charter.ts';
import type { Key16, RegionId, ResourceKey } from '../../protocol/ids.ts';
import type { Blobs, Clock, DemandClock, Log, Metrics } from '../../protocol/ports.ts';
import type { Replica, ReplicaIndex } from '../../protocol/replica.ts';
import type { Heuristic } from './caching/freshness.ts';
import type { RequestLines } from './caching/vary.ts';
import type { Observation } from './observation.ts';
import type { OriginClient } from './origin.ts';
import { Parts } from './parts.ts';
import { Representatives } from './representatives.ts';
import { StoredResponse } from './stored.ts';

export interface EdgeOptions {
  /** Name of this PoP in Via and Cache-Status. */
  readonly name: string;
  /** Largest content that is stored, bytes; larger ones are passed on. */
  readonly maxObjectBytes: number;
  /**
   * How long a stale response may stand in for a failing origin if the response itself does not say, demand seconds.
   * 0 turns it off. Never applied against must-revalidate and its like.
   */
  readonly staleIfErrorSeconds: number;
  /** Guessed freshness for responses that state none; by default nothing is guessed. */
  readonly heuristic?: Heuristic;
  /**
   * Whether Cache-Control of requests may ask for more than the stored response (`no-cache`, `max-age`, …). The
   * origin is still asked by one request at a time for each resource.
   */
  readonly clientDirectives: boolean;
  /** A client that neither reads nor sends for this long is cut off, real ms. */
  readonly clientTimeoutMs: number;
  /** Connections at a time; further ones are closed at once. */
  readonly maxConnections: number;
  /** How long a request waits for other PoPs before the origin is asked, real ms. */
  readonly peerTimeoutMs: number;
  /** Whether answers from memory go to the system past Node's streams where they can (`auto`), see `direct.ts`. */
  readonly direct: 'auto' | 'off';
}

export const EDGE_DEFAULTS = {
  staleIfErrorSeconds: 3600,
  clientDirectives: true,
  clientTimeoutMs: 60_000,
  maxConnections: 16_384,
  peerTimeoutMs: 10_000,
  direct: 'auto',
} as const;

/** What a client or the mirror wants, as the other PoPs are asked for it. */
export interface PeerTicket {
  readonly key: ResourceKey;
  readonly key16: Key16;
  readonly site: Site;
  /** Variants that this PoP holds already (none of them serves the request). */
  readonly held: readonly Replica[];
  /** Lines of a request field by its name in lower case, so that the right variant can be chosen. */
  readonly request: RequestLines;
}

/**
 * Fetches a resource from other PoPs: known holders, else the key's home PoP. The replica is stored and indexed when
 * the promise resolves. `undefined`, or any failure, means that the origin must be asked.
 */
export interface PeerFill {
  fill(ticket: PeerTicket, signal: AbortSignal): Promise<Replica | undefined>;
}

export interface EdgeDependencies {
  readonly index: ReplicaIndex;
  readonly blobs: Blobs;
  /** Site of a host name (lower case, without port). The same object for as long as its rules stand. */
  readonly site: (host: string) => Site | undefined;
  /** The host name whose resource a name of its own (`<label>.r.<zone>`) stands for, if it is one. */
  readonly hostOf?: (host: string) => string | undefined;
  readonly fill: PeerFill;
  readonly origin: OriginClient;
  readonly demand: DemandClock;
  readonly clock: Clock;
  readonly observe: (observation: Observation) => void;
  readonly regionOf: (address: string) => RegionId;
  /** Under which clients' prefixes are hashed, 32 bytes; by default one that dies with the process. */
  readonly clientKey?: Uint8Array;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** A request whose site and key are known. */
export interface Resolved {
  readonly site: Site;
  readonly host: string;
  /** The host without its port. */
  readonly name: string;
  readonly key: ResourceKey;
  readonly key16: Key16;
  readonly path: string;
  readonly hasQuery: boolean;
  readonly signed: boolean;
}

/** What all parts of the edge share. */
export class EdgeContext {
  readonly options: EdgeOptions;
  readonly deps: EdgeDependencies;
  /** Own entry in Via. */
  readonly via: string;
  /** Own name in Cache-Status and Proxy-Status, quoted (RFC 9211 §2). */
  readonly pop: string;
  readonly parts: Parts;
  readonly representatives = new Representatives();
  readonly #stored = new WeakMap<Replica, StoredResponse>();

  constructor(options: EdgeOptions, deps: EdgeDependencies) {
    this.options = options;
    this.deps = deps;
    this.parts = new Parts(this);
    this.via = `1.1 ${/^[\w!#$%&'*+.^`|~-]+$/.test(options.name) ? options.name : 'presage'}`;
    this.pop = `"${options.name.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '')}"`;
  }

  /** What serving a replica needs; `isPrivate` if its site is private, by default as when it was served last. */
  stored(replica: Replica, isPrivate?: boolean): StoredResponse {
    const known = this.#stored.get(replica);
    if (known && (isPrivate === undefined || known.isPrivate === isPrivate)) return known;
    const made = new StoredResponse(replica, this.options.heuristic, this.via, isPrivate ?? false);
    this.#stored.set(replica, made);
    if (made.variance) this.representatives.note(replica.key, replica.key16, made.variance);
    return made;
  }
}
