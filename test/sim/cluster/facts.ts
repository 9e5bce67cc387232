import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import type { OriginResource } from '../../../node/simulator/virtual-origin.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import type { PurgeScope } from '../../../protocol/purge.ts';

/** What happens in a simulated cluster, as those who watch it are told. They know nothing of what causes it. */

/** A decision as a PoP makes it known. */
export interface Told {
  readonly height: number;
  readonly hash: string;
  readonly stateHash: string;
  /** Null where this PoP has no plan of that height. */
  readonly planHash: string | null;
  readonly included: number;
  readonly again: boolean;
}

/** A purge that was asked for, and the least version of each resource that may be served after it. */
export interface Ordered {
  readonly scope: PurgeScope;
  readonly soft: boolean;
  /** By key; what was true when it was asked for. */
  readonly floors: ReadonlyMap<string, number>;
  readonly at: number;
}

/** An answer that a client got, whole. */
export interface Served {
  readonly pop: SimulatedPop;
  readonly resource: OriginResource;
  readonly startedAt: number;
  readonly status: number;
  readonly body: Buffer;
  /** What the PoP said of it (RFC 9211). */
  readonly cacheStatus: string | undefined;
  /** Whether it had reconciled purges when it was asked. */
  readonly reconciled: boolean;
}

/** What all checkers may look at. */
export interface Scene {
  /** Virtual time, ms. */
  readonly now: number;
  /** Without those that lie. */
  readonly honest: readonly SimulatedPop[];
  readonly resources: readonly OriginResource[];
  /** Whether the origin has ever failed, and whether a disk has. */
  readonly originFailed: boolean;
  readonly disksFailed: boolean;
  /**
   * All are to know the same of contents in the end. Stamps of a clock that is far ahead of the own are not believed,
   * and a liar can make others believe that nobody holds what it has garbled, which costs them time.
   */
  readonly comparable: boolean;
  /** Nothing went wrong that the seed could have drawn. */
  readonly faultless: boolean;
  /** Those that are to be members in the end, without those that lie. */
  readonly members: readonly SimulatedPop[];
  /** How many there are to be in the end, liars included. */
  readonly seats: number;
  /** How many have gone when perhaps nobody heard them say so: their seats last for an hour. */
  readonly unheard: number;
}

/** Holds what happens to one promise. It throws `Broken` when the promise is broken. */
export interface Checker {
  readonly name: string;
  /** Of honest PoPs alone. */
  started?(pop: SimulatedPop): void;
  told?(pop: SimulatedPop, decision: Told): void;
  /** The state that a PoP stands on after a decision, and how large its demand history is. */
  stands?(pop: SimulatedPop, state: DecidedState, historyBytes: number): void;
  ordered?(purge: Ordered): void;
  /** An honest PoP has said that it holds a purge. */
  acknowledged?(pop: SimulatedPop, purge: Ordered): void;
  announced?(): void;
  served?(served: Served): void;
  /** Contents that a PoP has mirrored. */
  mirrored?(pop: SimulatedPop, size: number, source: 'plan' | 'speculative'): void;
  /** A message of an honest PoP was refused as no honest PoP's. */
  rejected?(author: SimulatedPop, by: SimulatedPop, topic: string, code: string): void;
  /** From time to time. */
  sampled?(scene: Scene): void;
  /** Whether all is as it is to be in the end; undefined if it is. */
  unsettled?(scene: Scene): string | undefined;
  /** The same for what comes about only when nothing happens any more. */
  restless?(scene: Scene): string | undefined;
}

/** A promise that was broken: the name of its checker first. */
export class Broken extends Error {
  constructor(checker: string, what: string) {
    super(`${checker}: ${what}`);
  }
}
