import type { Key16, RegionId } from '../protocol/ids.ts';
import type { Summary } from '../protocol/summary.ts';
import type { BurstDetector } from './bursts.ts';

/** A resource whose demand in a region rises. */
export interface Trend {
  readonly key16: Key16;
  readonly region: RegionId;
  /** Demand time at which it was noticed, ms. */
  readonly since: number;
  /** Requests a minute in the newest window. */
  readonly perMinute: number;
  /** … that its history before the rise would have let one expect. */
  readonly usualPerMinute: number;
  /** … that the last forecast expected of that window. */
  readonly expectedPerMinute: number;
}

/** Resources that rise at once; a longer list helps nobody. */
const TRENDS_MAX = 1_000;

/** Requests expected in a window of a (resource, region), and its usual requests a minute. */
export interface TrendBase {
  expected(key16: Key16, region: RegionId): number;
  usualPerMinute(key16: Key16, region: RegionId): number;
}

/** Rising resources, found on the counts of windows held against what was forecast for them. */
export class Trends {
  readonly #bursts: BurstDetector;
  readonly #base: TrendBase;
  readonly #rising = new Map<string, Trend>();

  constructor(bursts: BurstDetector, base: TrendBase) {
    this.#bursts = bursts;
    this.#base = base;
  }

  /** Takes in a window; returns what began to rise with it. */
  fold({ resources, from, to }: Pick<Summary, 'resources' | 'from' | 'to'>): Trend[] {
    const span = Math.max(1, to - from);
    const risen: Trend[] = [];
    for (const { key16, regions } of resources) {
      for (const { region, count } of regions) {
        const id = key16 + region;
        const expected = this.#base.expected(key16, region);
        const turn = this.#bursts.step(id, to, count, expected, span);
        const known = this.#rising.get(id);
        if (turn === 'fall') this.#rising.delete(id);
        else if (turn === 'rise' || known) {
          const trend: Trend = {
            key16,
            region,
            since: known?.since ?? to,
            perMinute: (count * 60_000) / span,
            usualPerMinute: known?.usualPerMinute ?? this.#base.usualPerMinute(key16, region),
            expectedPerMinute: (expected * 60_000) / span,
          };
          this.#rising.set(id, trend);
          if (!known) this.#bound();
          if (turn === 'rise') risen.push(trend);
        }
      }
    }
    return risen;
  }

  /** The steepest first. */
  list(limit: number, region?: RegionId): readonly Trend[] {
    const rise = (trend: Trend) => trend.perMinute - trend.usualPerMinute;
    return [...this.#rising.values()]
      .filter((trend) => region === undefined || trend.region === region)
      .filter((trend) => this.#bursts.active(trend.key16 + trend.region))
      .sort((a, b) => rise(b) - rise(a) || (a.key16 < b.key16 ? -1 : 1))
      .slice(0, limit);
  }

  #bound(): void {
    if (this.#rising.size <= TRENDS_MAX) return;
    const oldest = this.#rising.keys().next().value;
    if (oldest !== undefined) this.#rising.delete(oldest);
  }
}
