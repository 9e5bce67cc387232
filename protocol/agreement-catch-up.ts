import { JOIN_MS, LAGGARD_MS, SYNC_MS } from './agreement-timing.ts';
import type { PopId } from './ids.ts';
import type { Random } from './ports.ts';

/** Heights whose end is remembered. */
const LEFT = 16;
/** One peer is sent decisions unasked at most that often, ms. */
const UNASKED_MS = 1_000;
const PEERS = 1_024;

/** Whom to ask for decisions that were missed, and who lacks one. */
export class CatchUp {
  readonly #random: Random;
  readonly #ahead = new Set<PopId>();
  readonly #left = new Map<number, number>();
  readonly #told = new Map<PopId, number>();
  #askedAt = Number.NEGATIVE_INFINITY;
  /** When to ask one of those who are ahead. */
  askAt = Number.POSITIVE_INFINITY;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A peer has said something that only a decision explains. It is asked after a moment: mostly it is on its way. */
  ahead(peer: PopId, now: number): void {
    this.#ahead.add(peer);
    if (this.askAt === Number.POSITIVE_INFINITY)
      this.askAt = Math.max(now + SYNC_MS, this.#askedAt + SYNC_MS);
  }

  /** Whom to ask now: any of them, so that one who boasts does not keep the others from being asked. */
  ask(now: number): PopId | undefined {
    if (now < this.askAt) return undefined;
    this.askAt = Number.POSITIVE_INFINITY;
    const peers = [...this.#ahead];
    this.#ahead.clear();
    this.#askedAt = now;
    return peers[Math.floor(this.#random.float() * peers.length)];
  }

  /** The height was decided: whoever was ahead may be no more. */
  left(height: number, now: number): void {
    this.#ahead.clear();
    this.askAt = Number.POSITIVE_INFINITY;
    this.#left.set(height, now);
    for (const old of this.#left.keys()) {
      if (this.#left.size <= LEFT) break;
      this.#left.delete(old);
    }
  }

  /** Whether a peer that still speaks at a past height is to be told the decision. */
  lags(peer: PopId, height: number, now: number): boolean {
    const left = this.#left.get(height);
    if (left !== undefined && now - left < LAGGARD_MS) return false;
    if (now - (this.#told.get(peer) ?? Number.NEGATIVE_INFINITY) < UNASKED_MS) return false;
    this.#told.delete(peer);
    this.#told.set(peer, now);
    for (const old of this.#told.keys()) {
      if (this.#told.size <= PEERS) break;
      this.#told.delete(old);
    }
    return true;
  }
}

/** The rhythm in which a PoP outside the roster asks to be let in, and what was decided. */
export class Knocking {
  /** What it asks with, if it wants to be let in. */
  operation: Uint8Array | undefined;
  at = Number.POSITIVE_INFINITY;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Some members to ask now. */
  due(now: number, members: readonly PopId[], some: number): PopId[] {
    if (now < this.at) return [];
    this.at = now + JOIN_MS;
    const left = [...members];
    const picked: PopId[] = [];
    while (picked.length < some && left.length > 0) {
      picked.push(...left.splice(Math.floor(this.#random.float() * left.length), 1));
    }
    return picked;
  }
}
