import { hash32 } from '../../protocol/rendezvous.ts';
import type { HeardUrl } from './connector.ts';

/** Links remembered; the one that was shared longest ago is forgotten first. */
const LINKS_MAX = 2_000;
/** Accounts of one link that are told apart. */
const ACCOUNTS_MAX = 256;
/** A link nobody has shared for so long begins anew, ms. */
const FORGET_MS = 3_600_000;

interface Link {
  /** Hashes of their names, which are not kept. */
  readonly accounts: Set<number>;
  last: number;
  told: number;
}

/** How many accounts shared a link of late. Bounded; one account counts once. */
export class LinkTally {
  readonly #links = new Map<string, Link>();

  get size(): number {
    return this.#links.size;
  }

  /** `at` is monotonic, ms. */
  add(url: string, account: string, at: number): void {
    let known = this.#links.get(url);
    if (known === undefined || at - known.last > FORGET_MS)
      known = { accounts: new Set(), last: at, told: 0 };
    known.last = at;
    if (known.accounts.size < ACCOUNTS_MAX) known.accounts.add(hash32(account));
    // Map order is the order of use.
    this.#links.delete(url);
    this.#links.set(url, known);
    if (this.#links.size <= LINKS_MAX) return;
    const oldest = this.#links.keys().next();
    if (!oldest.done) this.#links.delete(oldest.value);
  }

  /** The links that more accounts have shared than were told of the last time. */
  take(at: number): HeardUrl[] {
    const heard: HeardUrl[] = [];
    for (const [url, link] of this.#links) {
      if (at - link.last > FORGET_MS) this.#links.delete(url);
      else if (link.accounts.size > link.told) {
        link.told = link.accounts.size;
        heard.push({ url, strength: link.told });
      }
    }
    return heard;
  }
}
