import type { KeyObject } from 'node:crypto';
import { codeOf, PresageError } from '../protocol/errors.ts';
import type { PopId } from '../protocol/ids.ts';
import {
  decodeTextCall,
  decodeTextGossip,
  decodeTextReply,
  encodeTextCall,
  encodeTextGossip,
  encodeTextReply,
  openSealedText,
  type SealedText,
  type TextCall,
} from '../protocol/messages/text-record.ts';
import type { Gossip, Peers, Streams, Verdict } from '../protocol/ports.ts';
import { type SignedTextRecord, signTextRecord, TEXT_RECORD_LIFE_MS } from '../protocol/text-record.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { RecordBook } from './record-book.ts';

/** What became of a record that was set here. */
export interface RecordSet {
  readonly record: SignedTextRecord;
  /** Real ms from the order to each acknowledgement. */
  readonly acknowledged: ReadonlyMap<PopId, number>;
  /** Known PoPs that have not acknowledged; true for those that said no. */
  readonly missing: ReadonlyMap<PopId, { readonly refused: boolean }>;
}

export interface RecordOrder {
  readonly name: string;
  readonly value: string;
  readonly lifeMs: number;
  /** Whether to answer only when every connected peer has acknowledged, or `waitMs` have passed. */
  readonly wait: boolean;
  readonly waitMs: number;
}

export type RecordsMessage =
  | { readonly type: 'set'; readonly order: RecordOrder; readonly reply: Reply<RecordSet> }
  | { readonly type: 'took'; readonly from: PopId; readonly records: readonly SignedTextRecord[] }
  | {
      readonly type: 'requested';
      readonly from: PopId;
      readonly bytes: Uint8Array;
      readonly reply: Reply<Uint8Array>;
    }
  | {
      readonly type: 'pushed';
      readonly peer: PopId;
      readonly ids: readonly string[];
      /** Absent where the call failed. */
      readonly acknowledged: readonly string[] | undefined;
    }
  | { readonly type: 'compare'; readonly peer: PopId; readonly rounds: number }
  | { readonly type: 'tick' };

export interface RecordsDeps {
  readonly book: RecordBook;
  readonly key: KeyObject;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  /** PoPs that the cluster knows, connected or not. */
  known(): readonly PopId[];
}

const TICK_MS = 1_000;
/** How often what is known is compared with one peer, each in turn, real ms: gossip forgets. */
const COMPARE_MS = 10_000;
/** Comparisons in a row with one peer; each moves up to 256 records either way. */
const COMPARE_ROUNDS = 8;
/** How long a peer may take for one call, ms: an fsync on a busy disk and a wide-area round trip. */
const CALL_MS = 5_000;
/** Orders that wait for acknowledgements at once. */
const WAITERS_MAX = 256;

interface Waiter {
  readonly record: SignedTextRecord;
  readonly since: number;
  readonly until: number;
  readonly acknowledged: Map<PopId, number>;
  readonly refused: Set<PopId>;
  readonly underWay: Set<PopId>;
  readonly reply: Reply<RecordSet>;
}

/** Short-lived records: set here, spread by gossip and direct delivery, and reconciled with every peer that connects. */
export function recordsSpec(deps: RecordsDeps): ActorSpec<RecordsMessage> {
  return {
    name: 'records',
    mailbox: { capacity: 1_024, overflow: 'refuse' },
    create: (context) => new Records(deps, context),
  };
}

class Records implements Behaviour<RecordsMessage> {
  readonly #deps: RecordsDeps;
  readonly #context: ActorContext<RecordsMessage>;
  readonly #unwatch: () => void;
  #waiters: Waiter[] = [];
  #comparedAt: number;
  #turn = 0;

