export interface BurstOptions {
  /** Keys remembered; the one that was quiet longest is forgotten first. */
  readonly keysMax: number;
  /** The rise that is looked for: so many times the usual rate. Larger ones are found sooner, smaller ones later. */
  readonly ratio: number;
  /** Log-likelihood in favour of a rise at which it is reported; false alarms fall about as e to the minus this. */
  readonly threshold: number;
  /** Half-life of the usual rate, ms. */
  readonly usualMs: number;
  /** Length of the blocks on which dispersion is measured, ms: long enough to hold a client's visit. */
  readonly blockMs: number;
  /** Rate that a key has at least, requests a ms: of what is all but never asked for, a few requests are no burst. */
  readonly leastRate: number;
  /** Half-life of the current rate, ms, by which a burst is over. */
  readonly currentMs: number;
  /** A burst is over once the current rate is below this many times the usual one. Below `ratio`, for hysteresis. */
  readonly fallRatio: number;
  /** Half-life of the long memory, ms: after a slump a key that comes back to this share of it does not burst. */
  readonly longMs: number;
  readonly longShare: number;
  /** What is asked for often must show more evidence: so many times the bar more for each request a second, … */
  readonly busyBar: number;
  /** … and at most so many times the bar more. Its requests come in clumps that no Poisson count has. */
  readonly busyBarMax: number;
  /** From its first step on, the detector learns for so long before it reports, lest a restart be an alarm. */
  readonly warmUpMs: number;
}

/** For counts of one to ten seconds at the edge (the fast path). Set on the NASA request rates of July 1995. */
export const FAST_BURSTS: BurstOptions = {
  keysMax: 16_384,
  ratio: 4,
  threshold: 18,
  usualMs: 600_000,
  blockMs: 15_000,
  leastRate: 1 / 60_000,
  currentMs: 15_000,
  fallRatio: 2,
  longMs: 10_800_000,
  longShare: 0.7,
  busyBar: 1,
  busyBarMax: 3,
  warmUpMs: 120_000,
};

/** For counts of a minute against the forecast: smaller and slower rises. */
export const MINUTE_BURSTS: BurstOptions = {
  keysMax: 65_536,
  ratio: 3,
  threshold: 12,
  usualMs: 1_800_000,
  blockMs: 300_000,
  leastRate: 1 / 600_000,
  currentMs: 180_000,
  fallRatio: 1.5,
  longMs: 21_600_000,
  longShare: 0.7,
  busyBar: 0,
  busyBarMax: 0,
  warmUpMs: 900_000,
};

/** One count gives at most this share of the threshold, so that one client's page and its images are no crowd. */
const STEP_SHARE = 0.6;
/** A burst that lasts becomes the usual rate, but so many times more slowly than quiet times do. */
const ADAPT_SLOWER = 4;
/** The least rate counts as if it had been observed for this share of a half-life. */
const PRIOR_SHARE = 0.1;
/** Dispersion and bar are remembered so many times longer than the usual rate. */
const LONGER = 24;
/** A new key's counts are taken for Poisson's until its blocks show otherwise. */
const DISPERSION_NEW = 1;
/** Squared deviation of a block, over its Poisson variance, that moves the dispersion at most at once. */
const SURPRISE_MAX = 100;
/** Evidence that came to nothing raises the bar to so many times its peak … */
const BAR_OVER_PEAK = 1.6;
/** … and at most to so many times the threshold, so that no key goes deaf. */
const BAR_MAX = 4;
/** A burst over within this many half-lives of the current rate was a clump of requests and no crowd. */
const CLUMP_HALVES = 5;
/** A step longer than this many half-lives of the current rate counts as that long. */
const STALE_HALVES = 40;

interface KeyState {
  at: number;
  /** Decayed requests and ms, whose ratio is the usual rate. */
  requests: number;
  time: number;
  /** The same with a longer memory. */
  longRequests: number;
  longTime: number;
  /** Requests a ms of late. */
  current: number;
  /** Variance over mean of the counts of blocks. */
  dispersion: number;
  /** The block under way: its end, its requests and how many were usual. */
  blockEnd: number;
  blockSeen: number;
  blockMean: number;
  /** Cumulative evidence for a rise, its peak since it was last zero, and what it must reach: this key's threshold. */
  evidence: number;
  peak: number;
  bar: number;
  riseAt: number;
  active: boolean;
}

/**
 * Finds rising keys by a cumulative sum of Poisson log-likelihood ratios (Page 1954; Lucas 1985 for counts), divided
 * by the dispersion that the key's own counts show, with hysteresis: one `rise`, then one `fall`. Pure: time comes as
 * an argument, and steps without a request may be left out.
 */
export class BurstDetector {
  readonly #options: BurstOptions;
  readonly #states = new Map<string, KeyState>();
  readonly #logRatio: number;
  #since: number | undefined;

  constructor(options: BurstOptions = FAST_BURSTS) {
    this.#options = options;
    this.#logRatio = Math.log(options.ratio);
  }

  /** Keys remembered. */
  get size(): number {
    return this.#states.size;
  }

  /** Whether `key` is bursting. */
  active(key: string): boolean {
    return this.#states.get(key)?.active ?? false;
  }

