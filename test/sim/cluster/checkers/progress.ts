import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import type { Checker, Scene } from '../facts.ts';
import type { AgreementChecker } from './agreement.ts';

/** Heights that all are to decide once nothing goes wrong any more; in a large cluster each is much work. */
const HEIGHTS = 2;
const HEIGHTS_LARGE = 1;
const LARGE = 10;

/** Once nothing goes wrong any more, all decide on, and all that was issued is known to all. */
export class ProgressChecker implements Checker {
  readonly name = 'progress';
  readonly #agreement: AgreementChecker;
  #goal: number | undefined;

  constructor(agreement: AgreementChecker) {
    this.#agreement = agreement;
  }

  unsettled({ members }: Scene): string | undefined {
    this.#goal ??= this.#agreement.height + (members.length > LARGE ? HEIGHTS_LARGE : HEIGHTS);
    const goal = this.#goal;
    const behind = members.filter((pop) => this.#agreement.heightOf(pop) < goal);
    if (behind.length > 0)
      return `${goal} not decided by ${list(behind, (pop) => String(this.#agreement.heightOf(pop)))}`;
    const apart = members.filter((pop) => !pop.running?.store.ledger.reconciled);
    if (apart.length > 0 && members.length > 1) return `purges not reconciled at ${list(apart)}`;
    const known = members.map((pop) => purgesOf(pop));
    const most = new Set(known.flat());
    const lacking = members.filter((_, at) => known[at]!.length < most.size);
    if (lacking.length > 0) return `purges unknown at ${list(lacking)}`;
    return undefined;
  }
}

const list = (pops: readonly SimulatedPop[], more?: (pop: SimulatedPop) => string): string =>
  pops.map((pop) => `${pop.index}${more ? ` (${more(pop)})` : ''}`).join(', ');

const purgesOf = (pop: SimulatedPop): string[] =>
  [...(pop.running?.store.ledger.invalidations.list() ?? [])].map(({ id }) => id);
