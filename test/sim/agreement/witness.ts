import { type Header, inSlotOrder } from '../../../protocol/agreement-header.ts';
import type { Decided, Equivocation } from '../../../protocol/agreement-steps.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { AgreementMessage } from '../../../protocol/messages/agreement.ts';

/** What was broken; the first word is the promise. */
export class Broken extends Error {}

interface Spoken {
  readonly height: number;
  readonly echo: Map<number, string>;
  /** Decided bits first, then AUX by round; votes are cumulative, so that the last copy holds all. */
  readonly votes: (readonly [Uint8Array, Uint8Array])[];
}

const contrary = (a: Uint8Array, b: Uint8Array): boolean => a.some((byte, at) => (byte & (b[at] ?? 0)) !== 0);

/** Sees what all honest PoPs say and decide, and holds it to the promises. It knows nothing of the machine's inside. */
export class Witness {
  readonly #decided = new Map<number, { hash: string; header: Header; roster: readonly PopId[] }>();
  readonly #rosters = new Map<number, readonly PopId[]>();
  readonly #told = new Map<PopId, number>();
  readonly #vouched = new Set<string>();
  readonly #said = new Map<string, string>();
  readonly #honest: ReadonlySet<PopId>;
  readonly #least: (size: number) => number;
  /** By PoP what it said of the height it spoke of last. */
  readonly #votes = new Map<PopId, Spoken>();
  /** By state the plan that follows from it. */
  readonly #plans = new Map<string, string>();
  decisions = 0;
  /** Heights at which somebody honest voted in a round after the first, and the latest round voted in. */
  readonly contested = new Set<number>();
  round = 0;
  highest = 0;

  /** `least`: proposals that a decision must include, by the size of the roster. */
  constructor(founders: readonly PopId[], honest: ReadonlySet<PopId>, least: (size: number) => number) {
    this.#least = least;
    this.#rosters.set(1, inSlotOrder(founders));
    this.#honest = honest;
  }

  /** The roster of a height, once the one before is decided. */
  roster(height: number): readonly PopId[] | undefined {
    return this.#rosters.get(height);
  }

  /** The highest decision that a PoP has told its application. */
  told(pop: PopId): number {
    return this.#told.get(pop) ?? 0;
  }

  /** An honest PoP has made or accepted a body. */
  vouched(height: number, proposer: PopId, id: string): void {
    this.#vouched.add(`${height} ${proposer} ${id}`);
  }

  restarted(pop: PopId, decided: Decided | undefined): void {
    const told = this.told(pop);
    if (told > (decided?.header.height ?? 0))
      throw new Broken(`persistence: ${told} was told, then forgotten`);
  }

  decides(pop: PopId, { header, hash, roster, again }: Decided): void {
    const { height } = header;
    if (!again && height <= this.told(pop)) throw new Broken(`persistence: ${height} decided twice`);
    this.#told.set(pop, Math.max(height, this.told(pop)));
    const known = this.#decided.get(height);
    if (known) {
      if (known.hash !== hash) throw new Broken(`agreement: two decisions at height ${height}`);
      return;
    }
    this.#decided.set(height, { hash, header, roster });
    this.#rosters.set(height + 1, roster);
    this.decisions += 1;
    this.highest = Math.max(this.highest, height);
    const next = this.#decided.get(height + 1);
    if (next && next.header.previous !== hash) throw new Broken(`agreement: height ${height + 1} forks`);
    const previous = this.#decided.get(height - 1);
    if (previous && header.previous !== previous.hash) throw new Broken(`agreement: height ${height} forks`);
    const members = this.#rosters.get(height);
    if (members) this.#valid(header, members);
  }

  #valid({ height, included }: Header, members: readonly PopId[]): void {
    if (included.length < this.#least(members.length)) {
      throw new Broken(`validity: ${included.length} of ${members.length} included at ${height}`);
    }
    for (const [slot, id] of included) {
      const proposer = members[slot];
      if (!proposer || !this.#vouched.has(`${height} ${proposer} ${id}`)) {
        throw new Broken(`validity: a body at ${height} that no honest PoP made or accepted`);
      }
    }
  }

  /** A state that an honest PoP computed: nobody honest is punished, and whom the operator shut out is out. */
  stands({ height, members, banned }: DecidedState): void {
    for (const { pop, penaltyUntil } of members) {
      if (penaltyUntil > 0 && this.#honest.has(pop)) throw new Broken(`penalty: an honest PoP at ${height}`);
      if (banned.pops.includes(pop)) throw new Broken(`roster: a banned PoP is a member after ${height}`);
    }
  }

  /** What an honest PoP plans from a state. */
  plans(state: string, plan: string): void {
    const known = this.#plans.get(state) ?? plan;
    if (known !== plan) throw new Broken('agreement: two plans of one state');
    this.#plans.set(state, plan);
  }

  /** An honest PoP has been shown to have signed two things. */
  accused({ pop, height }: Equivocation): void {
    if (this.#honest.has(pop)) throw new Broken(`constancy: an honest PoP proposed twice at ${height}`);
  }

  /** An honest PoP has found that the others decided something else. */
  diverged(height: number): void {
    throw new Broken(`agreement: an honest PoP computed another state at height ${height}`);
  }

  /** An honest PoP has said something over the network: it must never contradict itself, not even after a crash. */
  says(pop: PopId, message: AgreementMessage): void {
    if (message.kind !== 'propose' && message.kind !== 'echo' && message.kind !== 'vote') return;
    let spoken = this.#votes.get(pop);
    if (!spoken || spoken.height < message.height) {
      spoken = { height: message.height, echo: new Map(), votes: [] };
      this.#votes.set(pop, spoken);
    }
    if (message.height < spoken.height) throw new Broken('constancy: back to a height that was left');
    if (message.kind === 'propose') this.#once(pop, `${message.height} propose`, message.id);
    else if (message.kind === 'echo') {
      for (const [slot, id] of message.echoes) {
        if ((spoken.echo.get(slot) ?? id) !== id) throw new Broken('constancy: two ECHOs for a slot');
        spoken.echo.set(slot, id);
      }
    } else {
      if (message.commit) this.#once(pop, `${message.height} commit`, message.commit.hash);
      const pairs = [message.decided, ...message.rounds.map(([, , a0, a1]) => [a0, a1] as const)];
      for (const [at, pair] of pairs.entries()) {
        const said = spoken.votes[at];
        if (said && (contrary(pair[0], said[1]) || contrary(pair[1], said[0]))) {
          throw new Broken(`constancy: ${at === 0 ? 'two decisions' : 'two AUX'} for a slot`);
        }
        spoken.votes[at] = pair;
        if (at > 1 && (pair[0].length > 0 || pair[1].length > 0)) {
          this.round = Math.max(this.round, at - 1);
          this.contested.add(message.height);
        }
      }
    }
  }

  #once(pop: PopId, what: string, value: string): void {
    const key = `${pop} ${what}`;
    const said = this.#said.get(key);
    if (said !== undefined && said !== value) throw new Broken(`constancy: ${what} contradicted`);
    this.#said.set(key, value);
  }
}
