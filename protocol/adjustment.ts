import type { Key16 } from './ids.ts';
import type { Worth } from './summary.ts';

/** What the plan's rules are tuned by. Integers, all of them. */
export interface Parameters {
  /** Least worth of a mirror: milli-request milliseconds saved per MiB put at risk. */
  readonly threshold: number;
  /** By how much forecast chances are trusted, thousandths. */
  readonly safety: number;
  /** PoPs that one region's demand may be mirrored to. */
  readonly targets: number;
  /** Share of a PoP's fill bandwidth that plans may spend, thousandths. */
  readonly fillShare: number;
  /** Share of mirrored bytes that may go unused, thousandths. */
  readonly wasteTarget: number;
}

export const DEFAULT_PARAMETERS: Parameters = {
  threshold: 1_500_000,
  safety: 1000,
  targets: 1,
  fillShare: 500,
  wasteTarget: 500,
};

/** Bounds of what adjustment may reach. */
export const PARAMETER_BOUNDS = {
  threshold: [100_000, 1_000_000_000],
  safety: [250, 1250],
  targets: [1, 3],
  fillShare: [100, 800],
} as const;

/** KiB of judged mirrors below which nothing is adjusted: a handful of objects proves nothing. */
const EVIDENCE_KIB = 512;
/** Judged KiB are halved when they exceed this many times the newest lot, so that the past fades. */
const MEMORY_KIB = 64 * 1024;

/** What mirrored bytes came to, over the recent past, all PoPs together. */
export interface Outcome {
  readonly usedKiB: number;
  readonly unusedKiB: number;
  /** Chance times KiB of judged mirrors, as far as it is known, and what was used of those. */
  readonly promisedKiB: number;
  readonly keptKiB: number;
}

export const NO_OUTCOME: Outcome = { usedKiB: 0, unusedKiB: 0, promisedKiB: 0, keptKiB: 0 };

/** What a PoP's window tells of its mirrors, as an outcome. */
export function outcomeOf({ usedKiB, unusedKiB, promisedKiB = 0 }: Worth): Outcome {
  return { usedKiB, unusedKiB, promisedKiB, keptKiB: promisedKiB > 0 ? usedKiB : 0 };
}

const clamp = (value: number, [low, high]: readonly [number, number]) => Math.max(low, Math.min(high, value));

/** Adds newly judged bytes to what is remembered; the memory is bounded by halving. */
export function remember(outcome: Outcome, lot: Outcome): Outcome {
  const sum = addOutcomes(outcome, lot);
  if (sum.usedKiB + sum.unusedKiB <= MEMORY_KIB) return sum;
  return {
    usedKiB: Math.floor(sum.usedKiB / 2),
    unusedKiB: Math.floor(sum.unusedKiB / 2),
    promisedKiB: Math.floor(sum.promisedKiB / 2),
    keptKiB: Math.floor(sum.keptKiB / 2),
  };
}

export function addOutcomes(a: Outcome, b: Outcome): Outcome {
  return {
    usedKiB: a.usedKiB + b.usedKiB,
    unusedKiB: a.unusedKiB + b.unusedKiB,
    promisedKiB: a.promisedKiB + b.promisedKiB,
    keptKiB: a.keptKiB + b.keptKiB,
  };
}

/**
 * Moves the parameters by what matured since the last call. `outcome` already includes `lot`. A step is
 * proportional to how far the waste is from its target and to how much of the evidence is new, so that without
 * news nothing moves, and no single object moves much. Integers only.
 */
export function adjust(parameters: Parameters, outcome: Outcome, lot: Outcome): Parameters {
  const judged = outcome.usedKiB + outcome.unusedKiB;
  const fresh = lot.usedKiB + lot.unusedKiB;
  if (judged < EVIDENCE_KIB || fresh <= 0) return parameters;
  const waste = Math.floor((1000 * outcome.unusedKiB) / judged);
  const off = waste - parameters.wasteTarget;
  const news = Math.min(1000, Math.floor((4000 * fresh) / judged));
  // At most a tenth a step: off ±500, news 1000.
  const step = clamp(Math.trunc((off * news) / 5000), [-100, 100]);
  const threshold = clamp(
    Math.floor((parameters.threshold * (1000 + step)) / 1000),
    PARAMETER_BOUNDS.threshold,
  );
  let safety = parameters.safety;
  if (outcome.promisedKiB >= EVIDENCE_KIB) {
    // Used bytes against the bytes that the chances promised.
    const wanted = clamp(Math.floor((outcome.keptKiB * 1000) / outcome.promisedKiB), PARAMETER_BOUNDS.safety);
    safety = clamp(safety + Math.trunc(((wanted - safety) * news) / 10_000), PARAMETER_BOUNDS.safety);
  }
  // Only well below the target is there anything to spend on second copies and more bandwidth.
  const thrifty = 2 * waste < parameters.wasteTarget && judged >= 16 * EVIDENCE_KIB;
  const targets = clamp(thrifty ? 2 : 1, PARAMETER_BOUNDS.targets);
  const fillShare = clamp(parameters.fillShare - Math.trunc(step / 2), PARAMETER_BOUNDS.fillShare);
  return { ...parameters, threshold, safety, targets, fillShare };
}

