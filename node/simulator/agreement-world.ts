import type { AgreementRecords, AgreementTable, AgreementWrite } from '../../protocol/agreement-steps.ts';
import type { Random } from '../../protocol/ports.ts';
import { seededRandom } from '../../protocol/random.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Virtual time in ms: events in order of their time, equal times in order of their making. */
export class VirtualClock {
  #now = 1_000_000;
  #order = 0;
  readonly #heap: Event[] = [];

  get now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap;
    const event: Event = { at: this.#now + delayMs, order: this.#order++, run };
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** Runs what is due within the next `ms`, or until `done`. */
  run(ms: number, done: () => boolean = () => false): void {
    const end = this.#now + ms;
    while (!done()) {
      const next = this.#heap[0];
      if (!next || next.at > end) {
        this.#now = end;
        return;
      }
      this.#pop();
      this.#now = next.at;
      next.run();
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** What a disk does, drawn anew for each seed. */
export interface DiskConditions {
  readonly minMs: number;
  readonly maxMs: number;
}

/** A disk whose writes last a while, and which keeps what was complete when the power went. */
export class VirtualDisk {
  readonly #tables: Record<AgreementTable, Map<string, Uint8Array>> = {
    own: new Map(),
    body: new Map(),
    header: new Map(),
    snapshot: new Map(),
  };

  records(): AgreementRecords {
    const copy = (table: AgreementTable) => new Map(this.#tables[table]);
    return { own: copy('own'), body: copy('body'), header: copy('header'), snapshot: copy('snapshot') };
  }

  apply(writes: readonly AgreementWrite[]): void {
    for (const { table, key, value } of writes) {
      if (value) this.#tables[table].set(key, value);
      else this.#tables[table].delete(key);
    }
  }

  /** All of it is gone: a fault that only a deliberate defect may bring. */
  forget(): void {
    for (const table of Object.values(this.#tables)) table.clear();
  }
}

/** How badly the network treats what it carries, drawn anew for each seed. */
export interface NetworkConditions {
  /** Share of messages lost, 0 … 1. */
  readonly loss: number;
  readonly duplicates: number;
  /** Delay of most messages, ms. */
  readonly minMs: number;
  readonly maxMs: number;
  /** Share of messages that take up to ten times as long: these are overtaken. */
  readonly stragglers: number;
}

const PERFECT: NetworkConditions = { loss: 0, duplicates: 0, minMs: 5, maxMs: 60, stragglers: 0 };

/** Links between numbered nodes: lossy, duplicating, reordering, cut in two or dead in one direction. */
export class VirtualNetwork {
  conditions: NetworkConditions;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #holes = new Set<number>();
  readonly #slow = new Map<number, number>();
  #side: readonly number[] | undefined;
  #delivered = 0;

  constructor(clock: VirtualClock, random: Random, conditions: NetworkConditions) {
    this.#clock = clock;
    this.#random = random;
    this.conditions = conditions;
  }

  /** Messages that arrived. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Nodes on different sides do not hear each other. */
  partition(side: readonly number[]): void {
    this.#side = side;
  }

  /** What `from` sends does not reach `to`; the other direction is as it was. */
  blackHole(from: number, to: number): void {
    this.#holes.add(from * 4096 + to);
  }

  /** What `from` sends to `to` takes so much longer, until all is healed. */
  slow(from: number, to: number, extraMs: number): void {
    this.#slow.set(from * 4096 + to, extraMs);
  }

  mend(): void {
    this.#side = undefined;
    this.#holes.clear();
  }

  /** From now on nothing goes wrong. */
  heal(): void {
    this.mend();
    this.#slow.clear();
    this.conditions = PERFECT;
  }

  carry(from: number, to: number, deliver: () => void): void {
    const { loss, duplicates, minMs, maxMs, stragglers } = this.conditions;
    const random = this.#random;
    if (this.#side && this.#side[from] !== this.#side[to]) return;
    if (this.#holes.has(from * 4096 + to)) return;
    if (loss > 0 && random.float() < loss) return;
    const extraMs = this.#slow.get(from * 4096 + to) ?? 0;
    const copies = duplicates > 0 && random.float() < duplicates ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      let delay = minMs + random.float() * (maxMs - minMs) + extraMs;
      if (stragglers > 0 && random.float() < stragglers) delay *= 1 + 9 * random.float();
      this.#clock.after(delay, () => {
        this.#delivered += 1;
        deliver();
      });
    }
  }
}

/** One seed's world: time, network and dice. */
export class AgreementWorld {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly network: VirtualNetwork;

  constructor(seed: number, conditions: (world: AgreementWorld) => NetworkConditions) {
    this.random = seededRandom(seed);
    this.network = new VirtualNetwork(this.clock, seededRandom(this.random.uint32()), PERFECT);
    this.network.conditions = conditions(this);
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

  shuffled<T>(list: readonly T[]): T[] {
    const left = [...list];
    const order: T[] = [];
    while (left.length > 0) order.push(...left.splice(this.between(0, left.length), 1));
    return order;
  }
}
