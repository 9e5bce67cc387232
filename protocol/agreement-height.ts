import { Ballot } from './agreement-ballot.ts';
import { EchoBlocks } from './agreement-echo.ts';
import { digestOf, encodeHeader, type Header, inSlotOrder } from './agreement-header.ts';
import type { Application, Defects, Epoch, Included } from './agreement-steps.ts';
import { Tally } from './agreement-tally.ts';
import { auxMs } from './agreement-timing.ts';
import { type Bit, type Coin, not } from './coin.ts';
import { type Digest, MAX_ROUNDS, type ProposeMessage, type SlotDigest } from './messages/agreement.ts';
import type { Quorum } from './quorum.ts';

/** A header that this PoP computed or took over, with what it is the hash of. */
export interface BuiltHeader {
  readonly header: Header;
  readonly bytes: Uint8Array;
  readonly hash: Digest;
  readonly state: Uint8Array;
  /** Operations that were in the bodies, if it was computed here. */
  readonly operations: readonly Uint8Array[];
}

/**
 * The active height at one member: its ballot, what it heard, and the voting rules R3 to R9 of the batched common
 * subset (reliable broadcast per proposal, and per slot the binary agreement of Mostéfaoui, Moumen and Raynal,
 * PODC 2014, in its two-step form with a common coin).
 */
export class ActiveHeight {
  readonly ballot: Ballot;
  readonly tally: Tally;
  readonly me: number;
  readonly quorum: Quorum;
  /** First PROPOSE by slot. */
  readonly proposals: (ProposeMessage | undefined)[];
  /** First COMMIT by slot, its signature verified. */
  readonly commits: ({ readonly hash: Digest; readonly signature: Uint8Array } | undefined)[];
  /** Slots whose first PROPOSE this PoP does not vouch for. */
  readonly refused: boolean[];
  built: BuiltHeader | undefined;
  /** Compact ECHOs. */
  readonly blocks: EchoBlocks;
  /** When the rules are to be run again though nothing was heard. */
  waitUntil = Number.POSITIVE_INFINITY;
  /** When votes against slots without READY may begin. */
  graceAt = Number.POSITIVE_INFINITY;
  readonly #coin: Coin;
  readonly #defects: Defects;
  /** Since when the value that the coin does not favour could be voted for in a slot's round. */
  readonly #waiting: (number | undefined)[];

  constructor(
    options: {
      readonly height: number;
      readonly me: number;
      readonly quorum: Quorum;
      readonly coin: Coin;
      readonly defects: Defects;
    },
    ballot?: Ballot,
  ) {
    const { height, me, quorum, coin, defects } = options;
    this.me = me;
    this.quorum = quorum;
    this.#coin = coin;
    this.#defects = defects;
    this.ballot = ballot ?? new Ballot(height, quorum.size);
    this.tally = new Tally(quorum.size, quorum.liars, defects.noImpliedVotes !== true);
    this.proposals = new Array(quorum.size).fill(undefined);
    this.commits = new Array(quorum.size).fill(undefined);
    this.refused = new Array<boolean>(quorum.size).fill(false);
    this.#waiting = new Array(quorum.size).fill(undefined);
    this.blocks = new EchoBlocks(
      height,
      quorum.size,
      (slot) => this.ballot.echo[slot] ?? this.proposals[slot]?.id,
    );
    if (ballot) this.#recount();
  }

  get height(): number {
    return this.ballot.height;
  }

