import { log } from './elementary.ts';

/** What one source of signals has been worth. */
export interface SignalGateRow {
  /** Signals whose outcome is known. */
  readonly judged: number;
  /** Log of the wealth that betting on the source would have made, nats; 0 … `GAIN_MAX`. */
  readonly gain: number;
  /** How far it is believed, 0 … 1. */
  readonly trust: number;
  /** Requests that came over those expected without it. */
  readonly uplift: number;
}

/** What came of a signal in one region. */
export interface SignalOutcome {
  /** Requests that were expected without it. */
  readonly expected: number;
  /** The factor that the source's past let one claim before the outcome was known, 1 or more. */
  readonly claimed: number;
  readonly came: number;
}

/** Classes of strength, by powers of two; each for what was hardly expected and for what was. */
const STRENGTHS = 8;
const CELLS = 2 * STRENGTHS;
/** Expected requests that part what was hardly expected from what was. */
const EXPECTED = 1;
/** A source leans on "no more than usual", and a class on its source, as strongly as so many expected requests. */
const LEAN = 1;
/** Sums are halved after so many outcomes, so that the factor follows what the source says now. */
const MEMORY = 1_000;
/** No claim goes beyond this factor. */
const FACTOR_MAX = 200;
/** Nats that one outcome may win at most; one viral hit shall not carry a source. */
const WIN_MAX = 2;
/** Nats from which a source is believed at all (chance alone: one in e^4 a try), and fully. */
const GAIN_OPEN = 4;
const GAIN_FULL = 8;
/** Evidence beyond this is not kept, so that lost skill shows soon. */
const GAIN_MAX = 16;

/**
 * Whether forecasts are better with a source of signals than without it. Before each outcome the source's past claims
 * a factor u on the expectation m; its score is the gain in Poisson log-likelihood, s = y ln u − m (u − 1), which has
 * no positive mean unless u·m is nearer to the truth than m. A bet of half of what can be lost on each s (its wins cut
 * at `WIN_MAX`) multiplies the wealth by 1 + s / (2 max(WIN_MAX, m (u − 1))). If hold-out error does not gain by the
 * source, that is a supermartingale whatever the distribution of demand, and by Ville's inequality it exceeds e^g with
 * a chance of e^-g at most (Waudby-Smith and Ramdas 2024 on betting). The wealth never falls below 1, so that a source
 * may come to be believed late, and stops being believed soon after it has turned useless.
 */
export class SignalGate {
  readonly #came = new Float64Array(CELLS);
  readonly #expected = new Float64Array(CELLS);
  #judged = 0;
  #gain = 0;

  /** How far the source is believed, 0 … 1. */
  get trust(): number {
    return Math.max(0, Math.min(1, (this.#gain - GAIN_OPEN) / (GAIN_FULL - GAIN_OPEN)));
  }

  get row(): SignalGateRow {
    return { judged: this.#judged, gain: this.#gain, trust: this.trust, uplift: this.#overall() };
  }

  /** The factor, 1 or more, that the source's past claims for a signal of this strength. */
  factor(strength: number, expected: number): number {
    const cell = cellOf(strength, expected);
    const own = (this.#came[cell]! + LEAN * this.#overall()) / (this.#expected[cell]! + LEAN);
    return Math.max(1, Math.min(FACTOR_MAX, own));
  }

  /** The outcome of one signal in each region that it spoke of: one bet, for regions rise and fall together. */
  judge(strength: number, outcomes: readonly SignalOutcome[]): void {
    this.#judged += 1;
    let score = 0;
    let atRisk = 0;
    for (const { expected, claimed, came } of outcomes) {
      score += came * log(claimed) - expected * (claimed - 1);
      atRisk += expected * (claimed - 1);
      const cell = cellOf(strength, expected);
      this.#came[cell]! += came;
      this.#expected[cell]! += expected;
    }
    const wealth = 1 + Math.min(WIN_MAX, score) / (2 * Math.max(WIN_MAX, atRisk));
    this.#gain = Math.max(0, Math.min(GAIN_MAX, this.#gain + log(wealth)));
    if (this.#judged % MEMORY !== 0) return;
    for (let i = 0; i < CELLS; i++) {
      this.#came[i]! /= 2;
      this.#expected[i]! /= 2;
    }
  }

  /** Plain data for the database. */
  snapshot(): unknown {
    return [1, this.#judged, this.#gain, [...this.#came], [...this.#expected]];
  }

  /** Takes back a snapshot; one that is not whole is left out. */
  restore(saved: unknown): void {
    if (!Array.isArray(saved) || saved[0] !== 1) return;
    const [, judged, gain, came, expected] = saved as unknown[];
    const cells = (value: unknown): value is number[] =>
      Array.isArray(value) && value.length === CELLS && value.every((one) => one >= 0 && one < 1e15);
    if (typeof judged !== 'number' || !Number.isSafeInteger(judged) || judged < 0) return;
    if (typeof gain !== 'number' || !(gain >= 0 && gain <= GAIN_MAX) || !cells(came) || !cells(expected))
      return;
    this.#judged = judged;
    this.#gain = gain;
    this.#came.set(came);
    this.#expected.set(expected);
  }

  #overall(): number {
    let came = LEAN;
    let expected = LEAN;
    for (let i = 0; i < CELLS; i++) {
      came += this.#came[i]!;
      expected += this.#expected[i]!;
    }
    return came / expected;
  }
}

function cellOf(strength: number, expected: number): number {
  // The whole part of the logarithm to base two.
  const level = 31 - Math.clz32(Math.max(1, Math.min(1 << (STRENGTHS - 1), strength)));
  return level + (expected < EXPECTED ? 0 : STRENGTHS);
}
