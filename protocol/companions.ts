import type { Key16 } from './ids.ts';

/** Clients whose last requests are remembered; at some ten requests a second and 60 s this is ample. */
const CLIENTS_MAX = 8192;
/** Requests of one client that count as its present visit. */
const TRAIL_MAX = 12;
/** Resources whose followers are remembered. */
const LEADERS_MAX = 32_768;
/** Followers kept for one resource; a page has more images, yet the first of them decide. */
const FOLLOWERS_MAX = 16;
/** How long two requests of one client belong together, ms of demand time: a page, its images, the next page. */
export const COMPANION_MS = 60_000;

/** `follower` was asked for within `COMPANION_MS` after `leader` by the same client prefix, `count` times. */
export interface CompanionPair {
  readonly leader: Key16;
  readonly follower: Key16;
  readonly count: number;
}

/**
 * Learns at one PoP what the same client asks for within a minute. Addresses do not enter: a client is the hash
 * of its prefix, forgotten with its trail. What was learned leaves as pairs of key16s in the summary.
 */
export class CompanionTrails {
  readonly #trails = new Map<number, { key16: Key16; at: number }[]>();
  readonly #pairs = new Map<string, number>();
  readonly #pairsMax: number;
  /** The client that asked last, if any. */
  #latest: number | undefined;

  constructor(pairsMax = 8192) {
    this.#pairsMax = pairsMax;
  }

  /** Counts the pairs that this request completes; each leader once a visit. */
  observe(client: number, key16: Key16, at: number): void {
    let trail = this.#trails.get(client);
    if (trail === undefined) {
      trail = [];
      if (this.#trails.size >= CLIENTS_MAX) {
        const oldest = this.#trails.keys().next().value;
        if (oldest !== undefined) this.#trails.delete(oldest);
      }
    } else {
      if (trail.some((step) => at - step.at > COMPANION_MS))
        trail = trail.filter((step) => at - step.at <= COMPANION_MS);
      // Deleting and setting again keeps the map in the order of last use.
      if (client !== this.#latest) this.#trails.delete(client);
    }
    this.#trails.set(client, trail);
    this.#latest = client;
    if (trail.some((step) => step.key16 === key16)) return;
    for (const step of trail) {
      const pair = step.key16 + key16;
      const count = this.#pairs.get(pair);
      if (count !== undefined) this.#pairs.set(pair, count + 1);
      else if (this.#pairs.size < this.#pairsMax) this.#pairs.set(pair, 1);
    }
    trail.push({ key16, at });
    if (trail.length > TRAIL_MAX) trail.shift();
  }

  /** The pairs counted since the last call, the most frequent first. */
  take(): CompanionPair[] {
    const pairs = [...this.#pairs].map(([pair, count]) => ({
      leader: pair.slice(0, 32) as Key16,
      follower: pair.slice(32) as Key16,
      count,
    }));
    this.#pairs.clear();
    return pairs.sort(
      (a, b) =>
        b.count - a.count ||
        (a.leader < b.leader ? -1 : a.leader > b.leader ? 1 : a.follower < b.follower ? -1 : 1),
    );
  }
}

/** What all PoPs together learned: for a leader, how often each follower came after it. Bounded; old leaders go. */
export class Companions {
  readonly #followers = new Map<Key16, Map<Key16, number>>();

  get size(): number {
    return this.#followers.size;
  }

  fold(pair: CompanionPair): void {
    let followers = this.#followers.get(pair.leader);
    if (followers === undefined) {
      if (this.#followers.size >= LEADERS_MAX) {
        const oldest = this.#followers.keys().next().value;
        if (oldest !== undefined) this.#followers.delete(oldest);
      }
      followers = new Map();
    } else this.#followers.delete(pair.leader);
    this.#followers.set(pair.leader, followers);
    const count = followers.get(pair.follower);
    if (count !== undefined) {
      followers.set(pair.follower, count + pair.count);
      return;
    }
    if (followers.size >= FOLLOWERS_MAX) {
      // As in Space-Saving the least gives way, but its count is dropped: a chance of following is never overstated.
      let least: Key16 | undefined;
      for (const [key16, n] of followers) {
        if (least === undefined || n < followers.get(least)!) least = key16;
      }
      if (least !== undefined && followers.get(least)! > pair.count) return;
      if (least !== undefined) followers.delete(least);
    }
    followers.set(pair.follower, pair.count);
  }

  /** Followers of `leader` with how often each came. */
  of(leader: Key16): ReadonlyMap<Key16, number> | undefined {
    return this.#followers.get(leader);
  }

  /** Plain data for persistence. */
  snapshot(): [Key16, [Key16, number][]][] {
    return [...this.#followers].map(([leader, followers]) => [leader, [...followers]]);
  }

  restore(rows: readonly (readonly [Key16, readonly (readonly [Key16, number])[]])[]): void {
    this.#followers.clear();
    for (const [leader, followers] of rows.slice(-LEADERS_MAX)) {
      this.#followers.set(leader, new Map(followers.slice(0, FOLLOWERS_MAX)));
    }
  }
}
