import * as v from 'valibot';
import {
  eachBit,
  fits,
  fullBits,
  hasBit,
  newBits,
  type SlotBits,
  setBit,
  wireBits,
} from './agreement-bits.ts';
import type { Bit } from './coin.ts';
import { PresageError } from './errors.ts';
import {
  type Digest,
  MAX_ROSTER,
  MAX_ROUNDS,
  type ProposeMessage,
  type RoundVotes,
  type SlotDigest,
  type VoteMessage,
} from './messages/agreement.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, rows, uint } from './wire/schemas.ts';

export interface Commit {
  readonly hash: Digest;
  readonly signature: Uint8Array;
}
/** A PROPOSE without its body. */
export type Proposal = Pick<ProposeMessage, 'id' | 'length' | 'signature'>;

const bits = bytes(MAX_ROSTER / 8);
const digest = v.pipe(
  bytes(32, 32),
  v.transform((b): Digest => Buffer.from(b).toString('hex')),
);
const pairs = rows(v.strictTuple([uint(MAX_ROSTER - 1), digest]), MAX_ROSTER);
const signature = bytes(64, 64);
const schema = v.strictTuple([
  v.literal(1),
  uint(),
  uint(MAX_ROSTER),
  uint(),
  v.nullable(v.strictTuple([digest, uint(), signature])),
  pairs,
  pairs,
  rows(v.strictTuple([bits, bits, bits, bits]), MAX_ROUNDS),
  rows(uint(MAX_ROUNDS), MAX_ROSTER),
  bits,
  bits,
  v.nullable(v.strictTuple([digest, signature])),
  v.boolean(),
]);

/**
 * All that this PoP has said at the active height: it only grows, is on disk before it is told, and is read back
 * after a crash, so that no PoP ever contradicts itself.
 */
export class Ballot {
  readonly height: number;
  readonly size: number;
  proposal: Proposal | undefined;
  readonly echo: (Digest | undefined)[];
  readonly ready: (Digest | undefined)[];
  /** The round of each slot's binary agreement. */
  readonly round: number[];
  readonly decided: readonly [SlotBits, SlotBits];
  readonly #rounds: RoundVotes[] = [];
  commit: Commit | undefined;
  /** The others decided something else: never sign again. */
  diverged = false;
  /** Rises with each growth that is told. */
  seq = 0;
  /** Grown since it was last encoded for the disk, in whatever or in what a VOTE tells. */
  grown = false;
  louder = false;

  constructor(height: number, size: number) {
    this.height = height;
    this.size = size;
    this.echo = new Array<Digest | undefined>(size).fill(undefined);
    this.ready = new Array<Digest | undefined>(size).fill(undefined);
    this.round = new Array<number>(size).fill(0);
    this.decided = [newBits(size), newBits(size)];
  }

  grow(): void {
    this.grown = true;
    this.louder = true;
  }

  decision(slot: number): Bit | undefined {
    return hasBit(this.decided[1], slot) ? 1 : hasBit(this.decided[0], slot) ? 0 : undefined;
  }

  /** How many slots were decided 1. */
  get included(): number {
    let count = 0;
    eachBit(this.decided[1], this.size, () => {
      count += 1;
    });
    return count;
  }

  addBval(round: number, value: Bit, slot: number): boolean {
    return this.#set(round, value, slot);
  }

  addAux(round: number, value: Bit, slot: number): boolean {
    return this.#set(round, value === 0 ? 2 : 3, slot);
  }

  hasAux(round: number, slot: number): boolean {
    const votes = this.#rounds[round];
    return votes !== undefined && (hasBit(votes[2], slot) || hasBit(votes[3], slot));
  }

  hasBval(round: number, value: Bit, slot: number): boolean {
    const votes = this.#rounds[round];
    return votes !== undefined && hasBit(votes[value], slot);
  }

  /** The VOTE that tells all of it. */
  vote(): VoteMessage {
    const ready = newBits(this.size);
    const alternative: SlotDigest[] = [];
    for (const [slot, id] of this.ready.entries()) {
      if (id === undefined) continue;
      if (id === this.echo[slot]) setBit(ready, slot);
      else alternative.push([slot, id]);
    }
    return {
      ...{ kind: 'vote', height: this.height, seq: this.seq, ready: wireBits(ready), alternative },
      rounds: this.#rounds.map(([b0, b1, a0, a1]) => [
        wireBits(b0),
        wireBits(b1),
        wireBits(a0),
        wireBits(a1),
      ]),
      decided: [wireBits(this.decided[0]), wireBits(this.decided[1])],
      commit: this.commit,
    };
  }

  echoes(): SlotDigest[] {
    return listed(this.echo);
  }

  encode(): Uint8Array {
    const raw = (id: Digest) => Buffer.from(id, 'hex');
    const { proposal: p, commit: c } = this;
    return encode([
      1,
      this.height,
      this.size,
      this.seq,
      p ? [raw(p.id), p.length, p.signature] : null,
      this.echoes().map(([slot, id]) => [slot, raw(id)]),
      listed(this.ready).map(([slot, id]) => [slot, raw(id)]),
      this.#rounds,
      this.round,
      this.decided[0],
      this.decided[1],
      c ? [raw(c.hash), c.signature] : null,
      this.diverged,
    ]);
  }

  /** Fails with `STORE_CORRUPT`. */
  static decode(data: Uint8Array): Ballot {
    try {
      const row = decode(data, { name: 'ballot', maxBytes: 1 << 20, depth: 3, elements: 32_768, schema });
      const [, height, size, seq, proposal, echoes, readies, rounds, round, zero, one, commit, diverged] =
        row;
      const ballot = new Ballot(height, size);
      if (round.length !== size || ![zero, one, ...rounds.flat()].every((set) => fits(set, size))) {
        throw new PresageError('STORE_CORRUPT', 'a ballot of another size');
      }
      ballot.seq = seq;
      if (proposal) ballot.proposal = { id: proposal[0], length: proposal[1], signature: proposal[2] };
      for (const [slot, id] of echoes) ballot.echo[slot] = id;
      for (const [slot, id] of readies) ballot.ready[slot] = id;
      for (const votes of rounds) ballot.#rounds.push(votes.map((set) => fullBits(set, size)) as never);
      for (const [slot, at] of round.entries()) ballot.round[slot] = at;
      ballot.decided[0].set(zero);
      ballot.decided[1].set(one);
      if (commit) ballot.commit = { hash: commit[0], signature: commit[1] };
      ballot.diverged = diverged;
      return ballot;
    } catch (error) {
      throw new PresageError('STORE_CORRUPT', 'the record of own votes is damaged', {}, error);
    }
  }

  #set(round: number, index: number, slot: number): boolean {
    while (this.#rounds.length <= round) {
      this.#rounds.push([newBits(this.size), newBits(this.size), newBits(this.size), newBits(this.size)]);
    }
    return setBit(this.#rounds[round]![index]!, slot);
  }
}

const listed = (ids: readonly (Digest | undefined)[]): SlotDigest[] =>
  ids.flatMap((id, slot) => (id === undefined ? [] : [[slot, id] as const]));
