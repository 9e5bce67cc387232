import { byBytes } from './exact.ts';
import type { Key16, SiteId } from './ids.ts';
import { USES_MAX, type Use, VALUE_MAX } from './proposal.ts';
import type { Worth } from './summary.ts';

/** Mirrors whose outcome is remembered at once; the oldest give way. */
const LEDGER_MAX = 65_536;
/** Sites whose account is kept apart: as many as a charter has. */
const SITES_MAX = 1_024;
const KIB = 1024;

interface Entry {
  readonly size: number;
  readonly at: number;
  /** Chance of use that the plan gave it, thousandths. */
  readonly chance: number;
  /** Empty where it was not known. */
  readonly site: SiteId | '';
  state: 'open' | 'used' | 'unused';
}

/** What changed since an account was last taken; bytes, `promised` in thousandths of one. */
interface Lot {
  mirrored: number;
  used: number;
  unused: number;
  promised: number;
}

/** What mirroring has come to at one PoP, in bytes and objects; `open` is censored: too young to judge. */
export interface LedgerTotals {
  readonly mirrored: { readonly bytes: number; readonly count: number };
  readonly used: { readonly bytes: number; readonly count: number };
  readonly unused: { readonly bytes: number; readonly count: number };
  readonly open: { readonly bytes: number; readonly count: number };
}

const emptyLot = (): Lot => ({ mirrored: 0, used: 0, unused: 0, promised: 0 });

/**
 * One PoP's account of what it mirrored: used at the first request after it arrived, unused when the horizon has
 * passed without one, and until then open. A request after the horizon still turns unused into used. Kept in all
 * for the summaries, and by site for the proposals; each is taken by itself.
 */
export class MirrorLedger {
  readonly #entries = new Map<Key16, Entry>();
  #totals = { mirrored: [0, 0], used: [0, 0], unused: [0, 0] } as Record<
    'mirrored' | 'used' | 'unused',
    [bytes: number, count: number]
  >;
  #lot = emptyLot();
  readonly #lots = new Map<SiteId, Lot>();

  has(key16: Key16): boolean {
    return this.#entries.has(key16);
  }

