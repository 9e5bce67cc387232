import type { PresageError } from '../../protocol/errors.ts';
import type { ActorRef, ActorSpec } from './actor.ts';
import { Cell, type KernelDeps } from './cell.ts';
import { type Child, type Intensity, type Strategy, Supervisor } from './supervisor.ts';

/** What a tree is made of: an actor by the handle that `actor` gave, or a group of them under a supervisor. */
export type Branch = Pick<ActorRef<never>, 'name'> | Supervisor;

/**
 * The actors of one PoP. Handles are made first, so that actors can know each other in any direction; the tree
 * then says in which order they start and what a failure takes along.
 */
export class ActorSystem {
  readonly #deps: KernelDeps;
  readonly #cells: Cell<never>[] = [];
  #root: Supervisor | undefined;

  constructor(deps: KernelDeps) {
    this.#deps = deps;
  }

  actor<M>(spec: ActorSpec<M>): ActorRef<M> {
    const cell = new Cell(spec, this.#deps);
    this.#cells.push(cell as unknown as Cell<never>);
    return cell;
  }

  group(name: string, strategy: Strategy, intensity: Intensity, branches: readonly Branch[]): Supervisor {
    const children = branches.map((branch) => branch as unknown as Child);
    return new Supervisor({ name, strategy, intensity, children }, this.#deps);
  }

  /** Starts the tree. `escalated` hears when the root gives up; the process should then end with a non-zero code. */
  async start(root: Supervisor, escalated: (error: PresageError) => void): Promise<void> {
    this.#root = root;
    root.onFailure = escalated;
    await root.start();
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#root?.stop(deadlineMs);
  }

  /** Waiting messages by actor, for status and metrics. */
  backlogs(): ReadonlyMap<string, number> {
    return new Map(this.#cells.map((cell) => [cell.name, cell.backlog]));
  }
}
