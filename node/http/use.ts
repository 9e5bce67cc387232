import { INVALID } from './caching/directives.ts';
import type { Selected } from './lookup.ts';
import type { EdgeRequest } from './request.ts';
import type { StoredResponse } from './stored.ts';

/** What a stored response may do for a request now. */
export type Use = 'fresh' | 'while-revalidating' | 'revalidate';

/** What of a response says how old it is, and may be. */
export type Aged = Pick<StoredResponse, 'ageMs' | 'fresh' | 'stalenessMs' | 'limits'>;

/** A response that is not in the store yet; nothing lets it be used stale. */
export const underWay = (bornAt: number, lifetimeMs: number): Aged => ({
  ageMs: (now) => Math.max(0, now - bornAt),
  stalenessMs: (now) => Math.max(0, now - bornAt) - lifetimeMs,
  fresh: (now) => lifetimeMs > Math.max(0, now - bornAt),
  limits: { whileRevalidate: 0, ifError: undefined, forbidden: true },
});

/** RFC 9111 §4: whether a selected response answers the request as it is. */
export function useOf(
  selected: Pick<Selected, 'standing'> & { readonly stored: Aged },
  request: EdgeRequest,
  now: number,
  heedClient: boolean,
): Use {
  const { stored, standing } = selected;
  if (standing === 'stale') return 'revalidate';
  const { directives } = request;
  if (heedClient && !directives.empty) {
    if (directives.unqualified('no-cache')) return 'revalidate';
    const maxAge = directives.seconds('max-age');
    const age = stored.ageMs(now);
    if (maxAge === INVALID || (maxAge !== undefined && age > maxAge * 1000)) return 'revalidate';
    const minFresh = directives.seconds('min-fresh');
    if (typeof minFresh === 'number' && -stored.stalenessMs(now) < minFresh * 1000) return 'revalidate';
    if (directives.has('max-stale') && !stored.fresh(now) && !stored.limits.forbidden) {
      const limit = directives.seconds('max-stale');
      const staleness = stored.stalenessMs(now);
      if (directives.unqualified('max-stale') || (typeof limit === 'number' && staleness <= limit * 1000))
        return 'fresh';
    }
  }
  if (stored.fresh(now)) return 'fresh';
  // In the very millisecond in which it becomes stale, one without leave to be used stale is not used either.
  return stored.stalenessMs(now) < stored.limits.whileRevalidate * 1000 ? 'while-revalidating' : 'revalidate';
}
