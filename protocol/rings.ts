/** Minutes, ten-minutes and hours that a series remembers: an hour, a day, a fortnight. */
export const RING_STEPS = [
  { name: 'minute', stepMs: 60_000, length: 60 },
  { name: 'ten', stepMs: 600_000, length: 144 },
  { name: 'hour', stepMs: 3_600_000, length: 336 },
] as const;
export type RingName = (typeof RING_STEPS)[number]['name'];

/** Counts of whole buckets, oldest first, and the start of the oldest, ms. */
export interface Counts {
  readonly start: number;
  readonly stepMs: number;
  readonly values: number[];
}

const CELLS = 60 + 144 + 336;
const OFFSETS = [0, 60, 204] as const;
/** Slots allocated at once: a lone PoP with an empty history pays for none. */
const CHUNK_SLOTS = 512;
/** Bytes that one series takes. */
export const RING_BYTES = CELLS * 4 + 8;

/**
 * Counts of many series at three resolutions, in slabs: a slot is 540 unsigned 32-bit counters in three rings,
 * found by number. Buckets are aligned to Unix time.
 */
export class Rings {
  readonly slotsMax: number;
  readonly #chunks: { cells: Uint32Array; heads: Float64Array }[] = [];
  readonly #free: number[] = [];
  #used = 0;

  constructor(slotsMax: number) {
    this.slotsMax = Math.max(1, Math.trunc(slotsMax));
  }

  /** Slots in use. */
  get size(): number {
    return this.#used - this.#free.length;
  }

  /** Takes an empty slot, or -1 if all are in use. */
  open(): number {
    const again = this.#free.pop();
    if (again !== undefined) return again;
    if (this.#used >= this.slotsMax) return -1;
    if (this.#used === this.#chunks.length * CHUNK_SLOTS) {
      this.#chunks.push({
        cells: new Uint32Array(CHUNK_SLOTS * CELLS),
        heads: new Float64Array(CHUNK_SLOTS),
      });
    }
    this.#used += 1;
    return this.#used - 1;
  }

  close(slot: number): void {
    const { cells, heads } = this.#chunk(slot);
    const start = (slot % CHUNK_SLOTS) * CELLS;
    cells.fill(0, start, start + CELLS);
    heads[slot % CHUNK_SLOTS] = 0;
    this.#free.push(slot);
  }

  /** Adds `count` at time `at`, ms; what is older than a ring reaches is left out of it. */
  add(slot: number, at: number, count: number): void {
    const { cells, heads } = this.#chunk(slot);
    const start = (slot % CHUNK_SLOTS) * CELLS;
    const head = heads[slot % CHUNK_SLOTS]!;
    for (let i = 0; i < RING_STEPS.length; i += 1) {
      const { stepMs, length } = RING_STEPS[i]!;
      const base = start + OFFSETS[i]!;
      const bucket = Math.floor(at / stepMs);
      const newest = Math.floor(head / stepMs);
      if (bucket <= newest - length) continue;
      if (bucket > newest) {
        const stale = Math.min(length, bucket - newest);
        for (let k = 0; k < stale; k += 1) cells[base + ((bucket - k) % length)] = 0;
      }
      const cell = base + (bucket % length);
      cells[cell] = Math.min(0xffffffff, cells[cell]! + count);
    }
    if (at > head) heads[slot % CHUNK_SLOTS] = at;
  }

  /**
   * Counts of the last complete buckets before `now`, oldest first, and the start of the oldest, ms; none before the
   * bucket that holds `from`.
   */
  read(slot: number, name: RingName, now: number, from = 0): Counts {
    const { cells, heads } = this.#chunk(slot);
    const i = RING_STEPS.findIndex((ring) => ring.name === name);
    const { stepMs, length } = RING_STEPS[i]!;
    const base = (slot % CHUNK_SLOTS) * CELLS + OFFSETS[i]!;
    const newest = Math.floor(heads[slot % CHUNK_SLOTS]! / stepMs);
    const end = Math.floor(now / stepMs);
    // The bucket of `now` is not complete, and its cell may still hold the oldest one.
    const oldest = Math.min(end, Math.max(end - length + 1, Math.floor(from / stepMs)));
    const values: number[] = [];
    for (let bucket = oldest; bucket < end; bucket += 1) {
      values.push(bucket > newest || bucket <= newest - length ? 0 : cells[base + (bucket % length)]!);
    }
    return { start: oldest * stepMs, stepMs, values };
  }

  /**
   * Fills an empty slot with a share, 0 … 1, of another's counts, by the beginning of their bucket; what rounding takes
   * from one cell the next ones get.
   */
  copy(from: number, to: number, share: (at: number) => number): void {
    const source = this.#chunk(from);
    const target = this.#chunk(to);
    const begin = (from % CHUNK_SLOTS) * CELLS;
    const start = (to % CHUNK_SLOTS) * CELLS;
    const head = source.heads[from % CHUNK_SLOTS]!;
    for (let i = 0; i < RING_STEPS.length; i += 1) {
      const { stepMs, length } = RING_STEPS[i]!;
      const newest = Math.floor(head / stepMs);
      let due = 0.5;
      for (let bucket = Math.max(0, newest - length + 1); bucket <= newest; bucket += 1) {
        const cell = OFFSETS[i]! + (bucket % length);
        due += source.cells[begin + cell]! * share(bucket * stepMs);
        const whole = Math.floor(due);
        target.cells[start + cell] = whole;
        due -= whole;
      }
    }
    target.heads[to % CHUNK_SLOTS] = head;
  }

  /** Plain data: the head and flat pairs of (cell, count) that are not zero. */
  save(slot: number): number[] {
    const { cells, heads } = this.#chunk(slot);
    const start = (slot % CHUNK_SLOTS) * CELLS;
    const out = [heads[slot % CHUNK_SLOTS]!];
    for (let cell = 0; cell < CELLS; cell += 1) {
      const count = cells[start + cell]!;
      if (count > 0) out.push(cell, count);
    }
    return out;
  }

  load(slot: number, saved: readonly number[]): void {
    const { cells, heads } = this.#chunk(slot);
    const start = (slot % CHUNK_SLOTS) * CELLS;
    heads[slot % CHUNK_SLOTS] = saved[0] ?? 0;
    for (let i = 1; i + 1 < saved.length; i += 2) {
      const cell = saved[i]!;
      if (cell >= 0 && cell < CELLS) cells[start + cell] = saved[i + 1]!;
    }
  }

  #chunk(slot: number): { cells: Uint32Array; heads: Float64Array } {
    return this.#chunks[Math.floor(slot / CHUNK_SLOTS)]!;
  }
}
