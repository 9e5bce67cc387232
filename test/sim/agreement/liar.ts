import type { Dice } from '../../../node/simulator/dice.ts';
import { setBit } from '../../../protocol/agreement-bits.ts';
import { commitStatement, digestOf, proposeStatement } from '../../../protocol/agreement-header.ts';
import type { Genesis } from '../../../protocol/genesis.ts';
import {
  type AgreementMessage,
  decodeAgreement,
  encodeAgreement,
  type RoundVotes,
  type VoteMessage,
} from '../../../protocol/messages/agreement.ts';

/** Kinds of lies; a liar draws some of them for its whole life. `twins` is done by running two machines. */
export const LIES = [
  'mute',
  'silent',
  'contrary',
  'equivocate',
  'flip',
  'split',
  'deny',
  'misname',
  'poison',
  'withhold',
  'invalid',
  'twins',
] as const;
export type Lie = (typeof LIES)[number];

/** Whose name a liar goes by, and what it has to know. */
export interface LiarOptions {
  readonly genesis: Genesis;
  readonly dice: Dice;
  readonly lies: ReadonlySet<Lie>;
  /** Members of the cluster. */
  readonly size: number;
  /** Divides the receivers for lies that tell two stories. */
  readonly side: readonly number[];
  sign(message: Uint8Array): Uint8Array;
  /** As the receivers decode. */
  readonly decode?: (bytes: Uint8Array) => AgreementMessage;
}

/** Turns what an honest machine would have said into lies, another for each receiver. */
export class Liar {
  readonly #genesis: Genesis;
  readonly #world: Dice;
  readonly #lies: ReadonlySet<Lie>;
  readonly #size: number;
  readonly #side: readonly number[];
  readonly #sign: (message: Uint8Array) => Uint8Array;
  readonly #decode: (bytes: Uint8Array) => AgreementMessage;
  #seq = 1_000;
  readonly #bodies = new Map<string, Uint8Array>();

  constructor({ genesis, dice, lies, size, side, sign, decode = decodeAgreement }: LiarOptions) {
    [this.#genesis, this.#world, this.#lies, this.#size, this.#side] = [genesis, dice, lies, size, side];
    this.#sign = sign;
    this.#decode = decode;
  }

  get #bytes(): number {
    return (this.#size + 7) >> 3;
  }

  /** What a receiver gets in place of an honest message. */
  tell(bytes: Uint8Array, to: number): Uint8Array[] {
    const world = this.#world;
    if (this.#lies.has('mute')) return [];
    if (this.#lies.has('silent') && world.chance(0.5)) return [];
    const message = this.#decode(bytes);
    const lies = this.#twist(message, to).map((lie) => encodeAgreement(lie));
    if (this.#lies.has('poison') && world.chance(0.1)) lies.push(this.#garbage(bytes));
    return lies;
  }

  #twist(message: AgreementMessage, to: number): AgreementMessage[] {
    const world = this.#world;
    switch (message.kind) {
      case 'propose': {
        if (this.#lies.has('equivocate') && this.#side[to] === 1) {
          const body = Uint8Array.of(1, 9, 9, 9, this.#size, message.height & 255);
          const id = digestOf(body);
          this.#bodies.set(id, body);
          const signature = this.#sign(proposeStatement(this.#genesis, message.height, id));
          return [{ ...message, id, length: body.length, signature, body }];
        }
        return this.#lies.has('withhold') ? [{ ...message, body: undefined }] : [message];
      }
      case 'echo':
        if (this.#lies.has('misname') && world.chance(0.5)) {
          const echoes = message.echoes.map(([slot]) => [slot, this.#noise(slot)] as const);
          return [{ ...message, echoes }];
        }
        return [message];
      case 'vote':
        return [this.#vote(message, to)];
      case 'decision':
        if (this.#lies.has('poison') && message.tip) {
          const header = message.tip[0].slice();
          header[header.length - 3]! ^= 1;
          return [{ ...message, tip: [header, message.tip[1]], held: [message.held[0], 9_999_999] }];
        }
        return [message];
      case 'body':
        if (this.#lies.has('withhold')) return [];
        return this.#lies.has('poison') ? [{ ...message, bytes: Uint8Array.of(7) }] : [message];
      case 'sync':
        return this.#lies.has('poison') ? [message, { kind: 'sync', height: 1 }] : [message];
      default:
        return [message];
    }
  }

  #vote(message: VoteMessage, to: number): VoteMessage {
    const world = this.#world;
    let vote: VoteMessage = message;
    if (this.#lies.has('flip') && world.chance(0.7)) {
      const rounds = Array.from({ length: world.between(1, 4) }, (): RoundVotes => {
        return [this.#some(), this.#some(), this.#some(), this.#some()];
      });
      vote = { ...vote, rounds, ready: this.#some() };
      if (world.chance(0.3)) vote = { ...vote, decided: [this.#some(), this.#some()] };
    }
    if (this.#lies.has('split')) {
      const one = this.#side[to] === 1;
      const length = Math.max(1, message.rounds.length + world.between(0, 2));
      const all = this.#all();
      const none = new Uint8Array(0);
      const rounds = Array.from({ length }, (_, round): RoundVotes => {
        return [all, round > 0 ? all : none, one ? none : all, one ? all : none];
      });
      const decided = world.chance(0.5) ? ([one ? none : all, one ? all : none] as const) : vote.decided;
      vote = { ...vote, rounds, ready: one ? all : none, decided };
    }
    if (this.#lies.has('contrary')) {
      const all = this.#all();
      const rounds = message.rounds.map(([, , a0, a1], at): RoundVotes => {
        return [all, at > 0 ? all : new Uint8Array(0), a1, at === 0 && a0.length === 0 ? all : a0];
      });
      vote = { ...vote, rounds };
    }
    if (this.#lies.has('deny')) {
      const [zero, one] = vote.decided;
      vote = { ...vote, decided: [one, zero] };
      if (world.chance(0.3)) {
        const hash = this.#noise(world.between(0, 3));
        vote = {
          ...vote,
          commit: { hash, signature: this.#sign(commitStatement(this.#genesis, vote.height, hash)) },
        };
      }
    }
    if (this.#lies.has('misname') && world.chance(0.3)) {
      const slot = world.between(0, this.#size);
      vote = { ...vote, alternative: [[slot, this.#noise(slot)]] };
    }
    if (this.#lies.has('poison') && world.chance(0.1)) {
      const far = Array.from(
        { length: 240 },
        (): RoundVotes => [this.#all(), this.#all(), this.#all(), this.#all()],
      );
      vote = { ...vote, rounds: far };
    }
    return vote === message ? vote : { ...vote, seq: ++this.#seq };
  }

  #noise(salt: number): string {
    return digestOf(Uint8Array.of(salt, this.#world.between(0, 2)));
  }

  #all(): Uint8Array {
    return new Uint8Array(this.#bytes).fill(255);
  }

  #some(): Uint8Array {
    const bits = new Uint8Array(this.#bytes);
    for (let slot = 0; slot < this.#size; slot += 1) if (this.#world.chance(0.5)) setBit(bits, slot);
    return bits;
  }

  #garbage(bytes: Uint8Array): Uint8Array {
    const garbage = bytes.slice(0, this.#world.between(1, bytes.length + 1));
    garbage[this.#world.between(0, garbage.length)]! ^= this.#world.between(1, 256);
    return garbage;
  }
}
