import type { PopId } from './ids.ts';
import type { PurgeExchange } from './purge-exchange.ts';

/** Knowledge is compared with some peers in turn each time that so much has passed, ms: what makes delivery certain. */
const COMPARE_EVERY_MS = 10_000;
/** Peers compared with in one such round; knowledge spreads like an epidemic. */
const COMPARE_PEERS = 3;
/** Comparisons at once; each may hold two frames of 1 MiB. */
const MAX_EXCHANGES = 8;
/** Before a failed comparison is repeated, ms; doubles up to `COMPARE_EVERY_MS`. */
const RETRY_MS = 1_000;

/** How a connected peer stands. */
interface PurgePeer {
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

/** The connected peers, and with whom knowledge is to be compared when. Times are real ms. */
export class PurgePeers {
  readonly #peers = new Map<PopId, PurgePeer>();
  #compareAt = 0;
  #turn = 0;

  get size(): number {
    return this.#peers.size;
  }

  has(pop: PopId): boolean {
    return this.#peers.has(pop);
  }

  ids(): PopId[] {
    return [...this.#peers.keys()];
  }

  /** Whether it is new; a new one is to be compared with at once. */
  add(pop: PopId, now: number): boolean {
    if (this.#peers.has(pop)) return false;
    this.#peers.set(pop, { exchange: undefined, dirty: true, retryAt: now, backoffMs: RETRY_MS });
    return true;
  }

  remove(pop: PopId): void {
    this.#peers.delete(pop);
  }

  /** Those with which nothing is left to compare. */
  inStep(): PopId[] {
    return [...this.#peers].flatMap(([pop, { dirty, exchange }]) => (dirty || exchange ? [] : [pop]));
  }

  /** There may be something to tell or to learn: compare at `at`, or before. */
  soil(pop: PopId, at: number): void {
    const peer = this.#peers.get(pop);
    if (!peer) return;
    peer.retryAt = peer.dirty ? Math.min(peer.retryAt, at) : at;
    peer.dirty = true;
  }

  /** What was told does not fit what is known here: compare, but not in a hurry. */
  soilLater(pop: PopId, now: number): void {
    this.soil(pop, now + RETRY_MS);
  }

  /** What came from one peer may be news to the others. */
  soilOthers(from: PopId, now: number): void {
    for (const pop of this.#peers.keys()) if (pop !== from) this.soil(pop, now);
  }

  /** Some in turn, whenever it is time. */
  soilSome(now: number): void {
    if (now < this.#compareAt) return;
    this.#compareAt = now + COMPARE_EVERY_MS;
    const ids = this.ids();
    for (let i = 0; i < Math.min(COMPARE_PEERS, ids.length); i += 1)
      this.soil(ids[this.#turn++ % ids.length]!, now);
  }

  /** Begins comparisons with those for which it is time. */
  *due(now: number, begin: () => PurgeExchange): Iterable<{ pop: PopId; exchange: PurgeExchange }> {
    let running = 0;
    for (const peer of this.#peers.values()) if (peer.exchange) running += 1;
    for (const [pop, peer] of this.#peers) {
      if (running >= MAX_EXCHANGES) return;
      if (!peer.dirty || peer.exchange || peer.retryAt > now) continue;
      peer.dirty = false;
      peer.exchange = begin();
      running += 1;
      yield { pop, exchange: peer.exchange };
    }
  }

  /** A comparison is over. Whether the peer is still there. */
  ended(pop: PopId, exchange: PurgeExchange, now: number): boolean {
    const peer = this.#peers.get(pop);
    if (!peer) return false;
    if (peer.exchange === exchange) peer.exchange = undefined;
    if (exchange.complete) peer.backoffMs = RETRY_MS;
    else this.soilLater(pop, now);
    return true;
  }

  failed(call: PurgeCallUnderWay, now: number): void {
    const peer = this.#peers.get(call.peer);
    if (!peer) return;
    if (call.kind === 'exchange' && peer.exchange === call.exchange) peer.exchange = undefined;
    this.soil(call.peer, now + peer.backoffMs);
    peer.backoffMs = Math.min(2 * peer.backoffMs, COMPARE_EVERY_MS);
  }
}
