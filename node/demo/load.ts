import type { Random } from '../../protocol/ports.ts';
import type { DemoFile } from './content.ts';

/** One request of a client, in demand time. */
export interface LoadRequest {
  /** Unix ms of demand time. */
  readonly at: number;
  /** Position in `PLACES`. */
  readonly region: number;
  /** Number of the client within its region. */
  readonly client: number;
  readonly path: string;
}

/** What the clients will ask for, and what the origin has. */
export interface Load {
  readonly name: 'zipf' | 'null' | 'log';
  /** One sentence for the report. */
  readonly description: string;
  /** Demand time (Unix ms) at which it begins and ends. */
  readonly start: number;
  readonly end: number;
  /** In order of `at`. */
  readonly requests: readonly LoadRequest[];
  readonly files: ReadonlyMap<string, DemoFile>;
  /** Log lines that were left out, by reason; empty for generated loads. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Host name under which the origin's files are asked for. */
export const DEMO_HOST = 'www.demo.test';

/** Standard normal deviate (Box and Muller 1958). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float());
}

/** Object size in whole bytes: log-normal about `median`, between 64 bytes and `cap`. */
export function objectSize(random: Random, median: number, sigma: number, cap: number): number {
  return Math.round(Math.min(cap, Math.max(64, median * Math.exp(sigma * normal(random)))));
}

/** Poisson deviate: Knuth's product for small means, the rounded normal above, where the two no longer differ. */
export function poisson(random: Random, mean: number): number {
  if (mean <= 0) return 0;
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)));
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random.float(); product > limit; product *= random.float()) count += 1;
  return count;
}

/** Exponential deviate with the given mean. */
export const exponential = (random: Random, mean: number): number => -mean * Math.log(1 - random.float());

/** A whole number of 0 … `below` − 1. */
export const below = (random: Random, limit: number): number => Math.floor(random.float() * limit);

/** Draws positions in proportion to their weights, by binary search in the running sum. */
export class WeightedChoice {
  readonly #sums: Float64Array;

  constructor(weights: ArrayLike<number>) {
    this.#sums = new Float64Array(weights.length);
    let sum = 0;
    for (let i = 0; i < weights.length; i += 1) {
      sum += weights[i]!;
      this.#sums[i] = sum;
    }
  }

  /** A position, or −1 if every weight is zero. */
  draw(random: Random): number {
    const total = this.#sums.at(-1) ?? 0;
    if (total <= 0) return -1;
    const target = random.float() * total;
    let low = 0;
    let high = this.#sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sums[middle]! > target) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
