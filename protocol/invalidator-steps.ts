import type { ErrorCode, PresageError } from './errors.ts';
import type { HybridClock } from './hybrid-clock.ts';
import type { PopId, SiteId } from './ids.ts';
import type { Invalidations } from './invalidation.ts';
import type { PurgeScope, SignedPurge, Verify } from './purge.ts';
import type { PurgeResult } from './purge-waiters.ts';

/** A purge as an operator asks for it. */
export interface PurgeOrder {
  readonly site: SiteId;
  readonly scope: PurgeScope;
  readonly soft: boolean;
  /** Whether to wait for every connected peer. */
  readonly wait: boolean;
  /** How long to wait at most, real ms; by default `WAIT_DEADLINE_MS`. */
  readonly waitMs?: number;
}

/** What the invalidator is told. */
export type InvalidatorInput =
  /** Answered by `settled` or `refused` with the same token. */
  | { readonly type: 'issue'; readonly token: number; readonly order: PurgeOrder }
  /** A peer's call; answered by `reply` or `refused` with the same token. */
  | { readonly type: 'request'; readonly token: number; readonly from: PopId; readonly bytes: Uint8Array }
  | { readonly type: 'answered'; readonly token: number; readonly bytes: Uint8Array }
  | { readonly type: 'failed'; readonly token: number }
  | { readonly type: 'persisted'; readonly token: number }
  | { readonly type: 'not-persisted'; readonly token: number; readonly code: ErrorCode }
  | { readonly type: 'peer'; readonly peer: PopId; readonly up: boolean }
  | { readonly type: 'tick' };

/** What the invalidator wants done. Writes are to be carried out in the order in which they are asked for. */
export type InvalidatorEffect =
  /** Write with fsync, puts and removals in one batch, then say `persisted`. */
  | {
      readonly type: 'persist';
      readonly token: number;
      readonly puts: readonly SignedPurge[];
      readonly removes: readonly SignedPurge[];
    }
  | { readonly type: 'publish'; readonly bytes: Uint8Array }
  | { readonly type: 'call'; readonly peer: PopId; readonly token: number; readonly bytes: Uint8Array }
  | { readonly type: 'reply'; readonly token: number; readonly bytes: Uint8Array }
  | { readonly type: 'settled'; readonly token: number; readonly result: PurgeResult }
  | { readonly type: 'refused'; readonly token: number; readonly error: PresageError }
  /** These are in force now; stored content can be dropped and transfers called off. */
  | { readonly type: 'applied'; readonly purges: readonly SignedPurge[] }
  | { readonly type: 'reconciled'; readonly reconciled: boolean }
  | { readonly type: 'fault'; readonly code: ErrorCode; readonly from: PopId };

export interface InvalidatorOptions {
  readonly invalidations: Invalidations;
  readonly clock: HybridClock;
  readonly verify: Verify;
  /** Whether a PoP has a valid certificate now. Purges of those that have none any more hold, within a bound. */
  readonly certified?: (pop: PopId) => boolean;
  /** No peer is configured: there is nobody to reconcile with. */
  readonly alone: boolean;
  /** Records were lost on disk: reconcile even so. */
  readonly damaged?: boolean;
  /** PoPs known to the cluster, connected or not; those without an acknowledgement are named as missing. */
  readonly roster?: () => readonly PopId[];
  /** In force already, but not on disk: the first `tick` has them written. */
  readonly unwritten?: readonly SignedPurge[];
}
