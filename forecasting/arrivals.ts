import type { RegionId } from '../protocol/ids.ts';
import { exp, log, pow } from './elementary.ts';

/** Parts of the horizon at which an open sample is judged; what has not come by then counts as "not yet". */
const SLICES = [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1] as const;
/**
 * First requests thin out as a pair stays unasked: the chance grows with (time / horizon)^SHAPE. A Weibull shape
 * below one, as mixtures of rates have.
 */
const SHAPE = 0.6;
/** Open samples at most; a sample is some 200 bytes. */
const SAMPLES_MAX = 20_000;
/** Open samples of one pair. */
const PER_PAIR_MAX = 6;
/** Prior variance of a weight: small, so that a model a few hours old claims little. */
const PRIOR_VARIANCE = 0.02;
/** Largest log-ratio to the base rate that the model may claim. */
const CLAIM_MAX = 6;
/** Base rates and skill forget with a half-life of this many matured samples. */
const MEMORY = 20_000;
/** Outcomes after which the measured shape outweighs the assumed one. */
const SHAPE_TRUST = 50;
/** Outcomes after which a lesson has faded to a third, and how often that is seen to. */
const FORGET = 100_000;
const LOOSEN_EVERY = 256;
const BASE_MEMORY = 2_000;
/** Pairs that must be at risk for an arrival among them to say anything. */
const RISK_MIN = 8;
/** Evidence beyond this is not kept, so that lost skill shows soon. */
const GAIN_MAX = 100;
/** Regions whose base rate is kept apart. */
const REGIONS_MAX = 4096;

interface Sample {
  readonly region: RegionId;
  readonly at: number;
  readonly x: Float64Array;
  slice: number;
  /** When it came; Infinity while it has not. */
  came: number;
}

/** How much better than the base rate the model was, on outcomes that it had not seen. */
export interface Skill {
  /** Partial log-likelihood over that of equal chances, nats; never below 0 nor above `GAIN_MAX`. */
  readonly gain: number;
  /** First requests that it was measured on. */
  readonly arrivals: number;
  /** Matured outcomes that the weights were learned from. */
  readonly outcomes: number;
}

/**
 * Whether something will be asked for here for the first time: Poisson regression on the log of the rate relative
 * to the region's base rate, learned online by an extended Kalman filter (Fahrmeir 1992), so that every outcome is
 * used once and weights carry their uncertainty.
 *
 * A sample is a pair's features at one moment and what came of it: an arrival, or none by a sixteenth, a quarter
 * and all of the horizon. What has not matured is censored: it counts for the time that it was watched, no more.
 * Deterministic, and bounded by `SAMPLES_MAX`.
 */
export class Arrivals {
  readonly horizonMs: number;
  readonly #n: number;
  #weights: Float64Array;
  #variance: Float64Array;
  readonly #scratch: Float64Array;
  readonly #open = new Map<string, Sample[]>();
  readonly #queues: [Sample[], number][] = SLICES.map(() => [[], 0]);
  readonly #base = new Map<RegionId, { arrivals: number; exposure: number }>();
  readonly #all = { arrivals: 0, exposure: 0 };
  readonly #shape = SLICES.map(() => ({ arrivals: 0, watched: 0 }));
  readonly #risk = new Map<RegionId, { pairs: number; ratios: number }>();
  readonly #claims = new Map<string, { risk: { pairs: number; ratios: number }; ratio: number }>();
  #count = 0;
  #gain = 0;
  #arrivals = 0;
  #outcomes = 0;

  constructor(features: number, horizonMs: number) {
    this.#n = features;
    this.horizonMs = horizonMs;
    this.#weights = new Float64Array(features);
    this.#variance = new Float64Array(features * features);
    for (let i = 0; i < features; i += 1) this.#variance[i * features + i] = PRIOR_VARIANCE;
    this.#scratch = new Float64Array(features);
  }

