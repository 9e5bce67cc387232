import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import type { Defects } from '../../../protocol/agreement-steps.ts';

/** A defect that is put in on purpose: a checker must notice it, or it proves nothing. */
export interface Sabotage {
  readonly name: string;
  readonly defects?: Defects;
  /** Once, before the PoP starts for the first time. */
  build?(pop: SimulatedPop): void;
  /** Before each start. */
  start?(pop: SimulatedPop): void;
}
