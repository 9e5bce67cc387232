import type { FeedEvent } from './event-feed.ts';

/** What PoPs may differ in at one height. */
export type DecidedPart = 'header' | 'state' | 'plan';
const PARTS = ['header', 'state', 'plan'] as const satisfies readonly DecidedPart[];

/** A height on which two PoPs told different things, or one PoP two things. */
export interface Difference {
  readonly height: number;
  readonly part: DecidedPart;
  /** What each PoP told, by its name; several where it told several. */
  readonly told: Readonly<Record<string, readonly string[]>>;
}

/** What all PoPs told of what they decided, held against each other. */
export interface DecisionComparison {
  /** Heights that any PoP told of, and those that two or more did. */
  readonly heights: number;
  readonly sharedHeights: number;
  /** Of the shared ones, those of which two or more had made the plan, and not been overtaken by the next height. */
  readonly sharedPlans: number;
  readonly differing: readonly Difference[];
}

/** Differences that are listed; one is one too many. */
const DIFFERENCES_MAX = 20;
const HEX = /^[0-9a-f]{64}$/;

/** What every PoP told of the heights that it decided, as their `decision` events came in. */
export class DecisionLog {
  /** By height, then part, then PoP: a PoP tells of its last height again after a restart, and should tell the same. */
  readonly #heights = new Map<number, Record<DecidedPart, Map<string, Set<string>>>>();
  readonly #tips = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  /** Takes in an event; what is not a decision with its hashes is left out. */
  add(pop: string, { type, data }: FeedEvent): void {
    const { height, hash, stateHash, planHash } = data;
    if (type !== 'decision' || typeof height !== 'number') return;
    const known = this.#heights.get(height) ?? { header: new Map(), state: new Map(), plan: new Map() };
    this.#heights.set(height, known);
    const values = { header: hash, state: stateHash, plan: planHash };
    for (const part of PARTS) {
      const value = values[part];
      if (typeof value !== 'string' || !HEX.test(value)) continue;
      const told = known[part].get(pop) ?? new Set();
      known[part].set(pop, told.add(value));
    }
    this.#tips.set(pop, Math.max(height, this.tip(pop)));
    for (const wake of this.#waiting) wake();
  }

  /** The highest height that a PoP told of; 0 before the first. */
  tip(pop: string): number {
    return this.#tips.get(pop) ?? 0;
  }

  /** Of all PoPs but those named. */
  tipOfOthers(...pops: readonly string[]): number {
    return Math.max(0, ...[...this.#tips].filter(([pop]) => !pops.includes(pop)).map(([, tip]) => tip));
  }

  /**
   * Waits until `reached` holds after some decision; the real ms that it took, `undefined` after `deadlineMs` or once
   * `signal` says so.
   */
  until(reached: () => boolean, deadlineMs: number, signal?: AbortSignal): Promise<number | undefined> {
    const began = performance.now();
    return new Promise((resolve) => {
      const end = (ms: number | undefined) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
        this.#waiting.delete(look);
        resolve(ms);
      };
      const look = () => {
        if (reached()) end(performance.now() - began);
      };
      const stop = () => end(undefined);
      const timer = setTimeout(stop, signal?.aborted ? 0 : deadlineMs);
      signal?.addEventListener('abort', stop);
      this.#waiting.add(look);
      look();
    });
  }

  compare(): DecisionComparison {
    const differing: Difference[] = [];
    let sharedHeights = 0;
    let sharedPlans = 0;
    for (const [height, parts] of [...this.#heights].sort(([a], [b]) => a - b)) {
      if (parts.header.size > 1) sharedHeights += 1;
      if (parts.plan.size > 1) sharedPlans += 1;
      for (const part of PARTS) {
        const values = new Set([...parts[part].values()].flatMap((told) => [...told]));
        if (values.size < 2 || differing.length >= DIFFERENCES_MAX) continue;
        const told = Object.fromEntries([...parts[part]].map(([pop, all]) => [pop, [...all]]));
        differing.push({ height, part, told });
      }
    }
    return { heights: this.#heights.size, sharedHeights, sharedPlans, differing };
  }
}
