import { Ballot } from './agreement-ballot.ts';
import { bodyLimit } from './agreement-bodies.ts';
import { Allowances } from './agreement-limits.ts';
import { HeightSequence, NEVER } from './agreement-sequence.ts';
import type { AgreementEffect, AgreementInput, AgreementOptions } from './agreement-steps.ts';
import { DEGRADED_EPOCHS, FALLBACK_EPOCHS } from './agreement-timing.ts';
import { PresageError } from './errors.ts';
import type { PopId } from './ids.ts';
import {
  type AgreementMessage,
  type DecisionMessage,
  decodeAgreement,
  encodeAgreement,
  isGossip,
} from './messages/agreement.ts';
import type { Verdict } from './ports.ts';

/** Members that a PoP outside the roster asks at a time. */
const KNOCKS = 4;

/**
 * Agreement without a leader on what all PoPs proposed: per height a batched asynchronous common subset. The rules
 * R1 to R12 are those of the specification; the voting rules are in `ActiveHeight`, what was decided is in
 * `DecidedChain`. Memory changes freely; nothing that depends on it leaves before it is on disk, which `Journal`
 * sees to. Votes are cumulative, so that loss, repetition, reordering and restarts all end in merging the newest
 * copy; one height is active, and anything older is a certificate.
 */
export class Agreement extends HeightSequence {
  readonly #decode: (bytes: Uint8Array) => AgreementMessage;
  readonly #allowances = new Allowances();
  #timer = NEVER;

  constructor(options: AgreementOptions) {
    super(options);
    this.#decode = options.decode ?? decodeAgreement;
  }

  /** The last height decided, 0 before the first. */
  get height(): number {
    return this.chain.height;
  }

  get roster(): readonly PopId[] {
    return this.chain.roster;
  }

  get degraded(): boolean {
    return this.isDegraded;
  }

  get diverged(): boolean {
    return this.isDiverged;
  }

  /** Whether this PoP votes at the active height. */
  get voting(): boolean {
    return this.active !== undefined;
  }

  /** The binary agreement that is furthest, counted from 0. */
  get round(): number {
    return Math.max(0, ...(this.active?.ballot.round ?? []));
  }

  /** `now` is real, monotonic time in ms. */
  step(input: AgreementInput, now: number): AgreementEffect[] {
    switch (input.type) {
      case 'start':
        this.#start(now);
        break;
      case 'gossip':
        this.#heard(input.from, input.bytes, now);
        break;
      case 'direct':
        this.#direct(input.from, input.bytes, now);
        break;
      case 'persisted':
        this.journal.persisted(input.token);
        break;
      case 'not-persisted':
        this.journal.notPersisted(input.token, now);
        this.fault(input.code, undefined);
        break;
      case 'peer':
        if (this.slots.has(input.peer)) this.send(input.peer, { kind: 'sync', height: this.chain.lacking });
        break;
      case 'operation':
        if (!this.operations.add(input.operation, input.purpose)) this.fault('MAILBOX_FULL', undefined);
        break;
      case 'propose':
        this.beat(now);
        break;
      case 'leaving':
        this.#leave(input.operation);
        break;
      case 'joining':
        this.knocking.operation = input.operation;
        break;
      case 'tick':
        this.#timer = NEVER;
        break;
    }
    return this.#finish(now);
  }