/** Mirrors whose outcome is remembered at once; the oldest give way. */
const LEDGER_MAX = 65_536;

interface Entry {
  readonly size: number;
  readonly at: number;
  /** Chance of use that the plan gave it, thousandths. */
  readonly chance: number;
  state: 'open' | 'used' | 'unused';
}

/** What mirroring has come to at one PoP, in bytes and objects; `open` is censored: too young to judge. */
export interface LedgerTotals {
  readonly mirrored: { readonly bytes: number; readonly count: number };
  readonly used: { readonly bytes: number; readonly count: number };
  readonly unused: { readonly bytes: number; readonly count: number };
  readonly open: { readonly bytes: number; readonly count: number };
}

/**
 * One PoP's account of what it mirrored: used at the first request after it arrived, unused when the horizon has
 * passed without one, and until then open. A request after the horizon still turns unused into used.
 */
export class MirrorLedger {
  readonly #entries = new Map<Key16, Entry>();
  #totals = { mirrored: [0, 0], used: [0, 0], unused: [0, 0] } as Record<
    'mirrored' | 'used' | 'unused',
    [bytes: number, count: number]
  >;
  #lot = { mirrored: 0, used: 0, unused: 0, promised: 0 };

  has(key16: Key16): boolean {
    return this.#entries.has(key16);
  }

  /** A mirror has arrived. */
  mirrored(key16: Key16, size: number, at: number, chance = 0): void {
    if (this.#entries.get(key16)?.state === 'open') return;
    if (this.#entries.size >= LEDGER_MAX) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#judge(oldest, 'unused');
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.delete(key16);
    this.#entries.set(key16, { size, at, chance, state: 'open' });
    this.#count('mirrored', size, 1);
    this.#lot.mirrored += size;
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
    this.#lot = { mirrored: 0, used: 0, unused: 0, promised: 0 };
    // A late use takes back what was judged unused; where that is more than this window's, the rest is carried over.
    this.#lot.unused = Math.min(0, unused);
    const kib = (bytes: number) => Math.max(0, Math.ceil(bytes / 1024));
    return {
      mirroredKiB: kib(mirrored),
      usedKiB: kib(used),
      unusedKiB: kib(unused),
      promisedKiB: kib(promised / 1000),
    };
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
      [...this.#entries].map(([key16, e]) => [key16, e.size, e.at, e.chance, e.state]),
    ];
  }

  restore(saved: unknown): void {
    if (!Array.isArray(saved)) return;
    const [totals, entries] = saved as [number[], [Key16, number, number, number, Entry['state']][]];
    if (!Array.isArray(totals) || totals.length < 6 || !Array.isArray(entries)) return;
    this.#totals = {
      mirrored: [totals[0]!, totals[1]!],
      used: [totals[2]!, totals[3]!],
      unused: [totals[4]!, totals[5]!],
    };
    this.#entries.clear();
    for (const [key16, size, at, chance, state] of entries.slice(-LEDGER_MAX)) {
      this.#entries.set(key16, { size, at, chance, state });
    }
  }

  #judge(key16: Key16, state: 'used' | 'unused'): boolean {
    const entry = this.#entries.get(key16);
    if (entry === undefined || entry.state === 'used' || entry.state === state) return false;
    if (entry.state === 'unused') {
      this.#count('unused', -entry.size, -1);
      this.#lot.unused -= entry.size;
    } else this.#lot.promised += entry.size * entry.chance;
    this.#count(state, entry.size, 1);
    this.#lot[state] += entry.size;
    entry.state = state;
    return state === 'used';
  }

  #count(what: 'mirrored' | 'used' | 'unused', bytes: number, count: number): void {
    this.#totals[what][0] += bytes;
    this.#totals[what][1] += count;
  }
}
