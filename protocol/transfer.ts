import type { PopId } from './ids.ts';

/** Calls under way at one holder; a second keeps the path full while a chunk is verified and written. */
const WINDOW_PER_SOURCE = 4;
/** Calls under way in one transfer, all holders together: bounds the memory to some 2 MiB. */
const WINDOW_TOTAL = 8;
/** Failures after which a holder is left out of this transfer. */
const FAILURES_MAX = 3;

/** What a holder is to be asked for. */
export interface ChunkCall {
  readonly source: PopId;
  readonly index: number;
}

/** Why a call brought nothing. A `mismatch` is a lie or a rotten disk: that holder is asked no more. */
export type ChunkFailure = 'timeout' | 'refused' | 'mismatch';

interface Source {
  readonly pop: PopId;
  readonly roundTripMs: number;
  inFlight: number;
  failures: number;
}

/**
 * Schedules the pull of one content from several holders at once: which missing chunk to ask of whom. Near holders
 * fill first, failures go elsewhere, and what is already here (`missing` says what is not) is not asked again.
 */
export class Transfer {
  readonly #sources: Source[];
  /** Chunks to ask for, in order: the reader of a half-filled content wants the first ones first. */
  readonly #waiting: number[];
  readonly #inFlight = new Map<number, PopId>();
  #left: number;

  constructor(
    missing: readonly number[],
    holders: readonly { pop: PopId; roundTripMs: number | undefined }[],
  ) {
    this.#waiting = [...missing].sort((a, b) => a - b);
    this.#left = missing.length;
    this.#sources = holders
      .map(({ pop, roundTripMs }) => ({ pop, roundTripMs: roundTripMs ?? 1000, inFlight: 0, failures: 0 }))
      .sort((a, b) => a.roundTripMs - b.roundTripMs || (a.pop < b.pop ? -1 : 1));
  }

  get done(): boolean {
    return this.#left === 0;
  }

  /** No holder is left to ask, and chunks are missing. */
  get exhausted(): boolean {
    return this.#left > 0 && this.#inFlight.size === 0 && this.#usable().length === 0;
  }

  /** The next call to make, if the windows allow one now. */
  next(): ChunkCall | undefined {
    if (this.#waiting.length === 0 || this.#inFlight.size >= WINDOW_TOTAL) return undefined;
    const source = this.#usable()
      .filter((s) => s.inFlight < WINDOW_PER_SOURCE)
      // Least burdened first, weighted by distance: a holder twice as far gets half as many chunks.
      .sort((a, b) => (a.inFlight + 1) * (a.roundTripMs + 1) - (b.inFlight + 1) * (b.roundTripMs + 1))[0];
    if (!source) return undefined;
    const index = this.#waiting.shift();
    if (index === undefined) return undefined;
    source.inFlight += 1;
    this.#inFlight.set(index, source.pop);
    return { source: source.pop, index };
  }

  /** The chunk came and hashed to its name. */
  arrived(index: number): void {
    if (this.#release(index)) this.#left -= 1;
  }

  /** The call failed; the chunk will be asked of another holder, or of the same one once more. */
  failed(index: number, reason: ChunkFailure): void {
    const source = this.#release(index);
    if (!source) return;
    source.failures += reason === 'mismatch' ? FAILURES_MAX : 1;
    this.#waiting.unshift(index);
  }

  #release(index: number): Source | undefined {
    const pop = this.#inFlight.get(index);
    if (pop === undefined) return undefined;
    this.#inFlight.delete(index);
    const source = this.#sources.find((s) => s.pop === pop);
    if (source) source.inFlight -= 1;
    return source;
  }

  #usable(): Source[] {
    return this.#sources.filter((source) => source.failures < FAILURES_MAX);
  }
}
