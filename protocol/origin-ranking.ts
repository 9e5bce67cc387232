import type { Key16, PopId } from './ids.ts';
import { rendezvous } from './rendezvous.ts';
import type { Fence } from './replica.ts';

/** How long each further rank waits for a lease before it fetches itself, real ms. */
export const RANK_STEP_MS = 2_000;

/** A PoP beyond this rank leaves the fetch to others: by then half a minute has passed. */
const RANKS_MAX = 16;

/**
 * How long this PoP waits before it fetches a content that no PoP holds from the origin: rank 1 goes at once, rank
 * i after `i × RANK_STEP_MS` without hearing that another has taken the lease. Ranks follow from (key16, fence), so
 * that the PoPs agree without a word and a purge changes the order. `undefined`: leave it to the others.
 */
export function originDelayMs(
  key16: Key16,
  fence: Fence,
  self: PopId,
  candidates: readonly PopId[],
): number | undefined {
  const position = rendezvous(`${key16} ${fenceText(fence)}`, candidates).indexOf(self);
  if (position < 0 || position >= RANKS_MAX) return undefined;
  return position === 0 ? 0 : (position + 1) * RANK_STEP_MS;
}

const fenceText = (fence: Fence) =>
  [...fence]
    .map(([issuer, seq]) => `${issuer}:${seq}`)
    .sort()
    .join(',');
