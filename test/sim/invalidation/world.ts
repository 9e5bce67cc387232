import type { Random } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Virtual time: events in order of their time, equal times in order of their making. */
export class World {
  readonly random: Random;
  #now = 1_000_000;
  #order = 0;
  readonly #heap: Event[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  get now(): number {
    return this.#now;
  }

  chance(probability: number): boolean {
    return this.random.float() < probability;
  }

  /** Uniform, whole, from `low` to below `high`. */
  between(low: number, high: number): number {
    return low + Math.floor(this.random.float() * (high - low));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.between(0, list.length)]!;
  }

  after(delayMs: number, run: () => void): void {
    const event: Event = { at: this.#now + delayMs, order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(heap[at]!, heap[parent]!)) break;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  /** Runs all that is due within the next `ms`. */
  run(ms: number): void {
    const end = this.#now + ms;
    while (this.#heap.length > 0 && this.#heap[0]!.at <= end) {
      const event = this.#pop();
      this.#now = event.at;
      event.run();
    }
    this.#now = end;
  }

  #pop(): Event {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      let at = 0;
      for (;;) {
        const left = 2 * at + 1;
        let least = at;
        if (left < heap.length && before(heap[left]!, heap[least]!)) least = left;
        if (left + 1 < heap.length && before(heap[left + 1]!, heap[least]!)) least = left + 1;
        if (least === at) break;
        [heap[at], heap[least]] = [heap[least]!, heap[at]!];
        at = least;
      }
    }
    return first;
  }
}

const before = (a: Event, b: Event) => a.at < b.at || (a.at === b.at && a.order < b.order);

/** A disk that keeps what was synced, and of what was not, after a crash, some beginning. */
export class Disk {
  readonly #world: World;
  readonly #rows = new Map<string, unknown>();
  #inFlight: (() => void)[] = [];
  #freeAt = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Writes in order; `done` once this and all before are synced. */
  write(puts: ReadonlyMap<string, unknown>, done: () => void): void {
    const apply = () => {
      for (const [key, value] of puts) {
        if (value === undefined) this.#rows.delete(key);
        else this.#rows.set(key, value);
      }
    };
    const queue = this.#inFlight;
    queue.push(apply);
    // A busy disk now and then makes others wait for seconds.
    const takesMs = this.#world.chance(0.05) ? this.#world.between(500, 2_500) : this.#world.between(1, 40);
    this.#freeAt = Math.max(this.#freeAt, this.#world.now) + takesMs;
    this.#world.after(this.#freeAt - this.#world.now, () => {
      // A crash since has thrown this queue away.
      if (this.#inFlight !== queue) return;
      queue.shift()!();
      done();
    });
  }

  crash(): void {
    const kept = this.#world.between(0, this.#inFlight.length + 1);
    for (const apply of this.#inFlight.slice(0, kept)) apply();
    this.#inFlight = [];
    this.#freeAt = 0;
  }

  *entries<T>(prefix: string): Iterable<[string, T]> {
    for (const [key, value] of this.#rows)
      if (key.startsWith(prefix)) yield [key.slice(prefix.length), value as T];
  }
}
