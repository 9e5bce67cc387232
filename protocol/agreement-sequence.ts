import type { Ballot } from './agreement-ballot.ts';
import { Bodies, bodyLimit } from './agreement-bodies.ts';
import { CatchUp, Knocking } from './agreement-catch-up.ts';
import { DecidedChain, type Verified } from './agreement-chain.ts';
import { commitStatement, digestBytes, digestOf, proposeStatement } from './agreement-header.ts';
import { ActiveHeight, type BuiltHeader, buildHeader } from './agreement-height.ts';
import { Intake } from './agreement-intake.ts';
import { Journal } from './agreement-journal.ts';
import { PendingOperations } from './agreement-operations.ts';
import { Speech } from './agreement-speech.ts';
import type { AgreementEffect, AgreementOptions, AgreementWrite, Defects, Epoch } from './agreement-steps.ts';
import {
  BEAT_EPOCHS,
  DEGRADED_EPOCHS,
  EPOCH_MAX_MS,
  EPOCH_MIN_MS,
  FALLBACK_EPOCHS,
  graceMs,
  pauseMs,
} from './agreement-timing.ts';
import { Coin } from './coin.ts';
import { type ErrorCode, PresageError } from './errors.ts';
import type { PopId } from './ids.ts';
import { type AgreementDirect, type AgreementGossip, encodeAgreement } from './messages/agreement.ts';
import type { Verdict } from './ports.ts';
import { type Quorum, quorumOf } from './quorum.ts';

export const NEVER = Number.POSITIVE_INFINITY;

/**
 * From height to height: when to propose, whom to vouch for, when a height is closed (rules R1, R2, R10 to R12; the
 * voting rules between are in `ActiveHeight`). What comes from elsewhere and goes there is the subclass's concern.
 */
export abstract class HeightSequence {
  protected readonly options: AgreementOptions;
  protected readonly epochMs: number;
  protected readonly chain: DecidedChain;
  protected readonly bodies: Bodies;
  protected readonly journal: Journal;
  protected readonly speech: Speech;
  protected readonly catchUp: CatchUp;
  protected readonly knocking: Knocking;
  protected readonly operations: PendingOperations;
  protected effects: AgreementEffect[] = [];
  protected epoch!: Epoch;
  protected slots = new Map<PopId, number>();
  /** Absent while this PoP has no vote: outside the roster, silent or diverged. */
  protected active: ActiveHeight | undefined;
  /** The ballot that the disk held at the start, until its height is active. */
  protected stored: Ballot | undefined;
  /** At these heights and below, votes may have been given that the disk does not know of. */
  protected silentThrough = 0;
  protected isDiverged = false;
  protected isDegraded = false;
  protected degradedAt = NEVER;
  protected proposeAt = 0;
  /** The own proposal before was begun then. */
  #begunAt = Number.NEGATIVE_INFINITY;
  /** A beat has come while the height before was active. */
  #overdue = false;
  /** Messages of the next height. */
  protected early: { readonly from: PopId; readonly message: AgreementGossip }[] = [];
  /** Highest `seq` that peers say to hold from here, at the active height. */
  protected readonly reports = new Map<PopId, number>();
  /** Something was learned since the rules last ran. */
  protected stale = true;
  /** When the rules run again that are at pause. */
  protected resumeAt = NEVER;
  #ranAt = Number.NEGATIVE_INFINITY;
  readonly #defects: Defects;
  readonly #intake: Intake;

