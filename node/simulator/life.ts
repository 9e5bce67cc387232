import type { Clock } from '../../protocol/ports.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** 14 November 2023, 22:13:20 UTC: where virtual time begins. */
const EPOCH_MS = 1_700_000_000_000;

/**
 * One run of a simulated PoP, from its start to its end or crash. Nothing of it goes on after that: timers do not fire,
 * and what was asked of disk or network is never answered.
 */
export class Life {
  #alive = true;

  get alive(): boolean {
    return this.#alive;
  }

  end(): void {
    this.#alive = false;
  }

  /** `run` as long as this life lasts. */
  while<A extends readonly unknown[]>(run: (...given: A) => void): (...given: A) => void {
    return (...given) => {
      if (this.#alive) run(...given);
    };
  }
}

/** The clock of one PoP in one life; its time of day may be wrong, and jump. */
export const lifeClock = (life: Life, clock: VirtualClock, skewMs: () => number): Clock => ({
  now: () => Math.floor(EPOCH_MS + clock.now + skewMs()),
  monotonic: () => clock.now,
  after: (delayMs, run) => clock.after(delayMs, life.while(run)),
});
