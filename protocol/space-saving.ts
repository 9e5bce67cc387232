/** One counted key: `count - error <= true weight <= count`. */
export interface Counted<V> {
  readonly key: string;
  count: number;
  error: number;
  /** What the owner attached; made afresh when the slot changes hands. */
  data: V;
}

/**
 * Heavy hitters in bounded space: Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient computation of
 * frequent and top-k elements in data streams", ICDT 2005).
 *
 * With `capacity` m and total weight N: an estimate is never too low and at most `error <= N / m` too high, and
 * every key whose true weight exceeds N / m is present. An offer costs O(log m).
 */
export class SpaceSaving<V> {
  readonly capacity: number;
  readonly #fresh: () => V;
  readonly #heap: Counted<V>[] = [];
  readonly #position = new Map<string, number>();
  #total = 0;

  constructor(capacity: number, fresh: () => V) {
    this.capacity = Math.max(1, Math.trunc(capacity));
    this.#fresh = fresh;
  }

  /** Total weight offered. */
  get total(): number {
    return this.#total;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Counts `weight` for `key` and returns its entry; the least counted key gives way when all slots are taken. */
  offer(key: string, weight = 1): Counted<V> {
    this.#total += weight;
    const at = this.#position.get(key);
    if (at !== undefined) {
      const entry = this.#heap[at]!;
      entry.count += weight;
      this.#sink(at);
      return entry;
    }
    if (this.#heap.length < this.capacity) {
      const entry = { key, count: weight, error: 0, data: this.#fresh() };
      this.#heap.push(entry);
      this.#position.set(key, this.#heap.length - 1);
      this.#rise(this.#heap.length - 1);
      return entry;
    }
    const least = this.#heap[0]!;
    this.#position.delete(least.key);
    const entry = { key, count: least.count + weight, error: least.count, data: this.#fresh() };
    this.#heap[0] = entry;
    this.#position.set(key, 0);
    this.#sink(0);
    return entry;
  }

  get(key: string): Counted<V> | undefined {
    const at = this.#position.get(key);
    return at === undefined ? undefined : this.#heap[at];
  }

  /** All entries, the most counted first; ties in key order, so that the answer depends on the input alone. */
  entries(): Counted<V>[] {
    return [...this.#heap].sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  clear(): void {
    this.#heap.length = 0;
    this.#position.clear();
    this.#total = 0;
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap;
    const first = heap[a]!;
    const second = heap[b]!;
    heap[a] = second;
    heap[b] = first;
    this.#position.set(second.key, a);
    this.#position.set(first.key, b);
  }

  #rise(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#heap[parent]!.count <= this.#heap[at]!.count) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(from: number): void {
    let at = from;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= this.#heap.length) return;
      const right = left + 1;
      const least =
        right < this.#heap.length && this.#heap[right]!.count < this.#heap[left]!.count ? right : left;
      if (this.#heap[at]!.count <= this.#heap[least]!.count) return;
      this.#swap(at, least);
      at = least;
    }
  }
}