  constructor(options: AgreementOptions) {
    this.options = options;
    this.#defects = options.defects ?? {};
    this.epochMs = Math.min(EPOCH_MAX_MS, Math.max(EPOCH_MIN_MS, options.epochMs));
    this.chain = new DecidedChain(options);
    this.bodies = new Bodies(options.random);
    this.journal = new Journal((effect) => this.effects.push(effect), this.#defects.sendBeforeFsync === true);
    this.#intake = new Intake(options, this.bodies);
    this.speech = new Speech(this.journal, this.bodies, options.random, this.#defects.noResend === true);
    this.catchUp = new CatchUp(options.random);
    this.knocking = new Knocking(options.random);
    this.operations = new PendingOperations(options.random);
  }

  /** The height after the tip becomes the active one. */
  protected begin(now: number): void {
    this.epoch = this.chain.epoch();
    const { height, roster, chain } = this.epoch;
    this.slots = new Map(roster.map((pop, slot) => [pop, slot]));
    this.reports.clear();
    this.speech.begin();
    this.active = undefined;
    const me = this.slots.get(this.options.self);
    if (me === undefined || this.isDiverged || height <= this.silentThrough) {
      this.knocking.at = Math.min(this.knocking.at, now);
      this.early = [];
      return;
    }
    this.knocking.at = NEVER;
    const seed = this.#defects.coinPerNode ? digestOf(Buffer.from(`${chain}${me}`)) : chain;
    const favoured = this.chain.favoured();
    const coin = new Coin(
      digestBytes(seed),
      height,
      this.#defects.coinPerNode ? favoured.map((_, slot) => (slot + me) % 2 === 0) : favoured,
    );
    const quorum = this.#quorumOf(roster.length);
    const fits = this.stored?.height === height && this.stored.size === roster.length;
    this.active = new ActiveHeight(
      { height, me, quorum, coin, defects: this.#defects },
      fits ? this.stored : undefined,
    );
    if (this.#overdue) this.proposeAt = Math.min(this.proposeAt, now);
    if (this.active.ballot.proposal) this.active.graceAt = now + graceMs(this.epochMs);
    this.stored = undefined;
    const early = this.early;
    this.early = [];
    for (const { from, message } of early) if (message.height === height) this.take(from, message, now);
    this.stale = true;
  }

  #quorumOf(size: number): Quorum {
    const quorum = quorumOf(size);
    if (this.#defects.quorum === 'one short') return { ...quorum, quorum: Math.max(1, quorum.quorum - 1) };
    if (this.#defects.quorum === '2b+1') return { ...quorum, quorum: 2 * quorum.liars + 1 };
    return quorum;
  }

  protected take(from: PopId, message: AgreementGossip, now: number): Verdict {
    const slot = this.slots.get(from);
    if (!this.active || slot === undefined) return { verdict: 'accept' };
    try {
      const taken = this.#intake.take(this.active, slot, from, message, now);
      if (taken.equivocation) this.effects.push({ type: 'equivocation', equivocation: taken.equivocation });
      this.stale ||= taken.grown;
      return { verdict: 'accept' };
    } catch (error) {
      if (!(error instanceof PresageError)) throw error;
      this.fault(error.code, from);
      return { verdict: 'reject', code: error.code };
    }
  }

  /** Runs the rules until nothing follows: also over several heights, if this PoP decides alone. */
  protected progress(now: number): void {
    const due = Math.min(
      this.active?.waitUntil ?? NEVER,
      this.active?.ballot.proposal ? NEVER : this.proposeAt,
    );
    if (!this.stale && now < due && now < this.bodies.nextAt) return;
    const resumeAt = this.#ranAt + pauseMs(this.slots.size);
    this.resumeAt = now < resumeAt ? resumeAt : NEVER;
    if (now < resumeAt) return;
    this.#ranAt = now;
    this.stale = false;
    for (let again = true; again; ) {
      const active = this.active;
      if (!active) break;
      again = false;
      this.#propose(active, now);
      this.#vouch(active);
      active.run(now);
      again = this.#close(active, now);
    }
    const active = this.active;
    if (!active) return;
    for (const [slot, id] of this.bodies.due(now, (at, digest) => active.tally.echoers(at, digest))) {
      const peer = this.epoch.roster[slot]!;
      if (slot !== active.me) this.send(peer, { kind: 'body-request', id });
    }
  }

  /** What the next own proposal is made of is ready. */
  protected beat(now: number): void {
    if (!this.active || now - this.#begunAt < BEAT_EPOCHS * this.epochMs) return;
    if (this.active.ballot.proposal) this.#overdue = true;
    else this.proposeAt = Math.min(this.proposeAt, now);
  }

  /** R1. */
  #propose(active: ActiveHeight, now: number): void {
    const { ballot, me, quorum } = active;
    if (ballot.proposal) return;
    let others = 0;
    for (const proposal of active.proposals) if (proposal) others += 1;
    if (now < this.proposeAt && others <= quorum.liars) return;
    const { application, genesis, sign } = this.options;
    const waiting = this.operations.waiting(active.height, now);
    let { body, carried } = application.propose(this.epoch, waiting);
    if (body.length > bodyLimit(quorum.size)) {
      this.fault('WIRE_TOO_LARGE', undefined);
      body = new Uint8Array(0);
      carried = [];
    }
    this.operations.carried(carried);
    const id = digestOf(body);
    ballot.proposal = {
      id,
      length: body.length,
      signature: sign(proposeStatement(genesis, active.height, id)),
    };
    this.bodies.hold(id, body, active.height);
    active.echo(me, id);
    this.#intake.known(active, me);
    active.graceAt = now + graceMs(this.epochMs);
    this.#begunAt = now;
    this.#overdue = false;
    this.proposeAt = now + FALLBACK_EPOCHS * this.epochMs;
    this.speech.proposed();
  }

  /** R2. */
  #vouch(active: ActiveHeight): void {
    const { application } = this.options;
    for (const [slot, proposal] of active.proposals.entries()) {
      if (!proposal || active.ballot.echo[slot] !== undefined || active.refused[slot]) continue;
      const body = this.bodies.get(proposal.id);
      if (!body) continue;
      if (application.validate(body, this.epoch, this.epoch.roster[slot]!)) {
        active.echo(slot, proposal.id);
        this.speech.echoed([slot, proposal.id]);
      } else active.refused[slot] = true;
    }
  }

  /** R10 to R12. True if the next height has begun. */
  #close(active: ActiveHeight, now: number): boolean {
    for (const [slot, id] of active.ballot.ready.entries()) {
      if (id !== undefined) this.bodies.want(id, slot, now);
    }
    if (!active.built && active.complete()) {
      const built = buildHeader(active, this.epoch, this.bodies, this.options.application);
      if (built && active.ballot.commit && active.ballot.commit.hash !== built.hash)
        return this.diverge(active);
      if (built) active.built = built;
      if (built && !active.ballot.commit) this.commit(active, built);
    }
    const { commit } = active.ballot;
    for (const [hash, slots] of active.committed()) {
      if (slots.length <= active.quorum.liars || hash === active.built?.hash) continue;
      if (commit && commit.hash !== hash) return this.diverge(active);
      for (const slot of slots) if (slot !== active.me) this.catchUp.ahead(this.epoch.roster[slot]!, now);
    }
    const { built } = active;
    if (!built || commit?.hash !== built.hash) return false;
    const cert = active.certificate(built.hash);
    if (cert.length < active.quorum.quorum) return false;
    const { roster } = this.epoch;
    this.finalise({ built, cert, roster, changes: [], final: true }, false, now);
    return true;
  }

  protected commit(active: ActiveHeight, { hash }: BuiltHeader): void {
    const signature = this.options.sign(commitStatement(this.options.genesis, active.height, hash));
    active.ballot.commit = { hash, signature };
    active.ballot.grow();
    active.commits[active.me] = active.ballot.commit;
  }

  protected diverge(active: ActiveHeight): false {
    active.ballot.diverged = true;
    this.isDiverged = true;
    const own: AgreementWrite = { table: 'own', key: 'own', value: active.ballot.encode() };
    this.journal.write([own], [{ type: 'diverged', height: active.height }]);
    this.active = undefined;
    return false;
  }

  protected finalise({ built, cert, roster, changes }: Verified, jumped: boolean, now: number): void {
    if (this.active) this.speech.end(this.active);
    const me = this.active?.me;
    const included = built.header.height === this.epoch.height && me !== undefined;
    if (included && built.header.included.some(([slot]) => slot === me)) this.operations.included();
    this.operations.decided(built.operations);
    const writes = this.chain.append(built, cert, roster, changes);
    const decided = this.chain.decided(jumped, false, this.bodies)!;
    writes.push(...this.bodies.begin(built.header.height + 1));
    const effects: AgreementEffect[] = [{ type: 'decided', decided }];
    if (this.isDegraded) {
      this.isDegraded = false;
      effects.push({ type: 'degraded', degraded: false, height: built.header.height });
    }
    this.degradedAt = now + DEGRADED_EPOCHS * this.epochMs;
    this.journal.write(writes, effects);
    this.catchUp.left(built.header.height, now);
    this.begin(now);
  }

  protected send(to: PopId, message: AgreementDirect): void {
    this.journal.write([], [{ type: 'send', to, bytes: encodeAgreement(message) }]);
  }

  protected fault(code: ErrorCode, from: PopId | undefined): void {
    this.effects.push({ type: 'fault', code, from });
  }
}
