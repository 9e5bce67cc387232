import type { Observation } from './clients.ts';

/** One replica that a PoP says it pulled without a client having asked for it. */
export interface MirrorRecord {
  /** Address of the PoP. */
  readonly pop: string;
  readonly path: string;
  readonly size: number;
  readonly source: 'plan' | 'speculative';
  /** Region whose demand the plan meant it for; absent where no plan did, or the PoP's word on it was lost. */
  readonly region?: string;
  /** Real ms on the clock of `Observation`, when the PoP said so. */
  readonly atMs: number;
}

/** Pulls of one PoP: how many, their bytes, and how many of them were speculative. */
export interface MirrorTotals {
  readonly mirrored: number;
  readonly mirroredBytes: number;
  readonly speculative: number;
}

/** What became of the pulls of one kind. */
export interface MirrorAccount {
  /** Pairs (resource, PoP) pulled, and their bytes; a second pull of a pair counts again in the bytes. */
  readonly pairs: number;
  readonly bytes: number;
  /** Pairs whose first client request found the replica there. */
  readonly beforeFirstRequest: number;
  /** Bytes of pulls that no client asked for at that PoP before the run ended. */
  readonly unusedBytes: number;
  /** Of those, bytes pulled so late that the run ended before they could be judged. */
  readonly unjudgedBytes: number;
}

/**
 * Work that was done twice: pulls by plan of a content for one region's demand, after another PoP had pulled the same
 * content for the same region.
 */
export interface DuplicateAccount {
  readonly pulls: number;
  readonly bytes: number;
  /** Of the pulls, those within one epoch of the other PoP's: neither could know of the other's copy. */
  readonly sameEpoch: number;
}

/** A mirrored replica is judged by what came in this share of the run after it. */
const JUDGED_AFTER_SHARE = 0.1;

/** The pulls of a run held against its requests. */
export class MirrorLog {
  readonly #records: MirrorRecord[] = [];
  readonly #pairs = new Set<string>();
  readonly #totals = new Map<string, MirrorTotals>();

  add(record: MirrorRecord): void {
    this.#records.push(record);
    this.#pairs.add(pairOf(record.pop, record.path));
    const { mirrored, mirroredBytes, speculative } = this.totals(record.pop);
    this.#totals.set(record.pop, {
      mirrored: mirrored + 1,
      mirroredBytes: mirroredBytes + record.size,
      speculative: speculative + (record.source === 'speculative' ? 1 : 0),
    });
  }

  has(pop: string, path: string): boolean {
    return this.#pairs.has(pairOf(pop, path));
  }

  /** What a PoP has pulled so far. */
  totals(pop: string): MirrorTotals {
    return this.#totals.get(pop) ?? { mirrored: 0, mirroredBytes: 0, speculative: 0 };
  }

  /**
   * Accounts for all pulls up to `endMs`. A pair counts as mirrored before its first request only if both sides say
   * so: the PoP recorded the pull, and the first request's own answer was a hit.
   */
  account(
    observations: readonly Observation[],
    endMs: number,
  ): Readonly<Record<MirrorRecord['source'] | 'all', MirrorAccount>> {
    const requests = byPair(observations);
    const all = emptyAccount();
    const accounts = { plan: emptyAccount(), speculative: emptyAccount(), all };
    const seen = new Set<string>();
    for (const record of this.#records) {
      if (record.atMs > endMs) continue;
      const pair = pairOf(record.pop, record.path);
      const asked = requests.get(pair) ?? [];
      const used = asked.some((request) => request.doneMs >= record.atMs && request.cacheStatus.hit);
      const first = asked[0];
      const before =
        !seen.has(pair) && first !== undefined && isMirrored(first) && first.doneMs >= record.atMs;
      for (const account of [accounts[record.source], all]) {
        if (!seen.has(pair)) account.pairs += 1;
        account.bytes += record.size;
        if (before) account.beforeFirstRequest += 1;
        if (!used) {
          account.unusedBytes += record.size;
          if (record.atMs > endMs * (1 - JUDGED_AFTER_SHARE)) account.unjudgedBytes += record.size;
        }
      }
      seen.add(pair);
    }
    return accounts;
  }

  /** What was pulled up to `endMs` although another PoP had pulled it for the same demand; `epochMs` in real time. */
  duplicates(endMs: number, epochMs: number): DuplicateAccount {
    const pulls = new Map<string, MirrorRecord[]>();
    let [count, bytes, sameEpoch] = [0, 0, 0];
    for (const record of [...this.#records].sort((a, b) => a.atMs - b.atMs)) {
      const { region, path, source, pop, size, atMs } = record;
      if (source !== 'plan' || region === undefined || atMs > endMs) continue;
      const before = pulls.get(pairOf(region, path)) ?? [];
      pulls.set(pairOf(region, path), [...before, record]);
      const other = before.findLast((one) => one.pop !== pop);
      if (other === undefined) continue;
      count += 1;
      bytes += size;
      if (atMs - other.atMs <= epochMs) sameEpoch += 1;
    }
    return { pulls: count, bytes, sameEpoch };
  }
}

const emptyAccount = () => ({ pairs: 0, bytes: 0, beforeFirstRequest: 0, unusedBytes: 0, unjudgedBytes: 0 });

/** Whether an answer was a hit on a replica that no client of this PoP had asked for. */
function isMirrored(request: Observation): boolean {
  const { hit, detail } = request.cacheStatus;
  return hit && detail !== 'client';
}

export const pairOf = (pop: string, path: string): string => `${pop} ${path}`;

/** Requests of each pair in the order in which they were sent. */
function byPair(observations: readonly Observation[]): ReadonlyMap<string, readonly Observation[]> {
  const pairs = new Map<string, Observation[]>();
  for (const observation of [...observations].sort((a, b) => a.sentMs - b.sentMs)) {
    const pair = pairOf(observation.pop, observation.path);
    const list = pairs.get(pair);
    if (list === undefined) pairs.set(pair, [observation]);
    else list.push(observation);
  }
  return pairs;
}
