import type { PopId } from './ids.ts';
import type { SignedPurge } from './purge.ts';

/** What became of a purge: peers that hold it durably, and known PoPs that have not said so. */
export interface PurgeResult {
  readonly issuer: PopId;
  readonly seq: number;
  readonly acknowledged: readonly PopId[];
  readonly missing: readonly PopId[];
  /** Real ms from the order to each acknowledgement. */
  readonly afterMs: ReadonlyMap<PopId, number>;
}

interface Waiter {
  readonly token: number;
  readonly purge: SignedPurge;
  readonly since: number;
  /** By peer, when it acknowledged. */
  readonly acknowledged: Map<PopId, number>;
  readonly until: number;
}

/** Who waits for acknowledgements of which purge. */
export class PurgeWaiters {
  readonly #roster: () => readonly PopId[];
  #waiters: Waiter[] = [];

  /** `roster`: PoPs that the cluster knows, connected or not. */
  constructor(roster: () => readonly PopId[]) {
    this.#roster = roster;
  }

  get size(): number {
    return this.#waiters.length;
  }

  /** Waits for a purge ordered at `since` until all who were told have acknowledged, or until `until`; real ms. */
  add(token: number, purge: SignedPurge, since: number, until: number): void {
    this.#waiters.push({ token, purge, since, acknowledged: new Map(), until });
  }

  acknowledge(peer: PopId, ids: readonly string[], now: number): void {
    if (ids.length === 0 || this.#waiters.length === 0) return;
    const known = new Set(ids);
    for (const { purge, acknowledged, since } of this.#waiters) {
      if (known.has(purge.id) && !acknowledged.has(peer)) acknowledged.set(peer, Math.max(0, now - since));
    }
  }

  /** Peers that have yet to acknowledge, purge by purge. */
  *outstanding(connected: readonly PopId[]): Iterable<{ peer: PopId; purge: SignedPurge }> {
    for (const { purge, acknowledged } of this.#waiters) {
      for (const peer of connected) if (!acknowledged.has(peer)) yield { peer, purge };
    }
  }

  /** Takes out those that have waited enough. `connected`: peers that may still acknowledge. */
  settle(connected: readonly PopId[], now: number): { token: number; result: PurgeResult }[] {
    const settled: { token: number; result: PurgeResult }[] = [];
    this.#waiters = this.#waiters.filter(({ token, purge, acknowledged, until }) => {
      if (now < until && connected.some((peer) => !acknowledged.has(peer))) return true;
      const { issuer, seq } = purge;
      const known = new Set([...connected, ...this.#roster()]);
      known.delete(issuer);
      const missing = [...known].filter((peer) => !acknowledged.has(peer)).sort();
      const peers = [...acknowledged.keys()].sort();
      settled.push({ token, result: { issuer, seq, acknowledged: peers, missing, afterMs: acknowledged } });
      return false;
    });
    return settled;
  }
}
