import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import type { DecidedState } from '../../../../protocol/decided-state.ts';
import type { PopId } from '../../../../protocol/ids.ts';
import { quorumOf } from '../../../../protocol/quorum.ts';
import { Broken, type Checker, type Scene, type Told } from '../facts.ts';

/** Two honest PoPs never decide differently, and what one decided outlives its crashes (guarantee 1). */
export class AgreementChecker implements Checker {
  readonly name = 'agreement';
  readonly #decided = new Map<number, Told>();
  readonly #highest = new Map<SimulatedPop, number>();
  /** Those whose first word since their start is still to come. */
  readonly #fresh = new Set<SimulatedPop>();
  /** Members at a height, once the one before is decided. */
  readonly #rosters = new Map<number, readonly PopId[]>();

  constructor(founders: number) {
    this.#rosters.set(1, Array.from({ length: founders }));
  }

  /** The greatest height that anybody has told of. */
  get height(): number {
    return Math.max(0, ...this.#decided.keys());
  }

  heightOf(pop: SimulatedPop): number {
    return this.#highest.get(pop) ?? 0;
  }

  /** Members after the greatest height. */
  get roster(): readonly PopId[] {
    return this.#rosters.get(Math.max(...this.#rosters.keys())) ?? [];
  }

  started(pop: SimulatedPop): void {
    this.#fresh.add(pop);
  }

  told(pop: SimulatedPop, told: Told): void {
    const { height } = told;
    const highest = this.heightOf(pop);
    const first = this.#fresh.delete(pop);
    if (height < highest)
      throw new Broken(
        this.name,
        `PoP ${pop.index} told of ${highest}, and ${first ? 'after a restart ' : ''}of ${height}`,
      );
    if (height === highest && highest > 0 && !told.again && !first)
      throw new Broken(this.name, `PoP ${pop.index} decided ${height} twice`);
    this.#highest.set(pop, height);
    const known = this.#decided.get(height);
    if (!known) this.#decided.set(height, told);
    else if (known.hash !== told.hash || known.stateHash !== told.stateHash)
      throw new Broken(this.name, `two decisions at height ${height}`);
    const roster = this.#rosters.get(height);
    if (roster && told.included < quorumOf(roster.length).quorum)
      throw new Broken(this.name, `height ${height} includes ${told.included} of ${roster.length}`);
  }

  stands(_pop: SimulatedPop, { height, members }: DecidedState): void {
    const roster = members.map(({ pop }) => pop);
    const known = this.#rosters.get(height + 1);
    if (known && known.length > 0 && known.join() !== roster.join())
      throw new Broken(this.name, `two rosters after height ${height}`);
    this.#rosters.set(height + 1, roster);
  }

  unsettled({ members, seats, unheard }: Scene): string | undefined {
    const roster = new Set(this.roster);
    const missing = members.filter(({ id }) => !roster.has(id));
    if (missing.length > 0) return `no members yet: ${missing.map(({ index }) => index).join()}`;
    if (roster.size > seats + unheard) return `${roster.size} members, not ${seats}`;
    return undefined;
  }
}