  get weights(): readonly number[] {
    return [...this.#weights];
  }

  get skill(): Skill {
    return { gain: this.#gain, arrivals: this.#arrivals, outcomes: this.#outcomes };
  }

  get openSamples(): number {
    return this.#count;
  }

  /** Expected first requests of an average pair in this region within the horizon. */
  baseOf(region: RegionId): number {
    const all = (this.#all.arrivals + 0.1) / (this.#all.exposure + 1);
    const own = this.#base.get(region);
    if (own === undefined) return all;
    // Regions with few outcomes lean on all.
    return (own.arrivals + 4 * all) / (own.exposure + 4);
  }

  /** Expected first requests of a pair within the horizon. */
  expect(x: Float64Array, region: RegionId): number {
    return exp(this.#claim(x)) * this.baseOf(region);
  }

  /** Begins to watch a pair; left out when there is no room. `x` is copied. */
  watch(pair: string, region: RegionId, x: Float64Array, at: number): void {
    const open = this.#open.get(pair);
    if (this.#count >= SAMPLES_MAX || (open !== undefined && open.length >= PER_PAIR_MAX)) return;
    const sample = { region, at, x: x.slice(), slice: 0, came: Number.POSITIVE_INFINITY };
    this.#claimed(pair, region, exp(this.#claim(x)));
    if (open === undefined) this.#open.set(pair, [sample]);
    else open.push(sample);
    this.#queues[0]![0].push(sample);
    this.#count += 1;
  }

  watched(pair: string): number {
    return this.#open.get(pair)?.length ?? 0;
  }

  /** The pair was asked for: every open sample of it ends. */
  arrived(pair: string, at: number): void {
    const open = this.#open.get(pair);
    if (open === undefined) return;
    // They are judged when the part of the horizon ends: were arrivals counted at once and absences later, the
    // model would begin by seeing nothing but arrivals.
    this.#open.delete(pair);
    this.#score(pair);
    for (const sample of open) sample.came = at;
  }

  /** Judges samples whose next part of the horizon has passed by `now`. */
  mature(now: number): void {
    for (let slice = 0; slice < SLICES.length; slice += 1) {
      const queue = this.#queues[slice]!;
      const [samples] = queue;
      const due = SLICES[slice]! * this.horizonMs;
      let at = queue[1];
      for (; at < samples.length; at += 1) {
        const sample = samples[at]!;
        if (sample.slice > slice) continue;
        if (sample.at + due > now) break;
        const begun = slice === 0 ? 0 : SLICES[slice - 1]! * this.horizonMs;
        const came = sample.came <= sample.at + due;
        const watched = came ? (sample.came - sample.at - begun) / (due - begun) : 1;
        sample.slice = came ? SLICES.length : slice + 1;
        this.#learn(sample, slice, Math.max(0.1, watched), came ? 1 : 0);
        if (sample.slice < SLICES.length) this.#queues[slice + 1]![0].push(sample);
        else this.#count -= 1;
      }
      queue[1] = at;
      if (at > 4096) {
        queue[0] = samples.slice(at);
        queue[1] = 0;
      }
    }
    for (const [pair, open] of this.#open) {
      if (open[0]!.slice < SLICES.length) continue;
      const left = open.filter((sample) => sample.slice < SLICES.length);
      if (left.length === 0) {
        this.#open.delete(pair);
        this.#unclaimed(pair);
      } else this.#open.set(pair, left);
    }
  }

  #claimed(pair: string, region: RegionId, ratio: number): void {
    this.#unclaimed(pair);
    let risk = this.#risk.get(region);
    if (risk === undefined) {
      risk = { pairs: 0, ratios: 0 };
      this.#risk.set(region, risk);
    }
    risk.pairs += 1;
    risk.ratios += ratio;
    this.#claims.set(pair, { risk, ratio });
  }

  #unclaimed(pair: string): void {
    const claim = this.#claims.get(pair);
    if (claim === undefined) return;
    this.#claims.delete(pair);
    claim.risk.pairs -= 1;
    claim.risk.ratios -= claim.ratio;
  }

  /**
   * One term of the partial likelihood (Cox 1975): the claim for the pair that came against the mean claim for all
   * pairs of its region that might have come. Were there nothing to know, each were as likely as the other, the
   * product of these terms would be a martingale of mean one, and by Ville's inequality it would exceed e^g with a
   * chance of e^-g at most, however long one waits.
   */
  #score(pair: string): void {
    const claim = this.#claims.get(pair);
    if (claim === undefined) return;
    const { risk, ratio } = claim;
    if (risk.pairs >= RISK_MIN) {
      const term = log(ratio / Math.max(1e-9, risk.ratios / risk.pairs));
      this.#gain = Math.max(0, Math.min(GAIN_MAX, this.#gain + term));
      this.#arrivals += 1;
    }
    this.#unclaimed(pair);
  }

  /** Plain data for persistence; open samples are not kept. */
  snapshot(): unknown {
    return {
      features: this.#n,
      weights: [...this.#weights],
      variance: [...this.#variance],
      base: [...this.#base].map(([region, { arrivals, exposure }]) => [region, arrivals, exposure]),
      all: [this.#all.arrivals, this.#all.exposure],
      shape: this.#shape.map(({ arrivals, watched }) => [arrivals, watched]),
      skill: [this.#gain, this.#arrivals, this.#outcomes],
    };
  }

  /** Takes back a snapshot of a model with the same features; any other is left out, as is a damaged one. */
  restore(saved: unknown): void {
    const s = saved as Record<string, unknown> | null | undefined;
    if (s === null || typeof s !== 'object' || s.features !== this.#n) return;
    const numbers = (value: unknown, length: number): number[] | undefined =>
      Array.isArray(value) && value.length === length && value.every((one) => Number.isFinite(one))
        ? (value as number[])
        : undefined;
    const weights = numbers(s.weights, this.#n);
    const variance = numbers(s.variance, this.#n * this.#n);
    const all = numbers(s.all, 2);
    const skill = numbers(s.skill, 3);
    if (!weights || !variance || !all || !skill) return;
    this.#weights = Float64Array.from(weights);
    this.#variance = Float64Array.from(variance);
    [this.#all.arrivals, this.#all.exposure] = all as [number, number];
    [this.#gain, this.#arrivals, this.#outcomes] = skill as [number, number, number];
    for (const row of Array.isArray(s.shape) ? s.shape.entries() : []) {
      const pair = numbers(row[1], 2);
      const shape = this.#shape[row[0]];
      if (pair && shape) [shape.arrivals, shape.watched] = pair as [number, number];
    }
    for (const row of Array.isArray(s.base) ? s.base : []) {
      if (!Array.isArray(row)) continue;
      const pair = numbers(row.slice(1), 2);
      if (pair && typeof row[0] === 'string') {
        this.#base.set(row[0] as RegionId, { arrivals: pair[0]!, exposure: pair[1]! });
      }
    }
  }

  /** The part of the horizon's first requests that falls into a slice, from what has matured. */
  #shareOf(slice: number): number {
    let all = 0;
    let own = 0;
    for (let i = 0; i < SLICES.length; i += 1) {
      const { arrivals, watched } = this.#shape[i]!;
      const prior = pow(SLICES[i]!, SHAPE) - (i === 0 ? 0 : pow(SLICES[i - 1]!, SHAPE));
      const rate = (arrivals + SHAPE_TRUST * prior) / (watched + SHAPE_TRUST);
      all += rate;
      if (i === slice) own = rate;
    }
    return own / all;
  }

  #claim(x: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < this.#n; i += 1) sum += this.#weights[i]! * x[i]!;
    return Math.max(-CLAIM_MAX, Math.min(CLAIM_MAX, sum));
  }

  /**
   * Lets old lessons fade: the filter's variance grows again, up to the prior's, so that weights keep moving however
   * long the model has lived.
   */
  #loosen(): void {
    const n = this.#n;
    const v = this.#variance;
    const grown = 1 + (LOOSEN_EVERY * 2) / FORGET;
    for (let i = 0; i < n; i += 1) {
      const own = Math.sqrt(Math.max(1, Math.min(grown, PRIOR_VARIANCE / Math.max(1e-12, v[i * n + i]!))));
      for (let j = 0; j < n; j += 1) {
        v[i * n + j] = v[i * n + j]! * own;
        v[j * n + i] = v[j * n + i]! * own;
      }
    }
  }

  #learn(sample: Sample, slice: number, watched: number, came: 0 | 1): void {
    const { x, region } = sample;
    const exposure = watched * this.#shareOf(slice);
    const keep = 1 - Math.LN2 / MEMORY;
    this.#outcomes += 1;
    if (this.#outcomes % LOOSEN_EVERY === 0) this.#loosen();
    const base = this.baseOf(region);
    const mean = exp(this.#claim(x)) * base * exposure;
    const n = this.#n;
    const v = this.#variance;
    const vx = this.#scratch;
    let spread = 0;
    for (let i = 0; i < n; i += 1) {
      let sum = 0;
      const row = i * n;
      for (let j = 0; j < n; j += 1) sum += v[row + j]! * x[j]!;
      vx[i] = sum;
      spread += sum * x[i]!;
    }
    const shrink = mean / (1 + mean * spread);
    for (let i = 0; i < n; i += 1) {
      const row = i * n;
      const scaled = shrink * vx[i]!;
      for (let j = 0; j < n; j += 1) v[row + j] = v[row + j]! - scaled * vx[j]!;
    }
    // After the update of the variance its product with x is vx / (1 + mean · spread).
    const step = (came - mean) / (1 + mean * spread);
    for (let i = 0; i < n; i += 1) this.#weights[i] = this.#weights[i]! + step * vx[i]!;

    const shape = this.#shape[slice]!;
    shape.arrivals = shape.arrivals * keep + came;
    shape.watched = shape.watched * keep + watched;
    const keepBase = 1 - Math.LN2 / BASE_MEMORY;
    this.#all.arrivals = this.#all.arrivals * keepBase + came;
    this.#all.exposure = this.#all.exposure * keepBase + exposure;
    let own = this.#base.get(region);
    if (own === undefined) {
      if (this.#base.size >= REGIONS_MAX) return;
      own = { arrivals: 0, exposure: 0 };
      this.#base.set(region, own);
    }
    own.arrivals = own.arrivals * keepBase + came;
    own.exposure = own.exposure * keepBase + exposure;
  }
}
