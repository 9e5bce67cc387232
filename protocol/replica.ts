import type { ContentHash, Key16, PopId, ResourceKey, SiteId } from './ids.ts';

/**
 * Per issuer of purges, the highest matching purge that the fetcher had applied before it sent the request to the
 * origin. Content may be stored, served or taken from a peer only if its fence covers every matching purge known.
 */
export type Fence = ReadonlyMap<PopId, number>;

/** Hybrid logical time (Kulkarni et al. 2014): `time` is ms, `counter` breaks ties within a ms, `pop` between PoPs. */
export interface Stamp {
  readonly time: number;
  readonly counter: number;
  readonly pop: PopId;
}

/** A stored response: one variant of one resource, held by this PoP. */
export interface Replica {
  readonly key: ResourceKey;
  readonly key16: Key16;
  readonly site: SiteId;
  /** Canonical values of the request header fields that `Vary` names; empty where nothing varies. */
  readonly variant: string;
  readonly status: number;
  /** End-to-end header fields as the origin sent them, names in lower case, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly content: ContentHash;
  readonly size: number;
  /** Demand time (ms) at which the request was sent and the response arrived, for the age of RFC 9111 §4.2.3. */
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly fence: Fence;
  /** Surrogate keys by which purges find it. */
  readonly tags: readonly string[];
  readonly version: Stamp;
  readonly source: ReplicaSource;
  /** Reserved: the group of companions that are replicated together. */
  readonly group: number;
  /** Reserved: the rules under which it was placed. */
  readonly rules: number;
}

/** How a replica came here: asked for by a client, listed by the plan, or pulled on a RISING report. */
export type ReplicaSource = 'client' | 'plan' | 'speculative';

/** A response on its way into the store; the body is in the blobs already. */
export interface FetchedResponse {
  readonly variant: string;
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly content: ContentHash;
  readonly size: number;
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly tags: readonly string[];
  readonly source: ReplicaSource;
}

/** Taken before a request is sent to the origin: fixes which purges were applied by then. */
export interface FetchTicket {
  readonly key: ResourceKey;
  readonly key16: Key16;
  readonly site: SiteId;
  /** Position in this PoP's log of applied purges. */
  readonly ordinal: number;
}

/**
 * Whether a replica may be served now. `valid`: as its freshness says. `stale`: only after revalidation with the
 * origin (soft purge, or not reconciled yet under the site's `revalidate` rule). `gone`: never again.
 */
export type Standing = 'valid' | 'stale' | 'gone';

/** What the HTTP edge and the mirror see of the catalogue: synchronous look-ups, asynchronous durable changes. */
export interface ReplicaIndex {
  /** Variants of a resource held here. */
  get(key16: Key16): readonly Replica[];
  standing(replica: Replica): Standing;
  /** To be called before the origin request is sent. */
  begin(key: ResourceKey, key16: Key16, site: SiteId): FetchTicket;
  /**
   * Whether a purge has overtaken the ticket's request: what it brings may then not be given to those who ask now.
   * While `tags` are not known, any purge by tag on the site counts.
   */
  overtaken?(ticket: FetchTicket, tags?: readonly string[]): boolean;
  /** Stores what a ticket's request brought, unless a purge has overtaken it: then `undefined`. Durable when it resolves. */
  store(ticket: FetchTicket, response: FetchedResponse): Promise<Replica | undefined>;
  /** Adopts a replica from a peer if its fence covers all purges known here and no newer version is known. */
  adopt(replica: Replica): Promise<Replica | undefined>;
  /** After 304: the stored header fields renewed (RFC 9111 §4.3.4), the fence raised to the ticket's. */
  refresh(
    ticket: FetchTicket,
    replica: Replica,
    headers: FetchedResponse['headers'],
    requestedAt: number,
    receivedAt: number,
  ): Promise<Replica | undefined>;
  /** Forgets one variant (eviction or invalidation by an unsafe method). */
  drop(key16: Key16, variant: string): Promise<void>;
  /** Marks use, for eviction and for the worth of mirrored bytes. */
  touch(replica: Replica): void;
}
