import type { PopId } from './ids.ts';
import type { Invalidations } from './invalidation.ts';
import {
  decodePurgeReply,
  encodePurgeCall,
  MAX_DIGEST_ROWS,
  MAX_IDS_PER_FRAME,
  MAX_PURGES_PER_FRAME,
  type PurgeCall,
  type PurgeReply,
  type SealedPurge,
  seal,
} from './messages/purge.ts';

/** Comparisons in one exchange; each moves up to 64,000 ids, so that this bounds a peer that never agrees. */
const MAX_ROUNDS = 32;

/**
 * One comparison of knowledge with one peer, call by call: digests, then the purges that either side lacks. It is
 * complete when the peer has shown no purge that is unknown here and has taken all that it lacked.
 */
export class PurgeExchange {
  readonly #invalidations: Invalidations;
  #queue: PurgeCall[] = [];
  #pending: PurgeCall | undefined;
  #rounds = 0;
  #compareAgain = true;

  constructor(invalidations: Invalidations) {
    this.#invalidations = invalidations;
  }

  get complete(): boolean {
    return !this.#compareAgain && this.#queue.length === 0 && !this.#pending;
  }

  /** The next call, or `undefined` when the exchange is over. */
  next(): Uint8Array | undefined {
    let call = this.#queue.shift();
    if (!call && this.#compareAgain && this.#rounds < MAX_ROUNDS) {
      this.#rounds += 1;
      this.#compareAgain = false;
      call = { kind: 'compare', digest: this.#invalidations.digest().slice(0, MAX_DIGEST_ROWS) };
    }
    this.#pending = call;
    return call && encodePurgeCall(call);
  }

  /** Takes the reply to the last call. Fails with `WIRE_*`; the exchange is then void. */
  answered(bytes: Uint8Array): { fetched: readonly SealedPurge[]; acknowledged: readonly string[] } {
    const call = this.#pending;
    this.#pending = undefined;
    switch (call?.kind) {
      case 'compare': {
        const reply = decodePurgeReply(bytes, 'compare');
        this.#compareAgain = reply.more;
        return { fetched: [], acknowledged: this.#plan(reply.ids) };
      }
      case 'fetch': {
        const { purges } = decodePurgeReply(bytes, 'fetch');
        return { fetched: purges, acknowledged: [] };
      }
      case 'push':
        return { fetched: [], acknowledged: decodePurgeReply(bytes, 'push').acknowledged };
      case undefined:
        return { fetched: [], acknowledged: [] };
    }
  }

  /** Lays out what to fetch and what to push; returns the ids that both sides hold. */
  #plan(theirs: ReadonlyMap<PopId, readonly string[]>): string[] {
    const shared: string[] = [];
    const push: SealedPurge[] = [];
    let wanted = new Map<PopId, string[]>();
    let wants = 0;
    for (const [issuer, ids] of theirs) {
      const ours = new Set(this.#invalidations.ids(issuer));
      for (const id of ids) {
        if (ours.has(id)) {
          shared.push(id);
          continue;
        }
        const list = wanted.get(issuer) ?? [];
        list.push(id);
        wanted.set(issuer, list);
        wants += 1;
        if (wants < MAX_PURGES_PER_FRAME) continue;
        this.#queue.push({ kind: 'fetch', wanted });
        wanted = new Map();
        wants = 0;
      }
      for (const purge of this.#invalidations.missing(issuer, new Set(ids))) push.push(seal(purge));
    }
    if (wants > 0) this.#queue.push({ kind: 'fetch', wanted });
    for (let at = 0; at < push.length; at += MAX_PURGES_PER_FRAME) {
      this.#queue.push({ kind: 'push', purges: push.slice(at, at + MAX_PURGES_PER_FRAME) });
    }
    return shared;
  }
}

/**
 * The reply to a comparison. Listing an id tells the caller that it is safe here, so `isVolatile` leaves out what
 * is not on disk yet.
 */
export function answerCompare(
  invalidations: Invalidations,
  call: Extract<PurgeCall, { kind: 'compare' }>,
  isVolatile: (id: string) => boolean,
): PurgeReply {
  const ids = new Map<PopId, string[]>();
  let count = 0;
  let more = false;
  for (const issuer of invalidations.differing(call.digest)) {
    const known = [...invalidations.ids(issuer)].filter((id) => !isVolatile(id));
    if (ids.size > 0 && (count + known.length > MAX_IDS_PER_FRAME || ids.size >= MAX_DIGEST_ROWS)) {
      more = true;
      break;
    }
    count += known.length;
    ids.set(issuer, known);
  }
  return { kind: 'compare', ids, more };
}

/** The reply to a request for purges; those not held any more are left out. */
export function answerFetch(
  invalidations: Invalidations,
  call: Extract<PurgeCall, { kind: 'fetch' }>,
): PurgeReply {
  const purges: SealedPurge[] = [];
  for (const [issuer, ids] of call.wanted) {
    for (const id of ids) {
      const purge = invalidations.get(issuer, id);
      if (purge && purges.length < MAX_PURGES_PER_FRAME) purges.push(seal(purge));
    }
  }
  return { kind: 'fetch', purges };
}
