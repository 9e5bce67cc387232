import { exp } from './elementary.ts';

/** Half-life of what is usual of all keys together, ms. */
const USUAL_MS = 6 * 3_600_000;
/** Half-life of the present rate: long enough to hold so many requests at the usual rate, within these bounds, ms. */
const REQUESTS = 30;
const PRESENT_MS_MIN = 120_000;
const PRESENT_MS_MAX = 3_600_000;
/** An outage begins when the present rate falls below this share of the usual one, and ends above the other. */
const OUT_SHARE = 0.1;
const BACK_SHARE = 0.3;
/** What lasts longer, such as a long weekend, is no outage: so little is usual now. */
const OUT_MS_MAX = 4 * 86_400_000;

/**
 * The rate of all keys of a detector together, by which an outage is told from keys that have grown quiet: of a line
 * or an origin that fails, and of days on which nobody works. Pure; time comes as an argument.
 */
export class WholeRate {
  #at: number | undefined;
  #seen = 0;
  #requests = 0;
  #time = 0;
  #present = 0;
  #outSince: number | undefined;
  #lostMs = 0;

  /** Whether there is an outage now. */
  get out(): boolean {
    return this.#outSince !== undefined;
  }

  /** Time lost to outages so far, ms. */
  get lostMs(): number {
    return this.#lostMs;
  }

  /** Takes requests of any key at a time; the first ones were seen within `spanMs`. What comes late is left out. */
  step(atMs: number, requests: number, spanMs: number): void {
    this.#at ??= atMs - spanMs;
    if (atMs < this.#at) return;
    if (atMs > this.#at) {
      this.#advance(atMs - this.#at, atMs);
      this.#at = atMs;
    }
    this.#seen += requests;
  }

  /** What came at one moment is known in full when the next has begun. */
  #advance(span: number, atMs: number): void {
    const requests = this.#seen;
    this.#seen = 0;
    const usual = this.#time > 0 ? this.#requests / this.#time : 0;
    const half = Math.max(PRESENT_MS_MIN, Math.min(PRESENT_MS_MAX, usual > 0 ? REQUESTS / usual : 0));
    const kept = halved(span / half);
    this.#present = this.#present * kept + (1 - kept) * (requests / span);
    if (this.#outSince !== undefined) {
      this.#lostMs += span;
      const settled = atMs - this.#outSince > OUT_MS_MAX;
      if (settled) this.#requests = this.#present * this.#time;
      if (settled || this.#present >= BACK_SHARE * usual) this.#outSince = undefined;
      return;
    }
    const keep = halved(span / USUAL_MS);
    this.#requests = this.#requests * keep + requests;
    this.#time = this.#time * keep + span;
    if (this.#time > 2 * half && this.#present < OUT_SHARE * usual) this.#outSince = atMs;
  }
}

const halved = (lives: number): number => exp(-Math.LN2 * lives);
