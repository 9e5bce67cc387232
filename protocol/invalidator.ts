import { coded, PresageError } from './errors.ts';
import type { PopId } from './ids.ts';
import type { Invalidations } from './invalidation.ts';
import type {
  InvalidatorEffect,
  InvalidatorInput,
  InvalidatorOptions,
  PurgeOrder,
} from './invalidator-steps.ts';
import {
  decodePurgeCall,
  decodePurgeGossip,
  decodePurgeReply,
  encodePurgeCall,
  encodePurgeGossip,
  encodePurgeReply,
  type SealedPurge,
  seal,
} from './messages/purge.ts';
import type { Verdict } from './ports.ts';
import type { SignedPurge } from './purge.ts';
import { PurgeAudience } from './purge-audience.ts';
import { answerCompare, answerFetch, PurgeExchange } from './purge-exchange.ts';
import { PurgeIntake, type Taken } from './purge-intake.ts';
import { type PurgeCallUnderWay, PurgePeers } from './purge-peers.ts';
import { PurgeWaiters } from './purge-waiters.ts';
import { PurgeWrites } from './purge-writes.ts';
import { UnheardPurges } from './unheard-purges.ts';

/** How often `tick` is due, real ms. */
export const INVALIDATOR_TICK_MS = 1_000;
/** How long an issue with `wait` waits for peers that do not answer, ms. */
export const WAIT_DEADLINE_MS = 5_000;
/** Purges waiting for acknowledgements at once. */
const MAX_WAITERS = 4_096;

/**
 * How purges spread and become certain. An own purge is written to disk, then applied, then pushed to every connected
 * peer, and gossiped unless these are all there are and acknowledge it soon. What arrives is applied at once, written
 * with fsync, and acknowledged only then. Knowledge is compared with a peer on connect, after any failure, and every ten
 * seconds with some: that alone suffices for every purge to reach every PoP that can reach another; gossip and pushes
 * make it fast.
 */
export class Invalidator {
  readonly #options: InvalidatorOptions;
  readonly #invalidations: Invalidations;
  readonly #peers = new PurgePeers();
  readonly #calls = new Map<number, PurgeCallUnderWay>();
  readonly #intake: PurgeIntake;
  readonly #writes = new PurgeWrites();
  readonly #waiters: PurgeWaiters;
  readonly #audience: PurgeAudience;
  readonly #unheard = new UnheardPurges();
  #effects: InvalidatorEffect[] = [];
  #now = 0;
  #token = 0;
  #reconciled: boolean;
  /** Until the first peer comes: from then on there is somebody to be cut off from. */
  #alone: boolean;

  constructor(options: InvalidatorOptions) {
    this.#options = options;
    this.#invalidations = options.invalidations;
    this.#intake = new PurgeIntake(options);
    const roster = options.roster ?? (() => []);
    this.#waiters = new PurgeWaiters(roster);
    this.#audience = new PurgeAudience(options.invalidations.self, roster);
    this.#alone = options.alone;
    this.#reconciled = options.alone && !options.damaged;
    this.#writes.owe(options.unwritten ?? []);
  }

  /** Peers with which nothing is left to compare: what each knew when last compared is known here, and the reverse. */
  inStep(): PopId[] {
    return this.#peers.inStep();
  }

  /** Own purges that somebody waits to see acknowledged. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Whether all purges that a peer knew are known here since the start or the last time that no peer was left. */
  get reconciled(): boolean {
    return this.#reconciled;
  }

  /** `now` is real time, Unix ms. */
  step(input: InvalidatorInput, now: number): InvalidatorEffect[] {
    this.#now = now;
    switch (input.type) {
      case 'issue':
        this.#issue(input.token, input.order);
        break;
      case 'request':
        this.#request(input.token, input.from, input.bytes);
        break;
      case 'answered':
        this.#answered(input.token, input.bytes);
        break;
      case 'failed':
        this.#failed(input.token);
        break;
      case 'persisted':
        this.#writes.persisted(input.token);
        break;
      case 'not-persisted':
        this.#writes.notPersisted(input.token, input.code);
        break;
      case 'peer':
        this.#peer(input.peer, input.up);
        break;
      case 'tick':
        this.#tick();
        break;
    }
    this.#settle();
    this.#compareDirty();
    return this.#take();
  }