  /** A gossip message, with the verdict on it. */
  heard(from: PopId, bytes: Uint8Array, now: number): { verdict: Verdict; effects: AgreementEffect[] } {
    const verdict = this.#heard(from, bytes, now);
    return { verdict, effects: this.#finish(now) };
  }

  #finish(now: number): AgreementEffect[] {
    this.#onTime(now);
    this.progress(now);
    if (this.active) this.speech.flush(this.active, now);
    this.#setTimer();
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  #start(now: number): void {
    const { records } = this.options;
    let damaged = this.chain.restore(records) + this.bodies.restore(records);
    const own = records.own.get('own');
    if (own) {
      try {
        this.stored = Ballot.decode(own);
        this.isDiverged = this.stored.diverged;
        // The tip was lost: at the heights in between votes were given that are no longer known.
        this.silentThrough = this.stored.height - 1;
      } catch {
        damaged += 1;
        this.silentThrough = this.chain.height + 1;
      }
    }
    if (damaged > 0) this.fault('STORE_CORRUPT', undefined);
    const decided = this.chain.decided(false, true, this.bodies);
    if (decided) this.effects.push({ type: 'decided', decided });
    if (this.isDiverged) this.effects.push({ type: 'diverged', height: this.stored?.height ?? 0 });
    this.proposeAt = now + FALLBACK_EPOCHS * this.epochMs;
    this.degradedAt = now + DEGRADED_EPOCHS * this.epochMs;
    this.begin(now);
    this.speech.again(now);
    this.knocking.at = this.active ? NEVER : now;
    for (const peer of this.chain.roster) {
      if (peer !== this.options.self) this.send(peer, { kind: 'sync', height: this.chain.lacking });
    }
  }