  constructor(deps: RecordsDeps, context: ActorContext<RecordsMessage>) {
    this.#deps = deps;
    this.#context = context;
    this.#comparedAt = context.clock.monotonic();
    deps.gossip.subscribe('record', (author, bytes) => this.#gossiped(author, bytes));
    deps.streams.handle('record', (from, bytes) =>
      context.self.ask<Uint8Array>((reply) => ({ type: 'requested', from, bytes, reply }), CALL_MS),
    );
    const compare = (peer: PopId) =>
      void context.self.tell({ type: 'compare', peer, rounds: COMPARE_ROUNDS });
    this.#unwatch = deps.peers.watch((peer, up) => up && compare(peer));
    for (const peer of deps.peers.connected()) compare(peer);
    context.every(TICK_MS, { type: 'tick' });
  }

  receive(message: RecordsMessage): void | Promise<void> {
    switch (message.type) {
      case 'set':
        return this.#set(message.order, message.reply);
      case 'took':
        return this.#take(message.records, message.from);
      case 'requested':
        return this.#requested(message.from, message.bytes, message.reply);
      case 'pushed':
        return this.#pushed(message.peer, message.ids, message.acknowledged);
      case 'compare':
        return this.#compare(message.peer, message.rounds);
      case 'tick':
        return this.#tick();
    }
  }

  stop(): void {
    this.#unwatch();
    for (const { reply } of this.#waiters) reply.fail(new PresageError('ACTOR_STOPPED'));
  }

  async #set({ name, value, lifeMs, wait, waitMs }: RecordOrder, reply: Reply<RecordSet>): Promise<void> {
    const { book, key, gossip, peers } = this.#deps;
    const { clock, metrics } = this.#context;
    if (this.#waiters.length >= WAITERS_MAX) {
      reply.fail(new PresageError('MAILBOX_FULL', 'too many records wait for acknowledgements'));
      return;
    }
    const since = clock.monotonic();
    let record: SignedTextRecord;
    try {
      const expiresAt = Math.floor(clock.now()) + Math.min(lifeMs, TEXT_RECORD_LIFE_MS);
      record = signTextRecord({ name, value, expiresAt, author: peers.self }, key);
      const refusal = book.refusal(record);
      if (refusal !== undefined) throw refused(name, refusal);
      await book.take([record], peers.self);
    } catch (error) {
      const known = error instanceof PresageError ? error : new PresageError('STORE_IO', String(error));
      reply.fail(known);
      return;
    }
    metrics.count('text_records_set_total');
    gossip.publish('record', encodeTextGossip([record])).catch((error: unknown) => {
      metrics.count('gossip_failures_total', { topic: 'record', code: codeOf(error) });
    });
    const until = wait ? since + waitMs : since;
    const waiter: Waiter = {
      ...{ record, since, until, reply },
      ...{ acknowledged: new Map(), refused: new Set(), underWay: new Set() },
    };
    this.#waiters.push(waiter);
    this.#deliver(waiter);
    this.#settle();
  }

  /** To every connected peer that has not acknowledged; what fails is tried again at the next tick. */
  #deliver({ record, acknowledged, refused: said, underWay }: Waiter): void {
    for (const peer of this.#deps.peers.connected()) {
      if (acknowledged.has(peer) || said.has(peer) || underWay.has(peer)) continue;
      underWay.add(peer);
      this.#push(peer, [record]);
    }
  }

