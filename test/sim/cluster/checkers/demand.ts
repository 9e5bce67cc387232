import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import type { DecidedState } from '../../../../protocol/decided-state.ts';
import type { Key16 } from '../../../../protocol/ids.ts';
import { Broken, type Checker } from '../facts.ts';

/** What is decided lies within what honest PoPs have seen: no key that somebody made up, no demand beyond all bounds. */
export class DemandChecker implements Checker {
  readonly name = 'demand';
  readonly #keys: ReadonlySet<Key16>;
  readonly #most: number;
  /** Heights with demand that was decided. */
  decided = 0;

  /** `most`: requests, thousandths, that no honest PoP can ever expect of one resource in one region. */
  constructor(keys: Iterable<Key16>, most: number) {
    this.#keys = new Set(keys);
    this.#most = most;
  }

  stands(_pop: SimulatedPop, { height, vector }: DecidedState): void {
    if (vector.length > 0) this.decided += 1;
    for (const { key16, cells } of vector) {
      if (!this.#keys.has(key16))
        throw new Broken(this.name, `height ${height} lists a key that nobody asked for`);
      for (const { expected } of cells)
        if (expected > this.#most)
          throw new Broken(this.name, `height ${height} expects ${expected} thousandths of ${key16}`);
    }
  }
}
