import type { Key16, RegionId } from '../protocol/ids.ts';
import type { Summary } from '../protocol/summary.ts';

/** Windows kept: the one that is asked about ended two windows ago, and decisions may be late. */
const WINDOWS_KEPT = 6;
/** (resource, region, window) counts kept, some 50 bytes each: 20,000 resources in two regions for six windows. */
const CELLS_MAX = 262_144;
/** Distinct windows kept: a few of each PoP of a large cluster whose clocks all differ. */
const SPANS_MAX = 2_048;

interface Span {
  readonly from: number;
  readonly to: number;
  cells: number;
  readonly counts: Map<RegionId, Map<Key16, number>>;
}

/**
 * What all PoPs together were asked for of late, window by window, so that a forecast can be held against what came.
 * Windows of PoPs whose clocks differ overlap; a count is spread evenly over its window. Bounded: the oldest give way.
 */
export class RecentDemand {
  /** By beginning and end: aligned windows of all PoPs are one. */
  readonly #spans = new Map<string, Span>();
  #cells = 0;
  #asked = { from: Number.NaN, to: Number.NaN };
  /** What `#asked` comes to, thousandths, until another window is folded. */
  #sums = new Map<RegionId, Map<Key16, number>>();

  /** Counts kept. */
  get size(): number {
    return this.#cells;
  }

  /** Adds a window. That it is newer than the last of its PoP is the caller's to know. */
  fold({ from, to, resources }: Summary): void {
    if (!(to > from)) return;
    this.#asked = { from: Number.NaN, to: Number.NaN };
    const name = `${from} ${to}`;
    let span = this.#spans.get(name);
    if (span === undefined) {
      if (this.#spans.size >= SPANS_MAX) this.#dropOldest();
      span = { from, to, cells: 0, counts: new Map() };
      this.#spans.set(name, span);
    }
    for (const { key16, regions } of resources) {
      for (const { region, count } of regions) {
        let counts = span.counts.get(region);
        if (counts === undefined) {
          counts = new Map();
          span.counts.set(region, counts);
        }
        const known = counts.get(key16);
        counts.set(key16, (known ?? 0) + count);
        if (known !== undefined) continue;
        span.cells += 1;
        this.#cells += 1;
      }
    }
    while (this.#cells > CELLS_MAX && this.#spans.size > 1) this.#dropOldest();
  }

  /** Forgets what ended too long before `now`, demand ms, to be asked about. */
  forget(now: number, windowMs: number): void {
    for (const [name, span] of this.#spans) {
      const length = Math.max(windowMs, span.to - span.from);
      if (span.to <= now - WINDOWS_KEPT * length) this.#drop(name, span);
    }
  }

  /** Requests of all PoPs from demand time `from`, ms, for `lengthMs`; thousandths. */
  observed(key16: Key16, region: RegionId, from: number, lengthMs: number): number {
    const to = from + lengthMs;
    if (this.#asked.from !== from || this.#asked.to !== to) this.#sum(from, to);
    return Math.round(this.#sums.get(region)?.get(key16) ?? 0);
  }

  /** All counts of one window at once: each of its keys is asked about in turn. */
  #sum(from: number, to: number): void {
    this.#asked = { from, to };
    this.#sums = new Map();
    for (const span of this.#spans.values()) {
      const overlap = Math.min(to, span.to) - Math.max(from, span.from);
      if (overlap <= 0) continue;
      const share = (1000 * overlap) / (span.to - span.from);
      for (const [region, counts] of span.counts) {
        let sums = this.#sums.get(region);
        if (sums === undefined) {
          sums = new Map();
          this.#sums.set(region, sums);
        }
        for (const [key16, count] of counts) sums.set(key16, (sums.get(key16) ?? 0) + count * share);
      }
    }
  }

  #dropOldest(): void {
    let oldest: [string, Span] | undefined;
    for (const one of this.#spans) if (oldest === undefined || one[1].to < oldest[1].to) oldest = one;
    if (oldest !== undefined) this.#drop(...oldest);
  }

  #drop(name: string, span: Span): void {
    this.#spans.delete(name);
    this.#cells -= span.cells;
    this.#asked = { from: Number.NaN, to: Number.NaN };
  }
}
