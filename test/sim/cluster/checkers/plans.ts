import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import { Broken, type Checker, type Told } from '../facts.ts';

/** All PoPs make the same plan of one decision. */
export class PlanChecker implements Checker {
  readonly name = 'plans';
  readonly #plans = new Map<number, string>();
  /** Heights of which a plan with something in it was made. */
  readonly hashes = new Set<string>();

  told(pop: SimulatedPop, { height, planHash }: Told): void {
    if (planHash === null) return;
    this.hashes.add(planHash);
    const known = this.#plans.get(height);
    if (known === undefined) this.#plans.set(height, planHash);
    else if (known !== planHash)
      throw new Broken(this.name, `PoP ${pop.index} has another plan for height ${height}`);
  }
}