  /** Counts again what was said before a restart. */
  #recount(): void {
    const { ballot, tally, me } = this;
    for (const round of ballot.round) tally.enter(round);
    tally.echoes(me, ballot.echoes());
    for (const [slot, id] of ballot.ready.entries()) if (id !== undefined) tally.ready(me, slot, id);
    tally.vote(me, { ...ballot.vote(), seq: Math.max(1, ballot.seq) });
    if (ballot.commit) this.commits[me] = ballot.commit;
  }

  echo(slot: number, id: Digest): void {
    if (this.ballot.echo[slot] !== undefined) return;
    this.ballot.echo[slot] = id;
    this.ballot.grown = true;
    this.tally.echo(this.me, slot, id);
  }

  /** Runs the voting rules until nothing follows any more: for slots whose votes have changed, or that wait for a time. */
  run(now: number): void {
    this.waitUntil = Number.POSITIVE_INFINITY;
    for (let again = true; again; ) {
      again = false;
      for (let slot = 0; slot < this.quorum.size; slot += 1) {
        if (!this.#apply(slot, now)) continue;
        this.tally.touch(slot);
        again = true;
      }
    }
  }

  /** One pass over a slot's rules; whether anything followed. */
  #apply(slot: number, now: number): boolean {
    let grown = false;
    const changed = this.tally.takeChanged(slot);
    if (changed) {
      grown = this.#ready(slot);
      grown = this.#follow(slot) || grown;
      grown = this.#repeat(slot) || grown;
    }
    grown = this.#oppose(slot, now) || grown;
    if (changed || this.#waiting[slot] !== undefined) grown = this.#advance(slot, now) || grown;
    return grown;
  }

  /** The id of a slot that was decided 1, once one is certain. */
  chosen(slot: number): Digest | undefined {
    if (this.#defects.readyUnbound) return this.ballot.ready[slot];
    for (const [id, { readies }] of this.tally.candidates(slot)) if (readies > this.quorum.liars) return id;
    return undefined;
  }

  /** Every slot's decision is known. */
  complete(): boolean {
    for (let slot = 0; slot < this.quorum.size; slot += 1) {
      if (this.ballot.decision(slot) === undefined) return false;
    }
    return true;
  }

  /** Who has committed to which header. */
  committed(): Map<Digest, number[]> {
    const slots = new Map<Digest, number[]>();
    for (const [slot, commit] of this.commits.entries()) {
      if (!commit) continue;
      const same = slots.get(commit.hash);
      if (same) same.push(slot);
      else slots.set(commit.hash, [slot]);
    }
    return slots;
  }

  /** The signatures held for one header. */
  certificate(hash: Digest): [slot: number, signature: Uint8Array][] {
    return this.commits.flatMap((commit, slot) =>
      commit?.hash === hash ? [[slot, commit.signature] as [number, Uint8Array]] : [],
    );
  }

  /** R3. */
  #ready(slot: number): boolean {
    const { ballot, tally, quorum } = this;
    if (ballot.ready[slot] !== undefined) return false;
    const unbound = this.#defects.readyUnbound ? tally.readies(slot) : 0;
    for (const [id, { echoes, readies }] of tally.candidates(slot)) {
      if (echoes < quorum.quorum && Math.max(readies, unbound) <= quorum.liars) continue;
      ballot.ready[slot] = id;
      ballot.grow();
      tally.ready(this.me, slot, id);
      return true;
    }
    return false;
  }

  /** R9. */
  #follow(slot: number): boolean {
    if (this.ballot.decision(slot) !== undefined) return false;
    for (const value of [0, 1] as const) {
      if (this.tally.decisions(value, slot) > this.quorum.liars) return this.#decide(slot, value);
    }
    return false;
  }

  /** R5. */
  #repeat(slot: number): boolean {
    let grown = false;
    const { tally, quorum, me } = this;
    for (let round = 0; round < tally.rounds; round += 1) {
      for (const value of [0, 1] as const) {
        if (round === 0 && value === 1) continue;
        if (tally.bvals(round, value, slot) <= quorum.liars) continue;
        if (!tally.counted(me, round, value, slot)) grown = this.#bval(round, value, slot) || grown;
      }
    }
    return grown;
  }

  /** R4. */
  #oppose(slot: number, now: number): boolean {
    const { ballot } = this;
    if (ballot.ready[slot] !== undefined || ballot.hasBval(0, 0, slot)) return false;
    if (!this.#defects.zeroByTimer && ballot.included < this.quorum.quorum) return false;
    if (now < this.graceAt) {
      this.waitUntil = Math.min(this.waitUntil, this.graceAt);
      return false;
    }
    return this.#bval(0, 0, slot);
  }

  /** R6 to R8. */
  #advance(slot: number, now: number): boolean {
    const { ballot, tally, quorum } = this;
    if (ballot.decision(slot) !== undefined) return false;
    const round = ballot.round[slot]!;
    if (round >= MAX_ROUNDS - 1) return false;
    const coin = this.#coin.toss(round, slot);
    const likely = this.#inBin(round, coin, slot);
    const unlikely = this.#inBin(round, not(coin), slot);
    let grown = false;
    if (!ballot.hasAux(round, slot)) {
      if (likely) this.#aux(round, coin, slot);
      else if (unlikely) {
        const since = this.#waiting[slot] ?? now;
        this.#waiting[slot] = since;
        if (now < since + auxMs(round)) {
          this.waitUntil = Math.min(this.waitUntil, since + auxMs(round));
          return false;
        }
        this.#aux(round, not(coin), slot);
      } else return false;
      grown = true;
    }
    const loose = this.#defects.auxOutsideBin === true;
    const forCoin = likely || loose ? tally.auxes(round, coin, slot) : 0;
    const against = unlikely || loose ? tally.auxes(round, not(coin), slot) : 0;
    let estimate: Bit;
    if (forCoin >= quorum.quorum) return this.#decide(slot, coin);
    if (against >= quorum.quorum) estimate = not(coin);
    else if (((likely && unlikely) || loose) && forCoin + against >= quorum.quorum) estimate = coin;
    else return grown;
    ballot.round[slot] = round + 1;
    ballot.grow();
    this.#waiting[slot] = undefined;
    tally.enter(round + 1);
    this.#bval(round + 1, estimate, slot);
    return true;
  }

  #inBin(round: number, value: Bit, slot: number): boolean {
    const { tally, quorum } = this;
    if (round !== 0 || value !== 1) return tally.bvals(round, value, slot) >= quorum.quorum;
    if (this.#defects.readyUnbound) return tally.readies(slot) >= quorum.quorum;
    for (const { readies } of tally.candidates(slot).values()) if (readies >= quorum.quorum) return true;
    return false;
  }

  #bval(round: number, value: Bit, slot: number): boolean {
    if (!this.ballot.addBval(round, value, slot)) return false;
    this.ballot.grow();
    this.tally.bval(this.me, round, value, slot);
    return true;
  }

  #aux(round: number, value: Bit, slot: number): void {
    this.ballot.addAux(round, value, slot);
    this.ballot.grow();
    this.tally.aux(this.me, round, value, slot);
  }

  #decide(slot: number, value: Bit): true {
    const set = this.ballot.decided[value];
    set[slot >> 3]! |= 1 << (slot & 7);
    this.ballot.grow();
    this.tally.decide(this.me, value, slot);
    return true;
  }
}

/** R10: the header that follows from the decided slots; undefined while an id or a body is missing. */
export function buildHeader(
  active: ActiveHeight,
  epoch: Epoch,
  bodies: { get(id: Digest): Uint8Array | undefined },
  application: Application,
): BuiltHeader | undefined {
  const chosen: SlotDigest[] = [];
  const included: Included[] = [];
  for (const [slot, proposer] of epoch.roster.entries()) {
    if (active.ballot.decision(slot) !== 1) continue;
    const id = active.chosen(slot);
    const body = id === undefined ? undefined : bodies.get(id);
    if (id === undefined || body === undefined) return undefined;
    chosen.push([slot, id]);
    included.push({ slot, proposer, body });
  }
  const { state, roster, operations = [] } = application.apply(epoch, included);
  const header: Header = {
    ...{ height: epoch.height, previous: epoch.chain, included: chosen, stateHash: digestOf(state) },
    roster: roster && inSlotOrder(roster),
  };
  const bytes = encodeHeader(header);
  return { header, bytes, hash: digestOf(bytes), state, operations };
}
