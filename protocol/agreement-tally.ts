import { eachBit, hasBit } from './agreement-bits.ts';
import type { Bit } from './coin.ts';
import { type Digest, MAX_ROUNDS, type SlotDigest, type VoteMessage } from './messages/agreement.ts';

/** Rounds above the window's base that explicit votes are counted in. */
const WINDOW = 2;

/** Votes for one id in one slot. */
export interface Candidate {
  /** In the order in which the ids of a slot were heard, from 1. */
  readonly number: number;
  echoes: number;
  readies: number;
}

/** Who voted what in one round: per value and slot a set of senders. */
interface RoundTally {
  readonly bval: readonly [Uint32Array, Uint32Array];
  readonly aux: readonly [Uint32Array, Uint32Array];
}

function population(word: number): number {
  let w = word - ((word >>> 1) & 0x55555555);
  w = (w & 0x33333333) + ((w >>> 2) & 0x33333333);
  return Math.imul((w + (w >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * What everyone, oneself included, has voted at the active height, as far as it was heard. Per sender and slot the
 * first ECHO, READY, AUX and DEC count; BVAL is a union. DEC(v) implies BVAL(v) and AUX(v) in every round in which
 * that sender has no explicit AUX for the slot, READY excepted; these implied votes are computed when they are
 * counted, so that no window and no order of arrival matters to them. Volatile: it is heard again after a restart.
 */
export class Tally {
  readonly #size: number;
  readonly #words: number;
  readonly #liars: number;
  readonly #implied: boolean;
  readonly #candidates: Map<Digest, Candidate>[];
  /** The same by number. */
  readonly #numbered: Candidate[][];
  /** By sender and slot the number of the id, 0 for none: references to ids would take most of a large PoP's memory. */
  readonly #echo: Uint16Array;
  readonly #ready: Uint16Array;
  readonly #rounds: RoundTally[] = [];
  readonly #decided: readonly [Uint32Array, Uint32Array];
  readonly #last: (VoteMessage | undefined)[];
  readonly #claimed: number[];
  /** Slots whose counts have changed since they were last looked at. */
  readonly #changed: Uint8Array;
  #base = 0;

  constructor(size: number, liars: number, implied: boolean) {
    this.#size = size;
    this.#words = (size + 31) >>> 5;
    this.#liars = liars;
    this.#implied = implied;
    this.#candidates = Array.from({ length: size }, () => new Map());
    this.#numbered = Array.from({ length: size }, () => []);
    this.#echo = new Uint16Array(size * size);
    this.#ready = new Uint16Array(size * size);
    this.#decided = [new Uint32Array(size * this.#words), new Uint32Array(size * this.#words)];
    this.#last = new Array<VoteMessage | undefined>(size).fill(undefined);
    this.#claimed = new Array<number>(size).fill(0);
    this.#changed = new Uint8Array(size).fill(1);
    this.#widen();
  }

  /** A slot is to be looked at again. */
  touch(slot: number): void {
    this.#changed[slot] = 1;
  }

  /** Whether a slot's counts have changed since this was last asked. */
  takeChanged(slot: number): boolean {
    const changed = this.#changed[slot] === 1;
    this.#changed[slot] = 0;
    return changed;
  }

  /** Rounds in which explicit votes are counted. */
  get rounds(): number {
    return this.#rounds.length;
  }

  /** The highest `seq` heard from a sender. */
  seq(sender: number): number {
    return this.#last[sender]?.seq ?? 0;
  }

  candidates(slot: number): ReadonlyMap<Digest, Candidate> {
    return this.#candidates[slot]!;
  }

  /** Senders who hold the body `id` of a slot, by their ECHO. */
  echoers(slot: number, id: Digest): number[] {
    const number = this.#candidates[slot]!.get(id)?.number;
    const senders: number[] = [];
    for (let s = 0; s < this.#size; s += 1) {
      if (number !== undefined && this.#echo[s * this.#size + slot] === number) senders.push(s);
    }
    return senders;
  }

  /** Each method that records says whether that changed anything. */
  echo(sender: number, slot: number, id: Digest): boolean {
    const at = sender * this.#size + slot;
    if (this.#echo[at] !== 0) return false;
    const candidate = this.#candidate(slot, id);
    this.#echo[at] = candidate.number;
    candidate.echoes += 1;
    this.#changed[slot] = 1;
    const last = this.#last[sender];
    if (last && hasBit(last.ready, slot)) this.#isReady(sender, slot, candidate);
    return true;
  }

  ready(sender: number, slot: number, id: Digest): boolean {
    if (this.#ready[sender * this.#size + slot] !== 0) return false;
    return this.#isReady(sender, slot, this.#candidate(slot, id));
  }

  #isReady(sender: number, slot: number, candidate: Candidate): boolean {
    const at = sender * this.#size + slot;
    if (this.#ready[at] !== 0) return false;
    this.#ready[at] = candidate.number;
    candidate.readies += 1;
    this.#changed[slot] = 1;
    return true;
  }

  bval(sender: number, round: number, value: Bit, slot: number): boolean {
    const tally = this.#rounds[round];
    return tally !== undefined && this.#add(tally.bval[value], slot, sender);
  }

  aux(sender: number, round: number, value: Bit, slot: number): boolean {
    const tally = this.#rounds[round];
    if (!tally || this.#has(tally.aux[0], slot, sender) || this.#has(tally.aux[1], slot, sender))
      return false;
    return this.#add(tally.aux[value], slot, sender);
  }

  decide(sender: number, value: Bit, slot: number): boolean {
    if (this.#has(this.#decided[1 - value]!, slot, sender)) return false;
    return this.#add(this.#decided[value], slot, sender);
  }

  echoes(sender: number, echoes: readonly SlotDigest[]): boolean {
    let grown = false;
    for (const [slot, id] of echoes) if (slot < this.#size) grown = this.echo(sender, slot, id) || grown;
    return grown;
  }

  /** Merges a sender's newest votes; older copies hold nothing that they do not. */
  vote(sender: number, vote: VoteMessage): boolean {
    const last = this.#last[sender];
    if (last && vote.seq <= last.seq) return false;
    this.#last[sender] = vote;
    let grown = false;
    for (const [round, votes] of vote.rounds.entries()) {
      // Only an AUX shows that the sender was in that round: BVALs are also repeated for rounds far ahead.
      if (votes[2].some((byte) => byte !== 0) || votes[3].some((byte) => byte !== 0))
        grown = this.claim(sender, round + 1) || grown;
    }
    return this.#merge(sender, vote, last) || grown;
  }

  /** The sender is in that round at least. */
  claim(sender: number, round: number): boolean {
    if (round <= this.#claimed[sender]!) return false;
    this.#claimed[sender] = round;
    // One more claim at or below the base raises nothing.
    if (round <= this.#base) return false;
    const sorted = this.#claimed.toSorted((a, b) => b - a);
    return this.#raise(sorted[this.#liars]!);
  }

  /** A round that this PoP is in itself. */
  enter(round: number): void {
    this.#raise(round);
  }

  bvals(round: number, value: Bit, slot: number): number {
    const tally = this.#rounds[round];
    return tally ? this.#count(tally, tally.bval[value], value, slot, !(round === 0 && value === 1)) : 0;
  }

  auxes(round: number, value: Bit, slot: number): number {
    const tally = this.#rounds[round];
    return tally ? this.#count(tally, tally.aux[value], value, slot, true) : 0;
  }

  decisions(value: Bit, slot: number): number {
    let count = 0;
    const from = slot * this.#words;
    for (let w = from; w < from + this.#words; w += 1) count += population(this.#decided[value][w]!);
    return count;
  }

  /** READYs for whatever id. */
  readies(slot: number): number {
    let count = 0;
    for (const { readies } of this.#candidates[slot]!.values()) count += readies;
    return count;
  }

  /** Whether the sender's BVAL counts, sent or implied. */
  counted(sender: number, round: number, value: Bit, slot: number): boolean {
    const tally = this.#rounds[round];
    if (!tally) return false;
    if (this.#has(tally.bval[value], slot, sender)) return true;
    if (!this.#implied || !this.#has(this.#decided[value], slot, sender)) return false;
    return !this.#has(tally.aux[0], slot, sender) && !this.#has(tally.aux[1], slot, sender);
  }

  #count(tally: RoundTally, explicit: Uint32Array, value: Bit, slot: number, implied: boolean): number {
    let count = 0;
    const from = slot * this.#words;
    for (let w = from; w < from + this.#words; w += 1) {
      let senders = explicit[w]!;
      if (implied && this.#implied)
        senders |= this.#decided[value][w]! & ~(tally.aux[0][w]! | tally.aux[1][w]!);
      count += population(senders);
    }
    return count;
  }

  /** Takes in what a sender's votes hold beyond those of `last`, which are merged already. */
  #merge(sender: number, vote: VoteMessage, last?: VoteMessage): boolean {
    const size = this.#size;
    let grown = false;
    const ready = (slot: number) => {
      const number = this.#echo[sender * size + slot]!;
      if (number !== 0) grown = this.#isReady(sender, slot, this.#numbered[slot]![number - 1]!) || grown;
    };
    eachBit(vote.ready, size, ready, last?.ready);
    for (const [slot, id] of vote.alternative) {
      if (slot < size) grown = this.ready(sender, slot, id) || grown;
    }
    const counted = Math.min(vote.rounds.length, this.#rounds.length);
    for (let round = 0; round < counted; round += 1) {
      const votes = vote.rounds[round]!;
      const merged = last?.rounds[round];
      for (const value of [0, 1] as const) {
        const bval = (slot: number) => {
          grown = this.bval(sender, round, value, slot) || grown;
        };
        const aux = (slot: number) => {
          grown = this.aux(sender, round, value, slot) || grown;
        };
        // READY is the first round's vote for 1: a bare bit would not name an id.
        if (round !== 0 || value !== 1) eachBit(votes[value], size, bval, merged?.[value]);
        const at = value === 0 ? 2 : 3;
        eachBit(votes[at], size, aux, merged?.[at]);
      }
    }
    for (const value of [0, 1] as const) {
      const decide = (slot: number) => {
        grown = this.decide(sender, value, slot) || grown;
      };
      eachBit(vote.decided[value], size, decide, last?.decided[value]);
    }
    return grown;
  }

  #raise(base: number): boolean {
    if (base <= this.#base) return false;
    this.#base = base;
    const before = this.#rounds.length;
    this.#widen();
    if (this.#rounds.length === before) return false;
    for (const [sender, vote] of this.#last.entries()) if (vote) this.#merge(sender, vote);
    return true;
  }

  #widen(): void {
    const length = this.#size * this.#words;
    const rounds = Math.min(this.#base + WINDOW + 1, MAX_ROUNDS);
    // Votes that a DEC implies count in new rounds too.
    if (this.#rounds.length < rounds) this.#changed.fill(1);
    while (this.#rounds.length < rounds) {
      this.#rounds.push({
        bval: [new Uint32Array(length), new Uint32Array(length)],
        aux: [new Uint32Array(length), new Uint32Array(length)],
      });
    }
  }

  #candidate(slot: number, id: Digest): Candidate {
    const candidates = this.#candidates[slot]!;
    let candidate = candidates.get(id);
    if (!candidate) {
      candidate = { number: candidates.size + 1, echoes: 0, readies: 0 };
      candidates.set(id, candidate);
      this.#numbered[slot]!.push(candidate);
    }
    return candidate;
  }

  #has(senders: Uint32Array, slot: number, sender: number): boolean {
    return (senders[slot * this.#words + (sender >>> 5)]! & (1 << (sender & 31))) !== 0;
  }

  #add(senders: Uint32Array, slot: number, sender: number): boolean {
    const at = slot * this.#words + (sender >>> 5);
    const word = senders[at]!;
    const next = (word | (1 << (sender & 31))) >>> 0;
    senders[at] = next;
    if (next === word) return false;
    this.#changed[slot] = 1;
    return true;
  }
}
