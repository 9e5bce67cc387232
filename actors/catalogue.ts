import { EarlyRows } from '../protocol/early-rows.ts';
import { codeOf } from '../protocol/errors.ts';
import type { HeldReplica } from '../protocol/held-replica.ts';
import type { NextCall } from '../protocol/holdings.ts';
import type { Key16, PopId } from '../protocol/ids.ts';
import {
  type CatalogueDelta,
  type CatalogueRow,
  decodeCatalogueCall,
  decodeCatalogueGossip,
  decodeCatalogueReply,
  encodeCatalogueCall,
  encodeCatalogueGossip,
  encodeCatalogueReply,
} from '../protocol/messages/catalogue.ts';
import type { Gossip, Peers, Streams, Verdict } from '../protocol/ports.ts';
import type { SignedPurge } from '../protocol/purge.ts';
import type { Note } from '../protocol/tags.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { LocalReplicas } from './replica-index.ts';

/** Changes are gathered so long before they are gossiped, ms. */
const ANNOUNCE_MS = 200;
/**
 * Gossip does not tell of its last message that was lost: the position is told again, after twice as long each time, as
 * the Trickle timers of RFC 6206 do, ms.
 */
const FIRST_REMINDER_MS = 2_000;
const LAST_REMINDER_MS = 64_000;
/** Housekeeping: contents that nothing names, a comparison with some peers. */
const TICK_MS = 5_000;
/** Peers asked each time for what was missed, in case no reminder came through either. */
const ASK_PEERS = 2;
const CALL_DEADLINE_MS = 15_000;
/** Replicas checked in one turn after a purge by tag or prefix. */
const SWEEP = 2_000;
/** Calls in one exchange with one peer; 4,096 shards never need more pages. */
const MAX_CALLS = 5_000;

export type CatalogueMessage =
  /** These purges are in force: what they make unusable is dropped. */
  | { readonly type: 'purged'; readonly purges: readonly SignedPurge[] }
  | { readonly type: 'note'; readonly key16: Key16; readonly change: Partial<Omit<Note, 'updatedAt'>> }
  | { readonly type: 'announce' }
  /** Nothing has changed for so long. */
  | { readonly type: 'remind'; readonly quietMs: number }
  | { readonly type: 'sweep' }
  | { readonly type: 'tick' }
  | { readonly type: 'status'; readonly reply: Reply<CatalogueStatus> };

export interface CatalogueStatus {
  readonly replicas: number;
  readonly bytes: number;
  readonly budgetBytes: number;
  readonly versions: number;
  /** Position of the own log, and what is known of each connected peer's replicas. */
  readonly position: number;
  readonly peers: readonly { readonly pop: PopId; readonly replicas: number }[];
}

export interface CatalogueDeps {
  readonly index: LocalReplicas;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  readonly demand: { now(): number };
}

/** Tells the cluster what is held here and in which version, hears the same of the others, and keeps the store tidy. */
export function catalogueSpec(deps: CatalogueDeps): ActorSpec<CatalogueMessage> {
  return {
    name: 'catalogue',
    mailbox: { capacity: 4096, overflow: 'refuse' },
    create: (context) => new CatalogueActor(deps, context),
  };
}

class CatalogueActor implements Behaviour<CatalogueMessage> {
  readonly #deps: CatalogueDeps;
  readonly #context: ActorContext<CatalogueMessage>;
  readonly #unwatch: () => void;
  /** Peers that are being asked. */
  readonly #asking = new Set<PopId>();
  readonly #early = new EarlyRows();
  #announcing = false;
  #cancelReminder: (() => void) | undefined;
  /** The sweep under way, and whether another must follow because of a purge that came meanwhile. */
  #sweep: Iterator<HeldReplica> | undefined;
  #sweepAgain = false;
  #stopped = false;
  #turn = 0;

