/** What a checked thing is held to be. */
export type Health = 'up' | 'sick';

export interface HysteresisOptions {
  /** Failures in a row until it counts as sick; 3 by default. */
  readonly failures?: number | undefined;
  /** Successes in a row until it counts as up again; 2 by default. */
  readonly successes?: number | undefined;
}

/**
 * Turns single checks into a state that does not flap: several in a row are needed to change it. The first check of
 * all decides alone, so that nothing sick is answered with at the start. Pure: who checks, and when, is the caller's.
 */
export class Hysteresis {
  readonly #failures: number;
  readonly #successes: number;
  #health: Health | undefined;
  #streak = 0;

  constructor(options: HysteresisOptions = {}) {
    this.#failures = options.failures ?? 3;
    this.#successes = options.successes ?? 2;
  }

  /** Sick until the first check has been made. */
  get health(): Health {
    return this.#health ?? 'sick';
  }

  /** Takes the outcome of one check; gives the state after it. */
  record(ok: boolean): Health {
    if (this.#health === undefined) {
      this.#health = ok ? 'up' : 'sick';
      return this.#health;
    }
    if (ok === (this.#health === 'up')) this.#streak = 0;
    else {
      this.#streak += 1;
      if (this.#streak >= (ok ? this.#successes : this.#failures)) {
        this.#health = ok ? 'up' : 'sick';
        this.#streak = 0;
      }
    }
    return this.#health;
  }
}
