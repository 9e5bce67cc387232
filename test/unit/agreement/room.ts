import type { Agreement } from '../../../protocol/agreement.ts';
import type { AgreementEffect, AgreementInput } from '../../../protocol/agreement-steps.ts';
import { decodeAgreement } from '../../../protocol/messages/agreement.ts';
import { popOf } from '../../sim/agreement/pop.ts';

interface Event {
  readonly at: number;
  readonly to: number;
  readonly input: AgreementInput;
}

/** Machines with disks and a network that fail at nothing, unless it is cut; for what the simulation need not find. */
export class Room {
  /** Nothing said now arrives. */
  cut = false;
  readonly #machines: readonly Agreement[];
  readonly #timers: number[];
  readonly #proposals: number[][];
  readonly #decisions: number[][];
  #queue: Event[] = [];

  constructor(machines: readonly Agreement[]) {
    this.#machines = machines;
    this.#timers = machines.map(() => Number.POSITIVE_INFINITY);
    this.#proposals = machines.map(() => []);
    this.#decisions = machines.map(() => []);
  }

  /** When a machine first told its proposals, and when it decided. */
  proposals(index: number): readonly number[] {
    return this.#proposals[index]!;
  }
  decisions(index: number): readonly number[] {
    return this.#decisions[index]!;
  }

  tell(to: number, input: AgreementInput, at: number): void {
    this.#queue.push({ at, to, input });
  }

  all(input: AgreementInput, at: number): void {
    for (const to of this.#machines.keys()) this.tell(to, input, at);
  }

  /** Runs what is due by then. */
  run(until: number): void {
    for (;;) {
      const ticks = this.#timers.map((at, to): Event => ({ at, to, input: { type: 'tick' } }));
      const next = [...this.#queue, ...ticks].reduce((a, b) => (b.at < a.at ? b : a));
      if (next.at > until) return;
      const { to, input, at } = next;
      if (input.type === 'tick') this.#timers[to] = Number.POSITIVE_INFINITY;
      else this.#queue = this.#queue.filter((event) => event !== next);
      const machine = this.#machines[to]!;
      const before = machine.height;
      for (const effect of machine.step(input, at)) this.#carryOut(to, effect, at);
      if (machine.height > before) this.#decisions[to]!.push(at);
    }
  }

  #carryOut(from: number, effect: AgreementEffect, at: number): void {
    const all = [...this.#machines.keys()].filter((to) => to !== from);
    if (effect.type === 'timer') this.#timers[from] = effect.at;
    else if (effect.type === 'persist') this.tell(from, { type: 'persisted', token: effect.token }, at);
    else if (effect.type === 'send' && !this.cut) {
      const to = all.find((index) => popOf(index) === effect.to);
      if (to !== undefined) this.tell(to, { type: 'direct', from: popOf(from), bytes: effect.bytes }, at);
    } else if (effect.type === 'publish') {
      const message = decodeAgreement(effect.bytes);
      const starts = this.#proposals[from]!;
      if (message.kind === 'propose' && message.height > starts.length) starts.push(at);
      if (this.cut) return;
      for (const to of all) this.tell(to, { type: 'gossip', from: popOf(from), bytes: effect.bytes }, at);
    }
  }
}
