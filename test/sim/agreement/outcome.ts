import type { AttackKind } from './attack.ts';

/** How a history went. */
export interface Outcome {
  readonly seed: number;
  readonly pops: number;
  readonly liars: number;
  readonly attack: AttackKind | undefined;
  /** What was broken, if anything. */
  readonly broken: string | undefined;
  readonly heights: number;
  readonly messages: number;
  readonly crashes: number;
  /** Virtual ms from the end of all faults to convergence. */
  readonly convergedMs: number;
  /** The binary agreement that went furthest. */
  readonly rounds: number;
  /** Heights at which it took more than one round. */
  readonly contested: number;
}