  /** Nothing that it says depends on the disk, which may be slow or gone. */
  #leave(operation: Uint8Array): void {
    // The last member stays, or nobody would be left to let anyone in.
    if (this.chain.roster.length < 2) return;
    this.knocking.operation = undefined;
    this.operations.add(operation, 'leave');
    const bytes = encodeAgreement({ kind: 'join', operation });
    for (const to of this.chain.roster) {
      if (to !== this.options.self) this.effects.push({ type: 'send', to, bytes });
    }
  }

  // What is heard

  #heard(from: PopId, bytes: Uint8Array, now: number): Verdict {
    if (from === this.options.self) return { verdict: 'ignore', code: 'WIRE_ORIGIN' };
    try {
      const message = this.#decode(bytes);
      if (!isGossip(message)) {
        throw new PresageError('WIRE_SCHEMA', 'agreement: a direct message over gossip');
      }
      const { height } = this.epoch;
      if (message.height < height) {
        if (this.catchUp.lags(from, message.height, now)) this.#answer(from, message.height);
        return { verdict: 'accept' };
      }
      if (!this.slots.has(from)) return { verdict: 'ignore', code: 'WIRE_ORIGIN' };
      if (message.height > height) {
        this.catchUp.ahead(from, now);
        const room = this.early.length < 12 * this.slots.size + 50;
        if (message.height === height + 1 && room) this.early.push({ from, message });
        return { verdict: 'accept' };
      }
      return this.take(from, message, now);
    } catch (error) {
      if (!(error instanceof PresageError)) throw error;
      this.fault(error.code, from);
      return { verdict: 'reject', code: error.code };
    }
  }

  #direct(from: PopId, bytes: Uint8Array, now: number): void {
    try {
      const message = this.#decode(bytes);
      if (isGossip(message)) {
        throw new PresageError('WIRE_SCHEMA', 'agreement: gossip sent directly');
      }
      if (!this.#allowances.take(from, message.kind, now)) throw new PresageError('PEER_BUSY');
      switch (message.kind) {
        case 'sync':
          this.#answer(from, message.height);
          return;
        case 'body-request': {
          const body = this.bodies.get(message.id);
          if (body) this.send(from, { kind: 'body', id: message.id, bytes: body });
          return;
        }
        case 'body': {
          const limit = bodyLimit(Math.max(1, this.slots.size));
          if (this.bodies.receive(message.id, message.bytes, this.epoch.height, limit)) this.stale = true;
          return;
        }
        case 'decision':
          this.#takeDecision(from, message, now);
          return;
        case 'join':
          this.operations.hear(from, message.operation, this.slots.has(from), this.epoch.height, now);
      }
    } catch (error) {
      if (!(error instanceof PresageError)) throw error;
      this.fault(error.code, from);
    }
  }

  /** Tells a peer what was decided since `height`, or R11's proof that the active height is about to be. */
  #answer(to: PopId, height: number): void {
    const active = this.active;
    const slot = this.slots.get(to);
    const seq = slot !== undefined && active?.height === height ? active.tally.seq(slot) : 0;
    const held = [height, seq] as const;
    const past = this.chain.answer(height);
    const built = active?.height === height ? active.built : undefined;
    const cert = built && active ? active.certificate(built.hash) : [];
    if (past) this.send(to, { kind: 'decision', ...past, held });
    else if (built && active && cert.length > active.quorum.liars) {
      this.speech.persist(active);
      this.send(to, { kind: 'decision', headers: [], snapshot: built.state, tip: [built.bytes, cert], held });
    } else {
      this.send(to, { kind: 'decision', headers: [], snapshot: new Uint8Array(0), tip: undefined, held });
    }
  }

  #takeDecision(from: PopId, message: DecisionMessage, now: number): void {
    this.#takeReport(from, message.held, now);
    if (this.isDiverged) return;
    const before = this.chain.lacking;
    const verified = this.chain.verify(message);
    this.stale = true;
    // A part of a long way: whoever has told it has the rest.
    if (!verified && this.chain.lacking > before)
      this.send(from, { kind: 'sync', height: this.chain.lacking });
    if (!verified) return;
    const { built, cert, final } = verified;
    const active = this.active;
    if (built.header.height === this.epoch.height) {
      if (active?.ballot.commit && active.ballot.commit.hash !== built.hash) {
        this.diverge(active);
        return;
      }
      if (!final) {
        if (!active) return;
        for (const [slot, signature] of cert) active.commits[slot] ??= { hash: built.hash, signature };
        active.built ??= built;
        if (!active.ballot.commit) this.commit(active, built);
        return;
      }
    }
    this.finalise(verified, true, now);
  }

  /** A peer holds newer votes from here than the disk: it was set back, and must not speak again at that height. */
  #takeReport(from: PopId, [height, seq]: readonly [number, number], now: number): void {
    const active = this.active;
    if (!active || height !== active.height || !this.slots.has(from)) return;
    this.reports.set(from, seq);
    const newer = [...this.reports.values()].filter((reported) => reported > active.ballot.seq);
    if (newer.length <= active.quorum.liars) return;
    this.fault('STORE_CORRUPT', undefined);
    this.silentThrough = height;
    this.begin(now);
  }

  // What follows

  #onTime(now: number): void {
    this.journal.tick(now);
    const asked = this.catchUp.ask(now);
    if (asked) this.send(asked, { kind: 'sync', height: this.chain.lacking });
    if (now >= this.knocking.at && !this.isDiverged) {
      const { self } = this.options;
      const members = this.chain.roster.filter((pop) => pop !== self);
      for (const member of this.knocking.due(now, members, KNOCKS)) {
        const { operation } = this.knocking;
        if (operation && !this.slots.has(self)) this.send(member, { kind: 'join', operation });
        this.send(member, { kind: 'sync', height: this.chain.lacking });
      }
    }
    if (now >= this.degradedAt) {
      this.degradedAt = NEVER;
      this.isDegraded = true;
      this.effects.push({ type: 'degraded', degraded: true, height: this.epoch.height });
    }
  }

  #setTimer(): void {
    const active = this.active;
    let at = Math.min(this.catchUp.askAt, this.knocking.at, this.degradedAt, this.journal.retryAt);
    if (active) {
      let rules = Math.min(active.waitUntil, this.bodies.nextAt);
      if (!active.ballot.proposal) rules = Math.min(rules, this.proposeAt);
      at = Math.min(at, this.speech.nextAt, this.resumeAt === NEVER ? rules : this.resumeAt);
    }
    if (at === this.#timer || at === NEVER) return;
    this.#timer = at;
    this.effects.push({ type: 'timer', at });
  }
}