  #push(peer: PopId, records: readonly SignedTextRecord[]): void {
    const ids = records.map(({ id }) => id);
    const done = (acknowledged?: readonly string[]) =>
      void this.#context.self.tell({ type: 'pushed', peer, ids, acknowledged });
    this.#call(peer, { kind: 'push', records }).then(
      (reply) => done(reply.kind === 'push' ? reply.acknowledged : undefined),
      () => done(),
    );
  }

  async #call(peer: PopId, call: TextCall): Promise<ReturnType<typeof decodeTextReply>> {
    try {
      const bytes = encodeTextCall(call);
      return decodeTextReply(await this.#deps.streams.call(peer, 'record', bytes, { deadlineMs: CALL_MS }));
    } catch (error) {
      this.#context.metrics.count('text_record_call_failures_total', { code: codeOf(error) });
      throw error;
    }
  }

  #pushed(peer: PopId, ids: readonly string[], acknowledged: readonly string[] | undefined): void {
    const now = this.#context.clock.monotonic();
    for (const waiter of this.#waiters) {
      const { id } = waiter.record;
      if (!ids.includes(id)) continue;
      waiter.underWay.delete(peer);
      if (!acknowledged) continue;
      if (acknowledged.includes(id)) waiter.acknowledged.set(peer, Math.max(0, now - waiter.since));
      else waiter.refused.add(peer);
    }
    this.#settle();
  }

  #settle(): void {
    const { peers, known } = this.#deps;
    const now = this.#context.clock.monotonic();
    const connected = peers.connected();
    this.#waiters = this.#waiters.filter(({ record, until, acknowledged, refused: said, reply }) => {
      const open = connected.some((peer) => !acknowledged.has(peer) && !said.has(peer));
      if (open && now < until) return true;
      const everybody = new Set([...connected, ...known()]);
      everybody.delete(peers.self);
      const missing = [...everybody]
        .filter((peer) => !acknowledged.has(peer))
        .sort()
        .map((peer) => [peer, { refused: said.has(peer) }] as const);
      reply.ok({ record, acknowledged, missing: new Map(missing) });
      return false;
    });
  }

  #gossiped(author: PopId, bytes: Uint8Array): Verdict {
    try {
      const records = decodeTextGossip(bytes).map(openSealedText);
      if (records.some((record) => record.author !== author)) throw new PresageError('WIRE_ORIGIN');
      const told = this.#context.self.tell({ type: 'took', from: author, records });
      return told ? { verdict: 'accept' } : { verdict: 'ignore', code: 'MAILBOX_FULL' };
    } catch (error) {
      return { verdict: 'reject', code: codeOf(error, 'WIRE_SCHEMA') };
    }
  }

  async #take(records: readonly SignedTextRecord[], from: PopId): Promise<void> {
    try {
      await this.#deps.book.take(records, from);
    } catch (error) {
      // It comes again with the next comparison.
      this.#context.metrics.count('errors_total', { code: codeOf(error, 'STORE_IO') });
      this.#context.log.error('short-lived records could not be written', {
        code: codeOf(error, 'STORE_IO'),
      });
    }
  }

  async #requested(from: PopId, bytes: Uint8Array, reply: Reply<Uint8Array>): Promise<void> {
    const { book } = this.#deps;
    try {
      const call = decodeTextCall(bytes);
      if (call.kind === 'push') {
        const { holds } = await book.take(this.#open(call.records, from), from);
        reply.ok(encodeTextReply({ kind: 'push', acknowledged: holds }));
      } else {
        const { lacking, wanted, more } = book.compare(call.digest);
        reply.ok(encodeTextReply({ kind: 'compare', records: lacking, wanted, more }));
      }
    } catch (error) {
      const code = codeOf(error, 'WIRE_SCHEMA');
      this.#context.metrics.count('errors_total', { code });
      reply.fail(new PresageError(code));
    }
  }

  /** Opens records one by one: one that is not what it should be does not keep out the rest. */
  #open(sealed: readonly SealedText[], from: PopId): SignedTextRecord[] {
    return sealed.flatMap((one) => {
      try {
        return [openSealedText(one)];
      } catch (error) {
        const code = codeOf(error, 'WIRE_SCHEMA');
        this.#context.metrics.count('errors_total', { code });
        this.#context.log.warn('a short-lived record was not taken', { peer: from, code });
        return [];
      }
    });
  }

  /** Compares what is known with a peer. The calls run beside the mailbox, which goes on meanwhile. */
  #compare(peer: PopId, rounds: number): void {
    const { book, peers } = this.#deps;
    if (rounds <= 0 || !peers.connected().includes(peer)) return;
    this.#call(peer, { kind: 'compare', digest: book.digest() }).then(
      (reply) => {
        if (reply.kind !== 'compare') return;
        const records = this.#open(reply.records, peer);
        if (records.length > 0) this.#context.self.tell({ type: 'took', from: peer, records });
        const wanted = reply.wanted.flatMap((id) => book.get(id) ?? []);
        if (wanted.length > 0) this.#push(peer, wanted);
        if (reply.more) this.#context.self.tell({ type: 'compare', peer, rounds: rounds - 1 });
      },
      // The next turn finds it; a peer that has just connected may need a moment.
      () => void this.#context.schedule(TICK_MS, { type: 'compare', peer, rounds: rounds - 1 }),
    );
  }

  async #tick(): Promise<void> {
    const { book, peers } = this.#deps;
    const { clock, metrics } = this.#context;
    await book.expire();
    metrics.gauge('text_records', book.size);
    for (const waiter of this.#waiters) this.#deliver(waiter);
    this.#settle();
    if (clock.monotonic() - this.#comparedAt < COMPARE_MS) return;
    this.#comparedAt = clock.monotonic();
    const connected = peers.connected();
    const peer = connected[this.#turn++ % Math.max(1, connected.length)];
    if (peer !== undefined) this.#compare(peer, COMPARE_ROUNDS);
  }
}

/** What an operator is told of a record that this PoP does not take itself. */
function refused(name: string, code: string): PresageError {
  const why =
    code === 'WIRE_ORIGIN'
      ? 'no zone of ours holds this name'
      : code === 'WIRE_TOO_MANY'
        ? 'too many records are set already; they go as they expire'
        : 'its life is out of bounds';
  return new PresageError('RPC_PARAMS', `dns set ${name}: ${why}`);
}
