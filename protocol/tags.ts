import type { ContentHash, Key16, PopId, ResourceKey, SiteId } from './ids.ts';
import type { Tier } from './ports.ts';
import type { Stamp } from './replica.ts';

/** Resources with notes of their own, some 200 bytes each; those touched longest ago go first. */
export const MAX_NOTES = 100_000;

/**
 * How a resource stands here. `none`: tracked, not held. `pulling`: on its way. `speculative`: pulled on a RISING
 * report. `mirrored`: pulled for the plan. `client`: asked for here by a client.
 */
export type ReplicationStatus = 'none' | 'pulling' | 'speculative' | 'mirrored' | 'client';

/** The metadata of a tracked resource. */
export interface Tag {
  readonly key16: Key16;
  /** Absent while the name has not been resolved. */
  readonly key: ResourceKey | undefined;
  readonly site: SiteId | undefined;
  readonly status: ReplicationStatus;
  /** Larger goes first when bandwidth is short; 0 is ordinary. */
  readonly priority: number;
  readonly tier: Tier | undefined;
  /** Demand time of the last change, ms. */
  readonly updatedAt: number;
  readonly version: Stamp | undefined;
  readonly content: ContentHash | undefined;
  readonly size: number | undefined;
  /** Peers that say that they hold it. */
  readonly holders: readonly PopId[];
  /** Surrogate keys, as the origin or the operator gave them. */
  readonly labels: readonly string[];
}

/** What is noted of a resource beside its replicas and versions. */
export interface Note {
  readonly key: ResourceKey | undefined;
  readonly site: SiteId | undefined;
  readonly pulling: boolean;
  readonly priority: number;
  readonly tier: Tier | undefined;
  readonly labels: readonly string[];
  readonly updatedAt: number;
}

const BLANK: Note = {
  key: undefined,
  site: undefined,
  pulling: false,
  priority: 0,
  tier: undefined,
  labels: [],
  updatedAt: 0,
};

/** Notes on resources, held here or not. */
export class Notes {
  readonly #notes = new Map<Key16, Note>();
  readonly #max: number;

  constructor(max = MAX_NOTES) {
    this.#max = max;
  }

  get size(): number {
    return this.#notes.size;
  }

  get(key16: Key16): Note {
    return this.#notes.get(key16) ?? BLANK;
  }

  /** Changes some of a note; returns it, and what was dropped to make room. */
  change(
    key16: Key16,
    change: Partial<Omit<Note, 'updatedAt'>>,
    demandNow: number,
  ): { readonly note: Note; readonly dropped: Key16 | undefined } {
    const note = { ...this.get(key16), ...change, updatedAt: demandNow };
    this.#notes.delete(key16);
    this.#notes.set(key16, note);
    let dropped: Key16 | undefined;
    if (this.#notes.size > this.#max) {
      dropped = this.#notes.keys().next().value;
      if (dropped !== undefined) this.#notes.delete(dropped);
    }
    return { note, dropped };
  }

  restore(key16: Key16, note: Note): void {
    // What was being pulled when the process ended is not any more.
    this.#notes.set(key16, { ...note, pulling: false });
  }

  keys(): Iterable<Key16> {
    return this.#notes.keys();
  }
}
