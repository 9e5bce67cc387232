import type { PopId } from './ids.ts';
import type { PurgeExchange } from './purge-exchange.ts';

/** How a connected peer stands. */
export interface PurgePeer {
  exchange: PurgeExchange | undefined;
  /** Something may be to tell or to learn: compare at `retryAt`. */
  dirty: boolean;
  retryAt: number;
  backoffMs: number;
}

/** A call that is not answered yet. */
export type PurgeCallUnderWay =
  | { readonly kind: 'push'; readonly peer: PopId; readonly ids: readonly string[] }
  | { readonly kind: 'exchange'; readonly peer: PopId; readonly exchange: PurgeExchange };
