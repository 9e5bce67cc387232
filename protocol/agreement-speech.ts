import { type Bodies, isInline } from './agreement-bodies.ts';
import { blocksOf, COMPACT_ABOVE } from './agreement-echo.ts';
import type { ActiveHeight } from './agreement-height.ts';
import type { Journal } from './agreement-journal.ts';
import type { AgreementEffect, AgreementWrite } from './agreement-steps.ts';
import { coalesceMs, RESEND_JITTER, RESEND_MAX_MS, RESEND_MS, resendMs } from './agreement-timing.ts';
import { type AgreementGossip, encodeAgreement, type SlotDigest } from './messages/agreement.ts';
import type { Random } from './ports.ts';

const NEVER = Number.POSITIVE_INFINITY;

/**
 * What is said over gossip, and when: growth is gathered for a moment, written to disk and then told; all of it is
 * said again from time to time, as gossip keeps nothing for those who were away.
 */
export class Speech {
  readonly #journal: Journal;
  readonly #bodies: Bodies;
  readonly #random: Random;
  readonly #once: boolean;
  #propose = false;
  #echoes: SlotDigest[] = [];
  /** Times that something new was said at this height. */
  #told = 0;
  #flushAt = NEVER;
  #resendAt = NEVER;
  #resendMs = RESEND_MS;
  /** When the own proposal was told, until a quorum has vouched for it; and how long that took the last time. */
  #askedAt = NEVER;
  #paceMs = 0;

  /** `once`: a deliberate defect, nothing is said again. */
  constructor(journal: Journal, bodies: Bodies, random: Random, once: boolean) {
    this.#journal = journal;
    this.#bodies = bodies;
    this.#random = random;
    this.#once = once;
  }

  get nextAt(): number {
    return Math.min(this.#flushAt, this.#resendAt);
  }

  /** Another height is active. */
  begin(): void {
    this.#propose = false;
    this.#echoes = [];
    this.#told = 0;
    this.#askedAt = NEVER;
    this.#flushAt = NEVER;
    this.#resendAt = NEVER;
    this.#resendMs = RESEND_MS;
  }

  proposed(): void {
    this.#propose = true;
  }

  echoed(echo: SlotDigest): void {
    this.#echoes.push(echo);
  }

  /** Says everything again, as after a restart. */
  again(now: number): void {
    this.#resendAt = now;
  }

  /** Tells what is due. */
  flush(active: ActiveHeight, now: number): void {
    const { ballot } = active;
    this.#keepPace(active, now);
    const pending = ballot.grown || ballot.louder || this.#propose || this.#echoes.length > 0;
    if (pending && this.#flushAt === NEVER)
      this.#flushAt = now + coalesceMs(ballot.size, this.#told, this.#paceMs);
    // A proposal is what the others wait for, however slow they were.
    if (this.#propose) this.#flushAt = Math.min(this.#flushAt, now + coalesceMs(ballot.size, 0, 0));
    const resend = now >= this.#resendAt;
    if (now >= this.#flushAt || (resend && pending)) {
      if (this.#propose) this.#askedAt = now;
      this.#tell(active);
      this.#resendMs = resendMs(ballot.size, this.#paceMs);
      if (!resend) this.#later(now);
    }
    if (!resend) return;
    const echoes = ballot.echoes();
    const messages = this.#proposal(active);
    // What answers now may answer either; and who is cut off learns nothing of how busy the others are.
    this.#askedAt = NEVER;
    if (echoes.length > 0) messages.push({ kind: 'echo', height: ballot.height, echoes });
    if (ballot.seq > 0) messages.push(ballot.vote());
    this.#journal.write([], publishes(messages));
    this.#resendMs = Math.min(2 * this.#resendMs, RESEND_MAX_MS);
    this.#later(now);
  }

  /** Learns how soon the others answer: by when a quorum vouches for the own proposal, or that it has not yet. */
  #keepPace({ ballot, tally, me, quorum }: ActiveHeight, now: number): void {
    if (this.#askedAt === NEVER || !ballot.proposal) return;
    const took = now - this.#askedAt;
    const { echoes } = tally.candidates(me).get(ballot.proposal.id) ?? { echoes: 0 };
    if (echoes < quorum.quorum) this.#paceMs = Math.max(this.#paceMs, took);
    else {
      this.#paceMs = took;
      this.#askedAt = NEVER;
    }
  }

  /** The height ends: the others may still need what was not told yet, the COMMIT above all. */
  end(active: ActiveHeight): void {
    if (active.ballot.louder) this.#tell(active);
  }

  /** Has the ballot written as it is now, so that what is sent next may depend on it. */
  persist({ ballot }: ActiveHeight): void {
    if (!ballot.grown) return;
    if (ballot.louder) ballot.seq += 1;
    ballot.grown = false;
    const bodies = ballot.echo.flatMap((id) => (id === undefined ? [] : this.#bodies.store(id)));
    const own: AgreementWrite = { table: 'own', key: 'own', value: ballot.encode() };
    this.#journal.write([...bodies, own], []);
  }

  #tell(active: ActiveHeight): void {
    this.#told += 1;
    this.persist(active);
    const { ballot } = active;
    const messages: AgreementGossip[] = this.#propose ? this.#proposal(active) : [];
    if (this.#echoes.length > 0) messages.push(this.#echo(ballot.height, ballot.size));
    if (ballot.louder) messages.push(ballot.vote());
    ballot.louder = false;
    this.#propose = false;
    this.#echoes = [];
    this.#flushAt = NEVER;
    this.#journal.write([], publishes(messages));
  }

  /** What is vouched for now for the first time; a resend always names the ids. */
  #echo(height: number, size: number): AgreementGossip {
    const echoes = this.#echoes;
    if (size <= COMPACT_ABOVE) return { kind: 'echo', height, echoes };
    return { kind: 'compact-echo', height, blocks: blocksOf(height, echoes) };
  }

  /** The own PROPOSE; its body goes along until a quorum is ready for it. */
  #proposal(active: ActiveHeight): AgreementGossip[] {
    const { ballot, tally, me, quorum } = active;
    const { proposal, height } = ballot;
    if (!proposal) return [];
    const ready = tally.candidates(me).get(proposal.id)?.readies ?? 0;
    const inline = isInline(proposal.length) && ready < quorum.quorum;
    const body = inline ? this.#bodies.get(proposal.id) : undefined;
    return [{ kind: 'propose', height, ...proposal, body }];
  }

  #later(now: number): void {
    const jitter = 1 + RESEND_JITTER * (2 * this.#random.float() - 1);
    this.#resendAt = this.#once ? NEVER : now + this.#resendMs * jitter;
  }
}

const publishes = (messages: readonly AgreementGossip[]): AgreementEffect[] =>
  messages.map((message) => ({ type: 'publish', bytes: encodeAgreement(message) }));
