import { exp, log } from './elementary.ts';
import { WholeRate } from './whole-rate.ts';

export interface BurstOptions {
  /** Keys remembered; the one that was quiet longest is forgotten first. */
  readonly keysMax: number;
  /** The rise that is looked for: so many times the usual rate. Smaller ones are found later. */
  readonly ratio: number;
  /** A steeper rise that is looked for beside it: of what is asked for seldom, few requests tell the two apart. */
  readonly steepRatio: number;
  /** Share of the threshold that evidence for it must reach: what else makes keys rise seldom makes them rise so. */
  readonly steepShare: number;
  /** What the bar is lowered by, nats, for each time that counts are e times as long: they are looked at less often. */
  readonly looks: number;
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
  /** Half-life of the long memory, ms: after a slump or an outage a key that comes back to it does not burst. */
  readonly longMs: number;
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
  steepRatio: 10,
  steepShare: 0.75,
  looks: 1,
  threshold: 22,
  usualMs: 600_000,
  blockMs: 15_000,
  leastRate: 1 / 60_000,
  currentMs: 15_000,
  fallRatio: 2,
  longMs: 10_800_000,
  busyBar: 1,
  busyBarMax: 3,
  warmUpMs: 120_000,
};

/** For counts of a minute against the forecast: smaller and slower rises. */
export const MINUTE_BURSTS: BurstOptions = {
  keysMax: 65_536,
  ratio: 3,
  steepRatio: 10,
  steepShare: 1,
  looks: 0,
  threshold: 13,
  usualMs: 1_800_000,
  blockMs: 300_000,
  leastRate: 1 / 600_000,
  currentMs: 180_000,
  fallRatio: 1.5,
  longMs: 21_600_000,
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
  /** The block under way: its length so far, its requests and how many were usual. */
  blockTime: number;
  blockSeen: number;
  blockMean: number;
  /** Cumulative evidence for a rise and for a steep one, its peak since it was last zero, and this key's threshold. */
  evidence: number;
  steep: number;
  peak: number;
  bar: number;
  riseAt: number;
  active: boolean;
  /** Time lost to outages when it was last stepped, ms. */
  lost: number;
}

/**
 * Finds rising keys by cumulative sums of Poisson log-likelihood ratios (Page 1954; Lucas 1985 for counts), one for
 * each of two sizes of rise, divided by the dispersion that the key's own counts show, with hysteresis: one `rise`,
 * then one `fall`. Outages of all keys together are not remembered. Pure: time comes as an argument, does not go back,
 * and steps without a request may be left out.
 */
export class BurstDetector {
  readonly #options: BurstOptions;
  readonly #states = new Map<string, KeyState>();
  readonly #whole = new WholeRate();
  readonly #logRatio: number;
  readonly #logSteepRatio: number;
  #since: number | undefined;

  constructor(options: BurstOptions = FAST_BURSTS) {
    this.#options = options;
    this.#logRatio = log(options.ratio);
    this.#logSteepRatio = log(options.steepRatio);
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
    const { ratio, steepRatio, steepShare, threshold, leastRate } = this.#options;
    const { currentMs, usualMs, fallRatio, warmUpMs, longMs } = this.#options;
    const requests = count > 0 && count < Number.POSITIVE_INFINITY ? count : 0;
    this.#whole.step(atMs, requests, spanMs);
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
    // The long memory learns nothing of an outage: it befell all keys, and says nothing of one.
    const lost = this.#whole.lostMs - state.lost;
    state.lost = this.#whole.lostMs;
    const lesson = this.#whole.out ? 0 : Math.max(0, span - lost);
    // Several counts of one moment (one a PoP) share what was expected of it; the first has borne it.
    const fresh = known === undefined || atMs > state.at;
    const foreseen = fresh && expected !== undefined && expected >= 0 ? expected / span : 0;
    state.at = Math.max(state.at, atMs);
    const prior = PRIOR_SHARE * usualMs;
    const learned = (state.requests + leastRate * prior) / (state.time + prior);
    const long = (state.longRequests + leastRate * prior) / (state.longTime + prior);
    const usual = Math.max(learned, foreseen, leastRate, long);
    const needed = state.bar * this.#lookFactor(Math.min(spanMs, span)) * this.#busyFactor(usual);
    const mean = usual * span;
    const most = STEP_SHARE * needed;
    const gain = (requests * this.#logRatio - (ratio - 1) * mean) / state.dispersion;
    const steepGain = (requests * this.#logSteepRatio - (steepRatio - 1) * mean) / state.dispersion;
    state.evidence = Math.max(0, state.evidence + Math.min(gain, most));
    state.steep = Math.max(0, state.steep + Math.min(steepGain, steepShare * most));
    const evidence = Math.max(state.evidence, state.steep / steepShare);
    state.peak = Math.max(state.peak, evidence);
    const keepCurrent = halved(span / currentMs);
    state.current = state.current * keepCurrent + (1 - keepCurrent) * (requests / span);
    const slower = state.active ? ADAPT_SLOWER : 1;
    const keep = halved(span / (slower * usualMs));
    state.requests = state.requests * keep + requests;
    state.time = state.time * keep + span;
    if (lesson > 0) {
      const keepLong = halved(lesson / (slower * longMs));
      state.longRequests = state.longRequests * keepLong + requests;
      state.longTime = state.longTime * keepLong + lesson;
      this.#disperse(state, requests, mean, lesson);
    }
    if (state.active) {
      if (state.current >= fallRatio * usual) return undefined;
      state.active = false;
      // A crowd that was real leaves the bar where it is: the next one shall be found as soon.
      if (state.at - state.riseAt > CLUMP_HALVES * currentMs) state.peak = 0;
      this.#settle(state);
      return 'fall';
    }
    if (evidence === 0 && state.peak > 0) this.#settle(state);
    const forget = halved(span / (LONGER * usualMs));
    state.bar = threshold + (state.bar - threshold) * forget;
    if (evidence < needed) return undefined;
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

  /** False alarms grow with the number of looks: what is counted over longer spans must show less. */
  #lookFactor(spanMs: number): number {
    const { looks, threshold } = this.#options;
    return looks === 0 || spanMs <= 1000 ? 1 : 1 - (looks * log(spanMs / 1000)) / threshold;
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
    state.steep = 0;
    state.peak = 0;
  }

  /** Learns from whole blocks how clumpy a key's requests are; bursts are left out of it. */
  #disperse(state: KeyState, requests: number, mean: number, lesson: number): void {
    const { blockMs, usualMs } = this.#options;
    state.blockSeen += requests;
    state.blockMean += mean;
    state.blockTime += lesson;
    if (state.blockTime < blockMs) return;
    if (!state.active && state.blockMean > 0) {
      const deviation = state.blockSeen - state.blockMean;
      const surprise = Math.min(SURPRISE_MAX, (deviation * deviation) / state.blockMean);
      const keep = halved(state.blockTime / (LONGER * usualMs));
      state.dispersion = Math.max(1, state.dispersion * keep + (1 - keep) * surprise);
    }
    state.blockTime = 0;
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
      blockTime: 0,
      blockSeen: 0,
      blockMean: 0,
      evidence: 0,
      steep: 0,
      lost: this.#whole.lostMs,
      peak: 0,
      bar: this.#options.threshold,
      riseAt: at,
      active: false,
    };
    this.#states.set(key, state);
    return state;
  }
}

/** What is left after so many half-lives. */
const halved = (lives: number): number => exp(-Math.LN2 * lives);
