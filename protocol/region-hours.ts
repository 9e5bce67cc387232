import type { RegionId } from './ids.ts';

const HOURS = 24;
const HOUR_MS = 3_600_000;
const DAY_MS = HOURS * HOUR_MS;
/** What is left of a day's counts after another, so that summer time and new habits are followed. */
const DAY_KEPT = 0.95;
/** A region's own hours count as much as those of all regions after so many requests. */
const LEAN = 500;
/** What a region may be made more or less than its usual share by. */
const FACTOR_MAX = 8;
/** Regions told apart; a charter has fewer. */
const REGIONS_MAX = 1_024;

/**
 * At which hours of the day each region asks, from its own requests: so that time zones and habits need no table.
 * Demand of a resource that only its total tells of is split between regions by it: the share of a region at an hour
 * is its usual one, times how much more of its day than of everyone's falls into that hour (Bayes).
 */
export class RegionHours {
  readonly #regions = new Map<RegionId, Float64Array>();
  readonly #all = new Float64Array(HOURS + 1);
  #day = Number.NEGATIVE_INFINITY;
  /** By region and hour, until the next request: many resources are split at once. */
  #factors = new Map<RegionId, Float64Array>();

  /** `count` requests of a region in the hour that holds `at`, ms of demand time. */
  add(region: RegionId, at: number, count: number): void {
    let own = this.#regions.get(region);
    if (own === undefined) {
      if (this.#regions.size >= REGIONS_MAX) return;
      own = new Float64Array(HOURS + 1);
      this.#regions.set(region, own);
    }
    this.#fade(at);
    if (this.#factors.size > 0) this.#factors = new Map();
    const hour = hourOf(at);
    for (const row of [own, this.#all]) {
      row[hour]! += count;
      row[HOURS]! += count;
    }
  }

  /** Adds what a ring of hours of one region holds. */
  replay(
    region: RegionId,
    { start, stepMs, values }: { start: number; stepMs: number; values: number[] },
  ): void {
    values.forEach((count, i) => {
      if (count > 0) this.add(region, start + i * stepMs, count);
    });
  }

  /**
   * By hour of the day, by what factor the share of `region` in the requests of all `parts` differs from its usual one
   * there, which is its total's.
   */
  leans(
    parts: readonly { readonly region: RegionId; readonly total: number }[],
    region: RegionId,
  ): Float64Array {
    const leans = new Float64Array(HOURS);
    let usual = 0;
    for (const { region: part, total } of parts) {
      const factors = this.#factorsOf(part);
      for (let hour = 0; hour < HOURS; hour += 1) leans[hour]! += total * factors[hour]!;
      usual += total;
    }
    const own = this.#factorsOf(region);
    for (let hour = 0; hour < HOURS; hour += 1)
      leans[hour] = leans[hour]! > 0 ? (own[hour]! * usual) / leans[hour]! : 1;
    return leans;
  }

  #factorsOf(region: RegionId): Float64Array {
    const known = this.#factors.get(region);
    if (known) return known;
    const factors = Float64Array.from({ length: HOURS }, (_, hour) => this.#factor(region, hour));
    if (this.#regions.has(region)) this.#factors.set(region, factors);
    return factors;
  }

  #factor(region: RegionId, hour: number): number {
    const own = this.#regions.get(region);
    const all = this.#all[hour]! / this.#all[HOURS]!;
    if (own === undefined || !(all > 0)) return 1;
    const share = (own[hour]! + LEAN * all) / (own[HOURS]! + LEAN);
    return Math.max(1 / FACTOR_MAX, Math.min(FACTOR_MAX, share / all));
  }

  #fade(at: number): void {
    const day = Math.floor(at / DAY_MS);
    if (day <= this.#day) return;
    if (this.#day > Number.NEGATIVE_INFINITY) {
      for (const row of [...this.#regions.values(), this.#all]) {
        for (let i = 0; i <= HOURS; i += 1) row[i]! *= DAY_KEPT;
      }
    }
    this.#day = day;
  }
}

/** Hour of the day (UTC), 0 … 23, that holds `at`, ms. */
export const hourOf = (at: number): number => Math.floor((at - DAY_MS * Math.floor(at / DAY_MS)) / HOUR_MS);