  /**
   * Takes the `count` of requests for `key` since its last step, or for a new key in the `spanMs` before `atMs`.
   * `expected` is how many a forecast expected in that time; the larger of it and the usual rate is the measure.
   */
  step(
    key: string,
    atMs: number,
    count: number,
    expected?: number,
    spanMs = 1000,
  ): 'rise' | 'fall' | undefined {
    const { ratio, threshold, leastRate, currentMs, usualMs, fallRatio, warmUpMs, longMs } = this.#options;
    const requests = count > 0 && count < Number.POSITIVE_INFINITY ? count : 0;
    const known = this.#states.get(key);
    if (known === undefined && requests === 0) return undefined;
    if (this.#since === undefined) this.#since = atMs;
    const state = known ?? this.#open(key, atMs - spanMs);
    if (requests > 0 && known !== undefined) {
      // Map order is the order of use, so that the first entry is the one to forget.
      this.#states.delete(key);
      this.#states.set(key, state);
    }
    const span = Math.max(1, Math.min(atMs - state.at, STALE_HALVES * currentMs));
    // Several counts of one moment (one a PoP) share what was expected of it; the first has borne it.
    const fresh = known === undefined || atMs > state.at;
    const foreseen = fresh && expected !== undefined && expected >= 0 ? expected / span : 0;
    state.at = Math.max(state.at, atMs);
    const prior = PRIOR_SHARE * usualMs;
    const learned = (state.requests + leastRate * prior) / (state.time + prior);
    const long = (state.longRequests + leastRate * prior) / (state.longTime + prior);
    const usual = Math.max(learned, foreseen, leastRate, this.#options.longShare * long);
    const needed = state.bar * this.#busyFactor(usual);
    const mean = usual * span;
    const gain = (requests * this.#logRatio - (ratio - 1) * mean) / state.dispersion;
    state.evidence = Math.max(0, state.evidence + Math.min(gain, STEP_SHARE * needed));
    state.peak = Math.max(state.peak, state.evidence);
    const keepCurrent = 0.5 ** (span / currentMs);
    state.current = state.current * keepCurrent + (1 - keepCurrent) * (requests / span);
    const slower = state.active ? ADAPT_SLOWER : 1;
    const keep = 0.5 ** (span / (slower * usualMs));
    state.requests = state.requests * keep + requests;
    state.time = state.time * keep + span;
    const keepLong = 0.5 ** (span / (slower * longMs));
    state.longRequests = state.longRequests * keepLong + requests;
    state.longTime = state.longTime * keepLong + span;
    this.#disperse(state, requests, mean);
    if (state.active) {
      if (state.current >= fallRatio * usual) return undefined;
      state.active = false;
      // A crowd that was real leaves the bar where it is: the next one shall be found as soon.
      if (state.at - state.riseAt > CLUMP_HALVES * currentMs) state.peak = 0;
      this.#settle(state);
      return 'fall';
    }
    if (state.evidence === 0 && state.peak > 0) this.#settle(state);
    const forget = 0.5 ** (span / (LONGER * usualMs));
    state.bar = threshold + (state.bar - threshold) * forget;
    if (state.evidence < needed) return undefined;
    if (atMs - this.#since < warmUpMs) {
      this.#settle(state);
      return undefined;
    }
    state.active = true;
    state.riseAt = state.at;
    state.current = Math.max(state.current, ratio * usual);
    return 'rise';
  }

  forget(key: string): void {
    this.#states.delete(key);
  }

  /** By what factor a key with that usual rate, requests a ms, must clear its bar. */
  #busyFactor(usual: number): number {
    const { busyBar, busyBarMax } = this.#options;
    return 1 + Math.min(busyBarMax, busyBar * usual * 1000);
  }

  /** Ends a run of evidence that was no crowd: the next one must be clearly stronger. */
  #settle(state: KeyState): void {
    const { threshold } = this.#options;
    state.bar = Math.min(BAR_MAX * threshold, Math.max(state.bar, BAR_OVER_PEAK * state.peak));
    state.evidence = 0;
    state.peak = 0;
  }

  /** Learns from whole blocks how clumpy a key's requests are; bursts are left out of it. */
  #disperse(state: KeyState, requests: number, mean: number): void {
    const { blockMs, usualMs } = this.#options;
    state.blockSeen += requests;
    state.blockMean += mean;
    if (state.at < state.blockEnd) return;
    if (!state.active && state.blockMean > 0) {
      const surprise = Math.min(SURPRISE_MAX, (state.blockSeen - state.blockMean) ** 2 / state.blockMean);
      const elapsed = state.at - state.blockEnd + blockMs;
      const keep = 0.5 ** (elapsed / (LONGER * usualMs));
      state.dispersion = Math.max(1, state.dispersion * keep + (1 - keep) * surprise);
    }
    state.blockEnd = state.at + blockMs;
    state.blockSeen = 0;
    state.blockMean = 0;
  }

  #open(key: string, at: number): KeyState {
    if (this.#states.size >= this.#options.keysMax) {
      const oldest = this.#states.keys().next();
      if (!oldest.done) this.#states.delete(oldest.value);
    }
    const state: KeyState = {
      at,
      requests: 0,
      time: 0,
      longRequests: 0,
      longTime: 0,
      current: 0,
      dispersion: DISPERSION_NEW,
      blockEnd: at + this.#options.blockMs,
      blockSeen: 0,
      blockMean: 0,
      evidence: 0,
      peak: 0,
      bar: this.#options.threshold,
      riseAt: at,
      active: false,
    };
    this.#states.set(key, state);
    return state;
  }
}
