import type { Key16, PopId } from '../../protocol/ids.ts';
import { boundedCache } from '../bounded-cache.ts';

/** Resources whose holders a thread remembers, some 200 bytes each. */
const REMEMBERED = 65_536;
/** After this long what is remembered is asked for anew, and answered with meanwhile. */
const STALE_MS = 5_000;
/** How long questions are gathered before they are asked at once. */
const GATHER_MS = 20;
/** Questions that wait; beyond them a flood of names that nobody holds is not asked about. */
const WAITING = 1_024;

export type Held = readonly (readonly [key16: Key16, pops: readonly PopId[]])[];

/** Looks holders up where they are known: on the main thread. */
export type AskHolders = (keys: readonly Key16[]) => Promise<Held>;

/**
 * Who holds what, as far as a thread has been asked for it. The first answer about a resource is that of its site; the
 * thread then learns who holds it, and the next answer leads there.
 */
export class HeldByOthers {
  readonly #ask: AskHolders;
  readonly #now: () => number;
  readonly #known = boundedCache<Key16, { pops: readonly PopId[]; at: number }>(REMEMBERED);
  readonly #waiting = new Set<Key16>();
  #gathering = false;

  /** `now` is monotonic, ms. */
  constructor(ask: AskHolders, now: () => number) {
    this.#ask = ask;
    this.#now = now;
  }

  get(key16: Key16): readonly PopId[] | undefined {
    const known = this.#known.get(key16);
    if ((!known || this.#now() - known.at > STALE_MS) && this.#waiting.size < WAITING) {
      this.#waiting.add(key16);
      if (!this.#gathering) {
        this.#gathering = true;
        setTimeout(() => void this.#look(), GATHER_MS);
      }
    }
    return known?.pops;
  }

  async #look(): Promise<void> {
    const keys = [...this.#waiting];
    this.#waiting.clear();
    this.#gathering = false;
    try {
      const at = this.#now();
      for (const [key16, pops] of await this.#ask(keys)) this.#known.set(key16, { pops, at });
    } catch {
      // The main thread is closing; or it is busy, and the next question asks again.
    }
  }
}