  /** A gossip message; its author speaks for itself alone. */
  heard(author: PopId, bytes: Uint8Array, now: number): { verdict: Verdict; effects: InvalidatorEffect[] } {
    this.#now = now;
    try {
      const purges = decodePurgeGossip(bytes).map((sealed) => this.#intake.open(sealed));
      if (purges.some((purge) => purge.issuer !== author)) throw new PresageError('WIRE_ORIGIN');
      const { fresh } = this.#learn(purges, author);
      const relayed = fresh.length > 0 ? this.#audience.relayed(author) : [];
      const told = relayed.filter((peer) => this.#peers.has(peer));
      if (told.length > 0) this.#push(told, fresh);
      return { verdict: { verdict: 'accept' }, effects: this.#take() };
    } catch (error) {
      const { code } = coded(error, 'WIRE_SCHEMA');
      return { verdict: { verdict: 'reject', code }, effects: this.#take() };
    }
  }

  #take(): InvalidatorEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #refuse(token: number, error: PresageError): void {
    this.#effects.push({ type: 'refused', token, error });
  }

  #fault(error: unknown, from: PopId): PresageError {
    const fault = coded(error, 'WIRE_SCHEMA');
    this.#effects.push({ type: 'fault', code: fault.code, from });
    return fault;
  }

  #persist(puts: readonly SignedPurge[], removes: readonly SignedPurge[]): void {
    const token = ++this.#token;
    const removed = new Set(removes.map((purge) => purge.id));
    const kept = puts.filter((purge) => !removed.has(purge.id));
    this.#writes.began(token, kept);
    this.#effects.push({ type: 'persist', token, puts: kept, removes });
  }

  #issue(token: number, order: PurgeOrder): void {
    if (this.#waiters.size >= MAX_WAITERS) {
      this.#refuse(token, new PresageError('MAILBOX_FULL', 'too many purges wait for acknowledgements'));
      return;
    }
    let purges: SignedPurge[];
    try {
      const stamp = this.#options.clock.next(this.#now);
      purges = this.#invalidations.prepare(order.scope, order.site, order.soft, stamp);
    } catch (error) {
      this.#refuse(token, coded(error));
      return;
    }
    const since = this.#now;
    this.#persist(purges, []);
    this.#writes.whenWritten(
      purges,
      () => this.#issued(token, purges, order, since),
      (code) => {
        this.#writes.forget(purges);
        this.#refuse(token, new PresageError(code));
      },
    );
  }

  /** Own purges that are on disk now: in force, then told. */
  #issued(token: number, purges: readonly SignedPurge[], order: PurgeOrder, since: number): void {
    const removes: SignedPurge[] = [];
    for (const purge of purges) {
      const applied = this.#invalidations.apply(purge);
      if (applied.outcome === 'applied') removes.push(...applied.removed);
    }
    this.#effects.push({ type: 'applied', purges });
    const connected = this.#peers.ids();
    const told = this.#audience.isAll(connected) && !this.#unheard.many;
    if (told) this.#unheard.pushed(purges, connected, this.#now);
    else this.#publish([purges]);
    if (removes.length > 0) this.#persist([], removes);
    this.#push(this.#audience.ofOwn(connected, order.wait), purges);
    const waitMs = order.wait ? (order.waitMs ?? WAIT_DEADLINE_MS) : 0;
    this.#waiters.add(token, purges[0]!, since, this.#now + waitMs);
  }

  #publish(own: readonly (readonly SignedPurge[])[]): void {
    for (const purges of own) this.#effects.push({ type: 'publish', bytes: encodePurgeGossip(purges) });
  }

  /** Encoded once for all: the last of many peers waits for what is done for those before it. */
  #push(peers: Iterable<PopId>, purges: readonly SignedPurge[]): void {
    const ids = purges.map((purge) => purge.id);
    const bytes = encodePurgeCall({ kind: 'push', purges: purges.map(seal) });
    for (const peer of peers) {
      const token = ++this.#token;
      this.#calls.set(token, { kind: 'push', peer, ids });
      this.#effects.push({ type: 'call', peer, token, bytes });
    }
  }

  /** Puts in force what came from elsewhere and has it written. */
  #learn(purges: readonly SignedPurge[], from: PopId): Taken {
    const taken = this.#intake.take(purges, this.#now, (error) => this.#fault(error, from));
    if (taken.fresh.length > 0) {
      this.#effects.push({ type: 'applied', purges: taken.fresh });
      this.#persist(taken.fresh, taken.superseded);
    }
    return taken;
  }

  /** Opens records one by one: one that is not what it should be does not keep out the rest. */
  #open(sealed: readonly SealedPurge[], from: PopId): SignedPurge[] {
    return sealed.flatMap((one) => {
      try {
        return [this.#intake.open(one)];
      } catch (error) {
        this.#fault(error, from);
        return [];
      }
    });
  }

  #request(token: number, from: PopId, bytes: Uint8Array): void {
    try {
      const call = decodePurgeCall(bytes);
      if (call.kind === 'push') this.#takePush(token, from, call.purges);
      else {
        const reply =
          call.kind === 'compare'
            ? answerCompare(this.#invalidations, call, (id) => this.#writes.isVolatile(id))
            : answerFetch(this.#invalidations, call);
        this.#effects.push({ type: 'reply', token, bytes: encodePurgeReply(reply) });
      }
    } catch (error) {
      this.#refuse(token, this.#fault(error, from));
    }
  }

  #takePush(token: number, from: PopId, sealed: readonly SealedPurge[]): void {
    const { fresh, known } = this.#learn(this.#open(sealed, from), from);
    const isNews = (one: SignedPurge) => one.issuer !== from && !this.#audience.isOnItsWay(one, this.#now);
    if (fresh.some(isNews)) this.#peers.soilOthers(from, this.#now);
    const bytes = encodePurgeReply({ kind: 'push', acknowledged: known });
    // Also what is not new waits: it may be superseded by a purge that is not on disk yet.
    this.#writes.whenDurable(
      () => this.#effects.push({ type: 'reply', token, bytes }),
      (code) => this.#refuse(token, new PresageError(code)),
    );
  }

  #answered(token: number, bytes: Uint8Array): void {
    const call = this.#calls.get(token);
    if (!call) return;
    try {
      if (call.kind === 'push') {
        const { acknowledged } = decodePurgeReply(bytes, 'push');
        this.#waiters.acknowledge(call.peer, acknowledged, this.#now);
        if (call.ids.every((id) => acknowledged.includes(id))) this.#unheard.heard(call.peer, call.ids);
        else this.#peers.soilLater(call.peer, this.#now);
      } else this.#advance(call.peer, call.exchange, bytes);
      this.#calls.delete(token);
    } catch (error) {
      this.#fault(error, call.peer);
      this.#failed(token);
    }
  }

  #advance(peer: PopId, exchange: PurgeExchange, bytes: Uint8Array): void {
    const { fetched, acknowledged } = exchange.answered(bytes);
    const { fresh } = this.#learn(this.#open(fetched, peer), peer);
    if (fresh.length > 0) this.#peers.soilOthers(peer, this.#now);
    this.#waiters.acknowledge(peer, acknowledged, this.#now);
    const next = exchange.next();
    if (next) {
      this.#send(peer, exchange, next);
      return;
    }
    if (!this.#peers.ended(peer, exchange, this.#now) || !exchange.complete) return;
    this.#writes.whenDurable(
      () => this.#peers.has(peer) && this.#setReconciled(true),
      () => this.#peers.soilLater(peer, this.#now),
    );
  }

  #send(peer: PopId, exchange: PurgeExchange, bytes: Uint8Array): void {
    const token = ++this.#token;
    this.#calls.set(token, { kind: 'exchange', peer, exchange });
    this.#effects.push({ type: 'call', peer, token, bytes });
  }

  #failed(token: number): void {
    const call = this.#calls.get(token);
    this.#calls.delete(token);
    if (!call) return;
    this.#peers.failed(call, this.#now);
    if (call.kind === 'push') this.#publish(this.#unheard.lost(call.peer));
  }

  #peer(id: PopId, up: boolean): void {
    if (up) {
      if (this.#peers.add(id, this.#now)) this.#alone = false;
      return;
    }
    this.#peers.remove(id);
    this.#publish(this.#unheard.lost(id));
    for (const [token, call] of this.#calls) if (call.peer === id) this.#calls.delete(token);
    if (this.#peers.size === 0 && !this.#alone) this.#setReconciled(false);
  }

  #tick(): void {
    const refused = this.#writes.takeRefused();
    if (refused.length > 0) this.#persist(refused, []);
    this.#publish(this.#unheard.overdue(this.#now));
    this.#peers.soilSome(this.#now);
    const underWay = new Set<string>();
    for (const call of this.#calls.values()) {
      if (call.kind === 'push') for (const id of call.ids) underWay.add(`${call.peer} ${id}`);
    }
    for (const { peer, purge } of [...this.#waiters.outstanding(this.#peers.ids())]) {
      if (!underWay.has(`${peer} ${purge.id}`)) this.#push([peer], [purge]);
    }
  }

  #compareDirty(): void {
    for (const { pop, exchange } of this.#peers.due(this.#now, () => new PurgeExchange(this.#invalidations)))
      this.#send(pop, exchange, exchange.next()!);
  }

  #settle(): void {
    if (this.#waiters.size === 0) return;
    const awaited = new Set(this.#peers.ids());
    for (const call of this.#calls.values()) if (call.kind === 'push') awaited.add(call.peer);
    for (const { token, result } of this.#waiters.settle([...awaited], this.#now)) {
      this.#effects.push({ type: 'settled', token, result });
    }
  }

  #setReconciled(reconciled: boolean): void {
    if (this.#reconciled === reconciled) return;
    this.#reconciled = reconciled;
    this.#effects.push({ type: 'reconciled', reconciled });
  }
}
