import type { Site } from '../../protocol/charter.ts';
import type { Key16, RegionId, ResourceKey } from '../../protocol/ids.ts';

/**
 * How a request was answered. `hit`: from the store, fresh. `stale`: from the store, past its freshness (while it is
 * revalidated, or because the origin failed). `revalidated`: from the store, after the origin confirmed it. `peer`:
 * another PoP had it. `miss`: the origin was asked. `pass`: the origin was asked, and nothing could have been stored.
 */
export type HitKind = 'hit' | 'miss' | 'stale' | 'revalidated' | 'peer' | 'pass';

/** What the edge tells of one finished request; no client address, only a keyed hash of its prefix. */
export interface Observation {
  readonly key16: Key16;
  readonly key: ResourceKey;
  readonly site: Site;
  readonly region: RegionId;
  /**
   * HMAC of the client's /24 or /48 under a key that lives as long as the process, 16 hex digits: good for counting
   * distinct prefixes here, and for nothing else.
   */
  readonly clientPrefixHash: string;
  /** Body bytes that were sent (all that were queued, if the client went away). */
  readonly bytes: number;
  /** Length of the whole content, 0 if unknown. */
  readonly size: number;
  readonly status: number;
  readonly hit: HitKind;
  /** The replica was mirrored, and this is its first use here. */
  readonly mirrored: boolean;
  /** Demand ms at which the request came. */
  readonly at: number;
  /**
   * Whether other PoPs may hear of it: GET or HEAD without Authorization, an answer without Set-Cookie, no token of
   * the origin's in the query.
   */
  readonly shareable: boolean;
  readonly query: boolean;
}
