import { PresageError } from '../../protocol/errors.ts';
import type { KernelDeps } from './cell.ts';

/** `one-for-one` restarts the failed child; `rest-for-one` also those that were started after it. */
export type Strategy = 'one-for-one' | 'rest-for-one';

/** More than `restarts` within `withinMs` (real ms) is not a passing fault: the supervisor itself fails. */
export interface Intensity {
  readonly restarts: number;
  readonly withinMs: number;
}

export interface SupervisorSpec {
  readonly name: string;
  readonly strategy: Strategy;
  readonly intensity: Intensity;
  /** In start order; stopped in reverse. */
  readonly children: readonly Child[];
}

/** A child is an actor's cell or a supervisor below. */
export interface Child {
  readonly name: string;
  onFailure: (error: PresageError) => void;
  start(): Promise<void>;
  suspend(deadlineMs: number): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
}

/** How long a child may take to stop, real ms. */
const STOP_DEADLINE_MS = 5_000;

/**
 * Starts its children in order, stops them in reverse, and restarts them by its strategy when one fails (after
 * Erlang/OTP's supervisors). Beyond its intensity it stops them all and escalates to `onFailure`.
 */
export class Supervisor implements Child {
  readonly name: string;
  readonly #spec: SupervisorSpec;
  readonly #deps: KernelDeps;
  /** Times of recent restarts, monotonic ms. */
  #restarts: number[] = [];
  #work: Promise<void> = Promise.resolve();
  #active = false;
  onFailure: (error: PresageError) => void = () => undefined;

  constructor(spec: SupervisorSpec, deps: KernelDeps) {
    this.name = spec.name;
    this.#spec = spec;
    this.#deps = deps;
    for (const [index, child] of spec.children.entries()) {
      child.onFailure = (error) => this.#childFailed(index, error);
    }
  }

  async start(): Promise<void> {
    this.#active = true;
    this.#restarts = [];
    for (const [index, child] of this.#spec.children.entries()) {
      try {
        await child.start();
      } catch (error) {
        this.#active = false;
        await this.#suspendFrom(0, index, STOP_DEADLINE_MS);
        throw error;
      }
    }
  }

  async suspend(deadlineMs: number): Promise<void> {
    this.#active = false;
    await this.#work;
    await this.#suspendFrom(0, this.#spec.children.length, deadlineMs);
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#active = false;
    await this.#work;
    for (const child of [...this.#spec.children].reverse()) await child.stop(deadlineMs);
  }

  #childFailed(index: number, error: PresageError): void {
    // Failures queue up behind each other: a restart in progress finishes before the next begins.
    this.#work = this.#work.then(() => this.#recover(index, error));
  }

  async #recover(index: number, cause: PresageError): Promise<void> {
    let error = cause;
    while (this.#active) {
      const now = this.#deps.clock.monotonic();
      const { restarts, withinMs } = this.#spec.intensity;
      this.#restarts = this.#restarts.filter((at) => now - at < withinMs);
      if (this.#restarts.length >= restarts) {
        this.#escalate(error);
        return;
      }
      this.#restarts.push(now);
      const last = this.#spec.strategy === 'rest-for-one' ? this.#spec.children.length : index + 1;
      try {
        await this.#suspendFrom(index, last, STOP_DEADLINE_MS);
        for (let at = index; at < last && this.#active; at += 1) await this.#spec.children[at]?.start();
        this.#deps.metrics.count('actor_restarts_total', { supervisor: this.name });
        return;
      } catch (thrown) {
        error = thrown instanceof PresageError ? thrown : new PresageError('ACTOR_FAILED', String(thrown));
      }
    }
  }

  #escalate(error: PresageError): void {
    this.#active = false;
    this.#deps.log.error(`supervisor ${this.name} gives up`, { code: error.code, error: error.message });
    this.onFailure(error);
  }

  async #suspendFrom(first: number, end: number, deadlineMs: number): Promise<void> {
    for (let at = end - 1; at >= first; at -= 1) await this.#spec.children[at]?.suspend(deadlineMs);
  }
}