  /** A mirror has arrived. */
  mirrored(key16: Key16, size: number, at: number, chance = 0, site: SiteId | '' = ''): void {
    if (this.#entries.get(key16)?.state === 'open') return;
    if (this.#entries.size >= LEDGER_MAX) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#judge(oldest, 'unused');
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.delete(key16);
    this.#entries.set(key16, { size, at, chance, site, state: 'open' });
    this.#count('mirrored', size, 1);
    this.#enter(site, 'mirrored', size);
  }

  /** A client asked for it; true if that is the first use of a mirror. */
  requested(key16: Key16): boolean {
    return this.#judge(key16, 'used');
  }

  /** It was given up before anyone asked: bytes spent for nothing. */
  released(key16: Key16): void {
    this.#judge(key16, 'unused');
    this.#entries.delete(key16);
  }

  /** Judges what has been here for `horizonMs` unused. */
  mature(now: number, horizonMs: number): void {
    for (const [key16, entry] of this.#entries) {
      if (now - entry.at < horizonMs) break;
      if (entry.state === 'open') this.#judge(key16, 'unused');
    }
  }

  /** What changed since the last call: for the summary. */
  take(): Worth {
    const { mirrored, used, unused, promised } = this.#lot;
    this.#lot = emptyLot();
    // A late use takes back what was judged unused; where that is more than this window's, the rest is carried over.
    this.#lot.unused = Math.min(0, unused);
    const kib = (bytes: number) => Math.max(0, Math.ceil(bytes / KIB));
    return {
      mirroredKiB: kib(mirrored),
      usedKiB: kib(used),
      unusedKiB: kib(unused),
      promisedKiB: kib(promised / 1000),
    };
  }

  /**
   * What changed since the last call, strictly by site, for the proposal: whole KiB, of the sites with most to tell. What
   * there was no room for, the rest of a KiB and what late uses took back beyond this lot are told later.
   */
  takeUses(): Use[] {
    const weightOf = ({ mirrored, used, unused }: Lot) => mirrored + used + Math.max(0, unused);
    const told = [...this.#lots]
      .sort(([a, one], [b, other]) => weightOf(other) - weightOf(one) || (a < b ? -1 : 1))
      .slice(0, USES_MAX)
      .map(([site, lot]): Use => {
        const take = (what: keyof Lot, unit: number) => {
          const whole = Math.max(0, Math.min(VALUE_MAX, Math.floor(lot[what] / unit)));
          lot[what] -= whole * unit;
          return whole;
        };
        const use = {
          site,
          mirroredKiB: take('mirrored', KIB),
          usedKiB: take('used', KIB),
          unusedKiB: take('unused', KIB),
          promisedKiB: take('promised', 1000 * KIB),
        };
        if (lot.mirrored === 0 && lot.used === 0 && lot.unused === 0 && lot.promised === 0) {
          this.#lots.delete(site);
        }
        return use;
      });
    return told
      .filter((use) => use.mirroredKiB + use.usedKiB + use.unusedKiB + use.promisedKiB > 0)
      .sort((a, b) => byBytes(a.site, b.site));
  }

  get totals(): LedgerTotals {
    const pair = ([bytes, count]: [number, number]) => ({ bytes, count });
    const { mirrored, used, unused } = this.#totals;
    return {
      mirrored: pair(mirrored),
      used: pair(used),
      unused: pair(unused),
      open: pair([mirrored[0] - used[0] - unused[0], mirrored[1] - used[1] - unused[1]]),
    };
  }

  /** Plain data for persistence. */
  snapshot(): unknown[] {
    const { mirrored, used, unused } = this.#totals;
    return [
      [...mirrored, ...used, ...unused],
      [...this.#entries].map(([key16, e]) => [key16, e.size, e.at, e.chance, e.state, e.site]),
    ];
  }

  /** Takes back a snapshot; older ones name no sites. One that is damaged is left out. */
  restore(saved: unknown): void {
    if (!Array.isArray(saved)) return;
    const [totals, entries] = saved as [number[], unknown[]];
    if (!Array.isArray(totals) || totals.length < 6 || !totals.every(Number.isFinite)) return;
    if (!Array.isArray(entries)) return;
    this.#totals = {
      mirrored: [totals[0]!, totals[1]!],
      used: [totals[2]!, totals[3]!],
      unused: [totals[4]!, totals[5]!],
    };
    this.#entries.clear();
    for (const row of entries.slice(-LEDGER_MAX)) {
      if (!Array.isArray(row)) continue;
      const [key16, size, at, chance, state, site] = row as unknown[];
      if (typeof key16 !== 'string' || !isState(state)) continue;
      if (!isNumber(size) || !isNumber(at) || !isNumber(chance)) continue;
      const named = typeof site === 'string' ? (site as SiteId) : '';
      this.#entries.set(key16 as Key16, { size, at, chance, site: named, state });
    }
  }

  #judge(key16: Key16, state: 'used' | 'unused'): boolean {
    const entry = this.#entries.get(key16);
    if (entry === undefined || entry.state === 'used' || entry.state === state) return false;
    if (entry.state === 'unused') {
      this.#count('unused', -entry.size, -1);
      this.#enter(entry.site, 'unused', -entry.size);
    } else this.#enter(entry.site, 'promised', entry.size * entry.chance);
    this.#count(state, entry.size, 1);
    this.#enter(entry.site, state, entry.size);
    entry.state = state;
    return state === 'used';
  }

  #count(what: 'mirrored' | 'used' | 'unused', bytes: number, count: number): void {
    this.#totals[what][0] += bytes;
    this.#totals[what][1] += count;
  }

  /** Enters a change into both accounts. */
  #enter(site: SiteId | '', what: keyof Lot, amount: number): void {
    this.#lot[what] += amount;
    if (site === '') return;
    let lot = this.#lots.get(site);
    if (lot === undefined) {
      if (this.#lots.size >= SITES_MAX) return;
      lot = emptyLot();
      this.#lots.set(site, lot);
    }
    lot[what] += amount;
  }
}

const isNumber = (value: unknown): value is number => Number.isFinite(value);

const isState = (value: unknown): value is Entry['state'] =>
  value === 'open' || value === 'used' || value === 'unused';

/** Accounts of two times together, strictly by site; of too many sites those with the most mirrored bytes stay. */
export function addUses(some: readonly Use[], more: readonly Use[]): Use[] {
  const sums = new Map<string, Use>();
  const add = (a: number, b: number) => Math.min(VALUE_MAX, a + b);
  for (const use of [...some, ...more]) {
    const sum = sums.get(use.site);
    sums.set(
      use.site,
      sum === undefined
        ? use
        : {
            site: use.site,
            mirroredKiB: add(sum.mirroredKiB, use.mirroredKiB),
            usedKiB: add(sum.usedKiB, use.usedKiB),
            unusedKiB: add(sum.unusedKiB, use.unusedKiB),
            promisedKiB: add(sum.promisedKiB, use.promisedKiB),
          },
    );
  }
  return [...sums.values()]
    .sort((a, b) => b.mirroredKiB - a.mirroredKiB || byBytes(a.site, b.site))
    .slice(0, USES_MAX)
    .sort((a, b) => byBytes(a.site, b.site));
}
