import { fits } from './agreement-bits.ts';
import { type Bodies, bodyLimit } from './agreement-bodies.ts';
import type { Opened } from './agreement-echo.ts';
import { commitStatement, digestOf, proposeStatement } from './agreement-header.ts';
import type { ActiveHeight } from './agreement-height.ts';
import type { AgreementOptions, Equivocation, SignedProposal } from './agreement-steps.ts';
import { PresageError } from './errors.ts';
import type { PopId } from './ids.ts';
import type { AgreementGossip, ProposeMessage, VoteMessage } from './messages/agreement.ts';

/** What a message brought. */
export interface Taken {
  /** Something new, from which more may follow. */
  readonly grown: boolean;
  /** The sender has contradicted itself. */
  readonly equivocation?: Equivocation;
}
const NOTHING: Taken = { grown: false };
const GROWN: Taken = { grown: true };

/** Takes what members say at the active height: checks its meaning and its signatures, then counts it. */
export class Intake {
  readonly #options: Pick<AgreementOptions, 'genesis' | 'verify'>;
  readonly #bodies: Bodies;
  /** Members that signed two proposals, with the height. */
  readonly #equivocators = new Map<PopId, number>();

  constructor(options: Pick<AgreementOptions, 'genesis' | 'verify'>, bodies: Bodies) {
    this.#options = options;
    this.#bodies = bodies;
  }

  /** Fails with `WIRE_*`. */
  take(active: ActiveHeight, slot: number, from: PopId, message: AgreementGossip, now: number): Taken {
    switch (message.kind) {
      case 'propose':
        return this.#propose(active, slot, from, message, now);
      case 'echo':
        return active.tally.echoes(slot, message.echoes) ? GROWN : NOTHING;
      case 'compact-echo':
        return this.#opened(active, active.blocks.take(slot, message.blocks)) ? GROWN : NOTHING;
      case 'vote':
        return this.#vote(active, slot, from, message) ? GROWN : NOTHING;
    }
  }

  #propose(active: ActiveHeight, slot: number, from: PopId, message: ProposeMessage, now: number): Taken {
    const known = active.proposals[slot];
    const limit = bodyLimit(active.quorum.size);
    const { id, length, signature, body } = message;
    if (known?.id !== id) {
      if (known && this.#equivocators.get(from) === active.height) return NOTHING;
      const statement = proposeStatement(this.#options.genesis, active.height, id);
      if (!this.#options.verify(from, statement, signature)) throw new PresageError('WIRE_SIGNATURE');
      if (known) {
        this.#equivocators.set(from, active.height);
        const one: SignedProposal = [known.id, known.signature];
        const other: SignedProposal = [id, signature];
        const proposals = known.id < id ? ([one, other] as const) : ([other, one] as const);
        return { grown: false, equivocation: { height: active.height, pop: from, proposals } };
      }
      if (length > limit) throw new PresageError('WIRE_TOO_LARGE', 'PROPOSE: the body is too long');
      active.proposals[slot] = message;
      active.tally.echo(slot, slot, id);
      this.known(active, slot);
    }
    if (this.#bodies.get(id)) return known ? NOTHING : GROWN;
    if (!body) this.#bodies.want(id, slot, now);
    else if (body.length !== length || body.length > limit || digestOf(body) !== id) {
      throw new PresageError('WIRE_SCHEMA', 'PROPOSE: another body than the one announced');
    } else this.#bodies.hold(id, body, active.height);
    return GROWN;
  }

  /** The id that a slot's PoP proposed is known now: ECHOs may be read by it. */
  known(active: ActiveHeight, slot: number): void {
    this.#opened(active, active.blocks.proposed(slot));
  }

  #opened({ tally }: ActiveHeight, opened: readonly Opened[]): boolean {
    let grown = false;
    for (const [sender, echoes] of opened) grown = tally.echoes(sender, echoes) || grown;
    return grown;
  }

  #vote(active: ActiveHeight, slot: number, from: PopId, message: VoteMessage): boolean {
    const { size } = active.quorum;
    const fitting = (sets: readonly Uint8Array[]) => sets.every((set) => fits(set, size));
    if (!fitting([message.ready, ...message.decided]) || !message.rounds.every(fitting)) {
      throw new PresageError('WIRE_SCHEMA', 'VOTE: of another roster');
    }
    const grown = active.tally.vote(slot, message);
    const { commit } = message;
    if (!commit || active.commits[slot]) return grown;
    const statement = commitStatement(this.#options.genesis, active.height, commit.hash);
    if (!this.#options.verify(from, statement, commit.signature)) throw new PresageError('WIRE_SIGNATURE');
    active.commits[slot] = commit;
    return true;
  }
}