  constructor(deps: CatalogueDeps, context: ActorContext<CatalogueMessage>) {
    this.#deps = deps;
    this.#context = context;
    const { index, gossip, streams, peers } = deps;
    gossip.subscribe('catalogue', (author, bytes) => this.#heard(author, bytes));
    streams.handle('catalogue', async (_from, bytes) =>
      encodeCatalogueReply(index.catalogue.log.answer(decodeCatalogueCall(bytes))),
    );
    index.onAnnounce = () => this.#scheduleAnnounce();
    this.#unwatch = peers.watch((peer, up) => {
      if (up) this.#ask(peer, index.catalogue.peers.first(peer));
    });
    for (const peer of peers.connected()) this.#ask(peer, index.catalogue.peers.first(peer));
    context.every(TICK_MS, { type: 'tick' });
    this.#scheduleAnnounce();
  }

  receive(message: CatalogueMessage): void | Promise<void> {
    const { index, demand } = this.#deps;
    switch (message.type) {
      case 'purged':
        return this.#purged(message.purges);
      case 'sweep':
        return this.#sweepOn();
      case 'announce':
        return this.#announce();
      case 'remind':
        return this.#remind(message.quietMs);
      case 'note':
        return this.#commit(index.catalogue.note(message.key16, message.change, demand.now()));
      case 'tick':
        return this.#tick();
      case 'status':
        message.reply.ok(this.#status());
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unwatch();
    this.#cancelReminder?.();
    this.#deps.index.onAnnounce = () => undefined;
    await this.#deps.index.flush();
  }

  #status(): CatalogueStatus {
    const { index, peers } = this.#deps;
    const { shelf, versions, log } = index.catalogue;
    return {
      ...{ replicas: shelf.size, bytes: shelf.bytes, budgetBytes: shelf.budgetBytes },
      ...{ versions: versions.size, position: log.position },
      peers: peers.connected().map((pop) => ({ pop, replicas: index.catalogue.peers.countOf(pop) })),
    };
  }

  async #commit(change: Parameters<LocalReplicas['commit']>[0]): Promise<void> {
    try {
      await this.#deps.index.commit(change);
    } catch (error) {
      this.#context.metrics.count('errors_total', { code: codeOf(error, 'STORE_IO') });
      this.#context.log.error('the catalogue could not be written', { code: codeOf(error, 'STORE_IO') });
    }
  }

  async #purged(purges: readonly SignedPurge[]): Promise<void> {
    if (purges.some(({ target }) => target.kind !== 'url')) this.#beginSweep();
    await this.#commit(this.#deps.index.catalogue.purged(purges));
  }

  #beginSweep(): void {
    if (this.#sweep) {
      this.#sweepAgain = true;
      return;
    }
    this.#sweep = this.#deps.index.catalogue.shelf[Symbol.iterator]();
    this.#context.self.tell({ type: 'sweep' });
  }

  async #sweepOn(): Promise<void> {
    if (!this.#sweep) return;
    const { change, done } = this.#deps.index.catalogue.sweep(this.#sweep, SWEEP);
    if (done) {
      this.#sweep = undefined;
      if (this.#sweepAgain) {
        this.#sweepAgain = false;
        this.#beginSweep();
      }
    } else this.#context.self.tell({ type: 'sweep' });
    await this.#commit(change);
  }

  #scheduleAnnounce(): void {
    if (this.#announcing || this.#stopped) return;
    this.#announcing = true;
    this.#context.schedule(ANNOUNCE_MS, { type: 'announce' });
  }

  async #announce(): Promise<void> {
    this.#announcing = false;
    const { log } = this.#deps.index.catalogue;
    const delta = log.publish();
    if (!delta) return;
    if (log.unpublished > 0) this.#scheduleAnnounce();
    this.#remindAfter(FIRST_REMINDER_MS);
    await this.#publish(delta);
  }

  #remindAfter(quietMs: number): void {
    this.#cancelReminder?.();
    this.#cancelReminder = this.#context.schedule(quietMs, { type: 'remind', quietMs });
  }

  async #remind(quietMs: number): Promise<void> {
    if (this.#stopped) return;
    this.#remindAfter(Math.min(2 * quietMs, LAST_REMINDER_MS));
    await this.#publish(this.#deps.index.catalogue.log.reminder());
  }

  async #publish(delta: CatalogueDelta): Promise<void> {
    await this.#deps.gossip.publish('catalogue', encodeCatalogueGossip(delta)).catch((error: unknown) => {
      this.#context.metrics.count('gossip_failures_total', { topic: 'catalogue', code: codeOf(error) });
    });
  }

  #heard(author: PopId, bytes: Uint8Array): Verdict {
    try {
      const delta = decodeCatalogueGossip(bytes);
      this.#learn(delta.rows);
      this.#ask(author, this.#deps.index.catalogue.peers.heard(author, delta));
      return { verdict: 'accept' };
    } catch (error) {
      return { verdict: 'reject', code: codeOf(error, 'WIRE_SCHEMA') };
    }
  }

  #learn(rows: readonly CatalogueRow[]): void {
    const early = this.#take(rows);
    if (early > 0) this.#context.metrics.count('errors_total', { code: 'CLOCK_SKEW' }, early);
  }

  /** The number of rows that are put off until the clocks agree. */
  #take(rows: readonly CatalogueRow[]): number {
    const { index, demand } = this.#deps;
    const now = { real: this.#context.clock.now(), demand: demand.now() };
    const { change, early } = index.catalogue.learn(rows, now);
    this.#early.add(early);
    void this.#commit(change);
    return early.length;
  }

  /** Asks a peer until it has no more to tell; one such conversation a peer. */
  #ask(peer: PopId, first: NextCall): void {
    const { peers } = this.#deps;
    if (!first || this.#stopped || this.#asking.has(peer) || !peers.connected().includes(peer)) return;
    this.#asking.add(peer);
    this.#converse(peer, first)
      .catch((error: unknown) => {
        this.#context.metrics.count('catalogue_call_failures_total', { code: codeOf(error) });
      })
      .finally(() => this.#asking.delete(peer));
  }

  async #converse(peer: PopId, first: NonNullable<NextCall>): Promise<void> {
    const { streams, index } = this.#deps;
    let call: NextCall = first;
    for (let calls = 0; call && !this.#stopped && calls < MAX_CALLS; calls += 1) {
      const bytes = await streams.call(peer, 'catalogue', encodeCatalogueCall(call), {
        deadlineMs: CALL_DEADLINE_MS,
      });
      const reply = decodeCatalogueReply(bytes);
      if (reply.kind !== 'lost') this.#learn(reply.rows);
      call = index.catalogue.peers.answered(peer, call, reply);
    }
  }

  async #tick(): Promise<void> {
    const { index, peers } = this.#deps;
    const { metrics } = this.#context;
    const { shelf } = index.catalogue;
    metrics.gauge('replicas', shelf.size);
    metrics.gauge('replica_bytes', shelf.bytes);
    const connected = peers.connected();
    for (let i = 0; i < Math.min(ASK_PEERS, connected.length); i += 1) {
      const peer = connected[this.#turn++ % connected.length]!;
      this.#ask(peer, index.catalogue.peers.first(peer));
    }
    if (this.#early.size > 0) this.#take(this.#early.take());
    await index.deleteUnused();
  }
}
