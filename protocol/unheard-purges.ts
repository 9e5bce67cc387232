import type { PopId } from './ids.ts';
import { PROTOCOLS } from './ports.ts';
import type { SignedPurge } from './purge.ts';

/** Until a peer to which an own purge was pushed is taken to be out of reach, ms; worldwide, a round trip takes 300. */
const PATIENCE_MS = 500;

interface Unheard {
  readonly purges: readonly SignedPurge[];
  readonly since: number;
  /** Peers that have yet to acknowledge. */
  readonly left: Set<PopId>;
}

/**
 * Own purges that were pushed to every PoP there is and not gossiped: what each would hand on to its neighbours, all
 * have been told. They are gossiped after all as soon as a push fails or takes too long, as others may have a way to
 * whom the issuer does not reach.
 */
export class UnheardPurges {
  readonly #unheard = new Map<string, Unheard>();

  /** Whether the next purge would have to wait for its turn on the stream to a peer. */
  get many(): boolean {
    return this.#unheard.size >= PROTOCOLS.purge.concurrency;
  }

  /** `peers`: to whom they are pushed now. */
  pushed(purges: readonly SignedPurge[], peers: Iterable<PopId>, now: number): void {
    const left = new Set(peers);
    if (left.size > 0) this.#unheard.set(purges[0]!.id, { purges, since: now, left });
  }

  /** A peer has acknowledged all that a push told it. */
  heard(peer: PopId, ids: readonly string[]): void {
    for (const id of ids) {
      const one = this.#unheard.get(id);
      if (one?.left.delete(peer) && one.left.size === 0) this.#unheard.delete(id);
    }
  }

  /** What is to be gossiped as a peer could not be told. */
  lost(peer: PopId): SignedPurge[][] {
    return this.#take(({ left }) => left.has(peer));
  }

  /** What is to be gossiped as somebody has been silent for too long. */
  overdue(now: number): SignedPurge[][] {
    return this.#take(({ since }) => now - since >= PATIENCE_MS);
  }

  #take(is: (one: Unheard) => boolean): SignedPurge[][] {
    const taken = [...this.#unheard].filter(([, one]) => is(one));
    for (const [id] of taken) this.#unheard.delete(id);
    return taken.map(([, { purges }]) => [...purges]);
  }
}
