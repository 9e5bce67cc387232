import type { Clock, Random } from '../../protocol/ports.ts';

/** A lost part of a connection is sent again after that time, then after twice as long, ms. */
const RESENT_MS = 200;

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

export const PERFECT: NetworkConditions = { loss: 0, duplicates: 0, minMs: 5, maxMs: 60, stragglers: 0 };

/** Links between numbered nodes: lossy, duplicating, reordering, cut in two or dead in one direction. */
export class VirtualNetwork {
  conditions: NetworkConditions;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #random: Random;
  readonly #holes = new Set<number>();
  readonly #slow = new Map<number, number>();
  #side: readonly number[] | undefined;
  #delivered = 0;

  constructor(clock: Pick<Clock, 'after'>, random: Random, conditions: NetworkConditions) {
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

  /** What a measurement would show, ms. */
  roundTripMs(a: number, b: number): number {
    const { minMs, maxMs } = this.conditions;
    return minMs + maxMs + (this.#slow.get(a * 4096 + b) ?? 0) + (this.#slow.get(b * 4096 + a) ?? 0);
  }

  /** Whether nothing that `from` sends reaches `to`. */
  severed(from: number, to: number): boolean {
    return (this.#side && this.#side[from] !== this.#side[to]) || this.#holes.has(from * 4096 + to);
  }

  /** A datagram: it may be lost, or come twice. */
  carry(from: number, to: number, deliver: () => void): void {
    const { loss, duplicates } = this.conditions;
    const random = this.#random;
    if (this.severed(from, to)) return;
    if (loss > 0 && random.float() < loss) return;
    const copies = duplicates > 0 && random.float() < duplicates ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) this.#after(this.#delay(from, to), deliver);
  }

  /** Part of a connection: what is lost is sent again, so that loss costs time. */
  stream(from: number, to: number, deliver: () => void): void {
    if (this.severed(from, to)) return;
    let delay = this.#delay(from, to);
    const { loss } = this.conditions;
    for (let again = RESENT_MS; loss > 0 && this.#random.float() < loss; again *= 2) delay += again;
    this.#after(delay, deliver);
  }

  #delay(from: number, to: number): number {
    const { minMs, maxMs, stragglers } = this.conditions;
    const random = this.#random;
    const delay = minMs + random.float() * (maxMs - minMs) + (this.#slow.get(from * 4096 + to) ?? 0);
    return stragglers > 0 && random.float() < stragglers ? delay * (1 + 9 * random.float()) : delay;
  }

  #after(delay: number, deliver: () => void): void {
    this.#clock.after(delay, () => {
      this.#delivered += 1;
      deliver();
    });
  }
}
