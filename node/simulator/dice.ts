import type { Random } from '../../protocol/ports.ts';
import { seededRandom } from '../../protocol/random.ts';

/** Draws from one seed. */
export class Dice {
  readonly random: Random;

  constructor(seed: number) {
    this.random = seededRandom(seed);
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

  /** Further dice, whose draws do not disturb these. */
  apart(): Dice {
    return new Dice(this.random.uint32());
  }
}
