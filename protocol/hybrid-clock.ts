import { PresageError } from './errors.ts';
import type { PopId } from './ids.ts';
import type { Stamp } from './replica.ts';

/** A stamp further ahead of the own clock than this is a wrong clock, ms. Time services keep PoPs within 100 ms. */
export const MAX_DRIFT_MS = 60_000;
/** Ticks of the counter within one ms; more than any PoP can stamp in the drift that is tolerated. */
const MAX_COUNTER = 2 ** 32 - 1;

/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014): stamps follow the wall clock,
 * never go back, and lie after every stamp that was adopted. They order versions for display and ties; they are
 * never weighed against a purge.
 */
export class HybridClock {
  readonly pop: PopId;
  readonly #maxDriftMs: number;
  #time = 0;
  #counter = 0;

  constructor(pop: PopId, options: { readonly maxDriftMs?: number } = {}) {
    this.pop = pop;
    this.#maxDriftMs = options.maxDriftMs ?? MAX_DRIFT_MS;
  }

  /** A new stamp, later than all before it. `wallMs` is Unix time in ms. */
  next(wallMs: number): Stamp {
    const wall = Math.max(0, Math.floor(wallMs));
    if (wall > this.#time) {
      this.#time = wall;
      this.#counter = 0;
    } else this.#bump();
    return { time: this.#time, counter: this.#counter, pop: this.pop };
  }

  /** Whether a stamp lies so far ahead that it must not be adopted. */
  tooFarAhead(stamp: Stamp, wallMs: number): boolean {
    return stamp.time > wallMs + this.#maxDriftMs;
  }

  /** Moves this clock past a stamp that was heard. Fails with `CLOCK_SKEW`, unmoved, if it is too far ahead. */
  observe(stamp: Stamp, wallMs: number): void {
    if (this.tooFarAhead(stamp, wallMs)) {
      const aheadMs = stamp.time - Math.floor(wallMs);
      throw new PresageError('CLOCK_SKEW', `a stamp of ${stamp.pop} is ${aheadMs} ms ahead`, { aheadMs });
    }
    if (stamp.time > this.#time) {
      this.#time = stamp.time;
      this.#counter = stamp.counter;
    } else if (stamp.time === this.#time) this.#counter = Math.max(this.#counter, stamp.counter);
  }

  #bump(): void {
    if (this.#counter >= MAX_COUNTER) {
      this.#time += 1;
      this.#counter = 0;
    } else this.#counter += 1;
  }
}

/** Total order of stamps: time, then counter, then PoP by the bytes of its id. */
export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.time !== b.time) return a.time - b.time;
  if (a.counter !== b.counter) return a.counter - b.counter;
  return a.pop < b.pop ? -1 : a.pop > b.pop ? 1 : 0;
}
