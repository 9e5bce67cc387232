import { createHash } from 'node:crypto';
import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import { decodePurgeReply } from '../../../protocol/messages/purge.ts';
import { Broken, type Checker, type Ordered, type Scene, type Served, type Told } from './facts.ts';

type Hook = Exclude<keyof Checker, 'name' | 'unsettled' | 'restless'>;
type Given<H extends Hook> = Parameters<NonNullable<Checker[H]>>;

/** Tells all checkers what happens, and keeps what the first of them found wrong. */
export class Watch {
  readonly #checkers: readonly Checker[];
  readonly #trace = createHash('sha256');
  readonly #now: () => number;
  /** Purges by the id that acknowledgements name. */
  readonly #purges = new Map<string, Ordered>();
  /** Acknowledgements of purges whose id is still to become known: their issuer waits for them. */
  readonly #early = new Map<string, SimulatedPop[]>();
  broken: string | undefined;
  /** What happened, so that a run in which nothing did is noticed. */
  readonly counts: Record<string, number> = {};

  constructor(checkers: readonly Checker[], now: () => number) {
    this.#checkers = checkers;
    this.#now = now;
  }

  /** Hash of all that was told so far, in order and with its time. */
  get trace(): string {
    return this.#trace.copy().digest('hex').slice(0, 16);
  }

  tell<H extends Hook>(hook: H, ...given: Given<H>): void {
    this.counts[hook] = (this.counts[hook] ?? 0) + 1;
    if (this.broken !== undefined) return;
    try {
      for (const checker of this.#checkers)
        (checker[hook] as ((...all: Given<H>) => void) | undefined)?.(...given);
    } catch (error) {
      this.broken = error instanceof Broken ? error.message : `crash: ${(error as Error).stack}`;
    }
  }

  /** What is not yet as it is to be in the end: while clients still ask, or when nothing happens any more. */
  open(when: 'unsettled' | 'restless', scene: Scene): string | undefined {
    for (const checker of this.#checkers) {
      const what = checker[when]?.(scene);
      if (what !== undefined) return `${checker.name}: ${what}`;
    }
    return undefined;
  }

  mark(...what: readonly (string | number)[]): void {
    this.#trace.update(`${this.#now().toFixed(3)} ${what.join(' ')}\n`);
  }

  decided(pop: SimulatedPop, told: Told): void {
    this.mark('decided', pop.index, told.height, told.hash, told.planHash ?? '');
    this.tell('told', pop, told);
  }

  served(served: Served): void {
    this.mark('served', served.pop.index, served.resource.key, served.status, served.body.length);
    this.tell('served', served);
  }

  /** The PoP that issued a purge has said that it is done, which tells its id. */
  issued(id: string, ordered: Ordered): void {
    this.mark('issued', id);
    this.#purges.set(id, ordered);
    for (const pop of this.#early.get(id) ?? []) this.settled(pop, id);
    this.#early.delete(id);
  }

  settled(pop: SimulatedPop, id: string): void {
    const ordered = this.#purges.get(id);
    if (ordered) this.tell('acknowledged', pop, ordered);
    else this.#early.set(id, [...(this.#early.get(id) ?? []), pop]);
  }

  /** What a PoP answers on the protocol of purges. */
  replied(pop: SimulatedPop, reply: Uint8Array): void {
    let ids: readonly string[];
    try {
      ids = decodePurgeReply(reply, 'push').acknowledged;
    } catch {
      // It answers a comparison.
      return;
    }
    this.mark('acknowledged', pop.index, ...ids);
    for (const id of ids) this.settled(pop, id);
  }
}
