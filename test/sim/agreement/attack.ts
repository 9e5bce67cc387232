import type { AgreementWorld } from '../../../node/simulator/agreement-world.ts';
import { hasBit, newBits, setBit } from '../../../protocol/agreement-bits.ts';
import type { AgreementMessage, RoundVotes, VoteMessage } from '../../../protocol/messages/agreement.ts';
import { quorumOf } from '../../../protocol/quorum.ts';

/**
 * Schedules against the protocol, instead of faults at random:
 * - `camps`: honest PoPs hear only their half of each other; every liar lives twice, once in each camp;
 * - `wedge`: a liar's proposal is hidden from some, so that its slot is contested; by one PoP alone the slot is
 *   decided in the first round, and then the liars never vote on it again;
 * - `sway`: the same, but the liars go on to vote for the contrary, and who has decided is not heard;
 * - `gag`: one PoP is not heard from its first AUX on, while the liars vote 0 towards all others;
 * - `belated`: votes are fast and proposals slow;
 * - `drought`: half of what is said is lost;
 * - `relapse`: PoPs crash again and again, mostly before what they have just said is on disk.
 */
export const ATTACKS = ['camps', 'wedge', 'sway', 'gag', 'belated', 'drought', 'relapse'] as const;
export type AttackKind = (typeof ATTACKS)[number];
/** In these the liars' votes are part of the plan. */
const SCRIPTED: ReadonlySet<AttackKind> = new Set(['wedge', 'sway', 'gag']);

/** Which kinds make sense in a cluster of that size. */
export function attacksOn(size: number): AttackKind[] {
  const { liars } = quorumOf(size);
  return ATTACKS.filter((kind) => {
    if (SCRIPTED.has(kind)) return liars > 0 && (kind === 'gag' || size === 3 * liars + 1);
    return size > 1;
  });
}

/** Reads what is said, and steers links and liars by it. What the adversary knows, the seed has drawn. */
export class Attack {
  readonly kind: AttackKind;
  /** By PoP its camp. */
  readonly side: number[];
  readonly #size: number;
  readonly #liars: ReadonlySet<number>;
  /** Who decides alone, and who is kept in the dark. */
  readonly #decider: number;
  readonly #victims: ReadonlySet<number>;
  /** Honest PoPs that the victims do hear. */
  readonly #audible: ReadonlySet<number>;
  /** The slot that is fought over: that of a liar. */
  readonly #slot: number;
  #active = true;
  #seq = 1_000;

  constructor(kind: AttackKind, world: AgreementWorld, size: number, liars: ReadonlySet<number>) {
    this.kind = kind;
    this.#size = size;
    this.#liars = liars;
    const honest = world
      .shuffled(Array.from({ length: size }, (_, index) => index))
      .filter((i) => !liars.has(i));
    this.side = Array.from({ length: size }, () => world.between(0, 2));
    for (const [place, index] of honest.entries()) this.side[index] = place % 2;
    const { quorum } = quorumOf(size);
    const most = Math.max(1, size - quorum);
    const dark = honest.slice(1, 1 + world.between(1, most + 1));
    this.#decider = honest[0]!;
    this.#victims = new Set(dark);
    const heard = Math.max(0, quorum - liars.size - dark.length);
    this.#audible = new Set(honest.slice(1 + dark.length, 1 + dark.length + heard));
    this.#slot = [...liars][0] ?? 0;
  }

  /** Whether the liars follow a script rather than their own lies. */
  get scripted(): boolean {
    return SCRIPTED.has(this.kind);
  }

  /** From now on every link is open. Liars go on. */
  stop(): void {
    this.#active = false;
  }

  /** Extra ms that a message between honest PoPs takes; infinitely many if it is lost. */
  delay(from: number, to: number, message: AgreementMessage): number {
    if (!this.#active) return 0;
    if (this.kind === 'camps') return this.side[from] === this.side[to] ? 0 : Number.POSITIVE_INFINITY;
    if (this.kind === 'belated') return message.kind === 'propose' || message.kind === 'body' ? 3_000 : 0;
    if (!this.scripted || this.#liars.has(from) || this.#liars.has(to)) return 0;
    if (message.kind === 'decision') return Number.POSITIVE_INFINITY;
    if (from === this.#decider && message.kind === 'vote') {
      if (this.kind === 'gag' && hasVoted(message)) return Number.POSITIVE_INFINITY;
      if (this.kind === 'sway' && hasBit(message.decided[1], this.#slot)) return Number.POSITIVE_INFINITY;
    }
    if (this.kind === 'gag' || !this.#victims.has(to) || this.#victims.has(from)) return 0;
    return this.#audible.has(from) ? 0 : Number.POSITIVE_INFINITY;
  }

  /** What a liar says instead of what an honest machine would. */
  twist(from: number, to: number, message: AgreementMessage): AgreementMessage[] {
    const hidden = this.kind !== 'gag' && this.#victims.has(to);
    switch (message.kind) {
      case 'propose':
        return hidden && from === this.#slot ? [] : [message];
      case 'echo':
        if (!hidden) return [message];
        return [{ ...message, echoes: message.echoes.filter(([slot]) => slot !== this.#slot) }];
      case 'vote':
        return [this.#vote(message, to, hidden)];
      case 'decision':
      case 'body':
        return [];
      default:
        return [message];
    }
  }

  #vote(message: VoteMessage, to: number, hidden: boolean): VoteMessage {
    const decisive = to === this.#decider;
    const slots = this.kind === 'gag' ? Array.from({ length: this.#size }, (_, slot) => slot) : [this.#slot];
    const length = this.kind === 'wedge' ? Math.max(1, message.rounds.length) : message.rounds.length + 4;
    const rounds = Array.from({ length }, (_, round): RoundVotes => {
      const [zero, one, aux0, aux1] = message.rounds[round] ?? [];
      const votes = [this.#copy(zero), this.#copy(one), this.#copy(aux0), this.#copy(aux1)] as const;
      for (const slot of slots) {
        for (const bits of votes) clearBit(bits, slot);
        if (this.kind === 'wedge' && round > 0) continue;
        setBit(votes[0], slot);
        if (round > 0) setBit(votes[1], slot);
        setBit(votes[decisive ? 3 : 2], slot);
      }
      return votes;
    });
    const ready = this.#copy(message.ready);
    const decided = [this.#copy(message.decided[0]), this.#copy(message.decided[1])] as const;
    for (const slot of slots) for (const bits of decided) clearBit(bits, slot);
    if (hidden) clearBit(ready, this.#slot);
    else if (this.kind !== 'gag') setBit(ready, this.#slot);
    const alternative = message.alternative.filter(([slot]) => slot !== this.#slot);
    return { ...message, seq: ++this.#seq, ready, alternative, rounds, decided, commit: undefined };
  }

  #copy(bits: Uint8Array | undefined): Uint8Array {
    const copy = newBits(this.#size);
    if (bits) copy.set(bits.subarray(0, copy.length));
    return copy;
  }
}

function clearBit(bits: Uint8Array, slot: number): void {
  bits[slot >> 3]! &= ~(1 << (slot & 7));
}

const hasVoted = ({ rounds }: VoteMessage): boolean =>
  rounds.some(([, , aux0, aux1]) => aux0.some((byte) => byte !== 0) || aux1.some((byte) => byte !== 0));
