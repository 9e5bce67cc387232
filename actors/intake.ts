import type { Metrics } from '../protocol/ports.ts';
import type { Observation } from '../protocol/window.ts';

/** Observations that wait for the observer; at 100 ms a flush this is 600,000 requests a second. */
const CAPACITY = 65_536;

/**
 * Where the HTTP edge and the log feeds leave what they saw: an append to a list, since a message per request
 * would cost more than the request. The observer empties it several times a second.
 */
export class Intake {
  readonly #metrics: Metrics;
  #waiting: Observation[] = [];

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** False if there was no room; the request then goes uncounted, and that is counted. */
  push(observation: Observation): boolean {
    if (this.#waiting.length >= CAPACITY) {
      this.#metrics.count('observations_dropped_total');
      return false;
    }
    this.#waiting.push(observation);
    return true;
  }

  /** How many more observations there is room for. */
  get room(): number {
    return CAPACITY - this.#waiting.length;
  }

  take(): readonly Observation[] {
    if (this.#waiting.length === 0) return [];
    const taken = this.#waiting;
    this.#waiting = [];
    return taken;
  }
}
