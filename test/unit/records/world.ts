import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { RecordBook } from '../../../actors/record-book.ts';
import { type RecordOrder, type RecordSet, recordsSpec } from '../../../actors/records.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import type { Gossip, GossipReceiver, Peers, Streams, Table } from '../../../protocol/ports.ts';
import { openTextRecord, type SignedTextRecord } from '../../../protocol/text-record.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';

export interface Identity {
  readonly pop: PopId;
  readonly key: KeyObject;
}

export function identity(): Identity {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { pop: popIdOf(privateKey), key: privateKey };
}

/** What a PoP keeps on disk: bytes, read back through the same checks as in the daemon. */
export class Disk {
  readonly rows = new Map<string, { body: Uint8Array; signature: Uint8Array }>();
  full = false;

  table(): Table<SignedTextRecord> {
    const { rows } = this;
    const write = (
      writes: readonly (
        | { type: 'put'; key: string; value: SignedTextRecord }
        | { type: 'del'; key: string }
      )[],
    ) => {
      if (this.full && writes.some(({ type }) => type === 'put')) throw new PresageError('STORE_IO');
      for (const one of writes) {
        if (one.type === 'put') rows.set(one.key, { body: one.value.body, signature: one.value.signature });
        else rows.delete(one.key);
      }
    };
    return {
      name: 'text records',
      get: async (key) => {
        const row = rows.get(key);
        return row && openTextRecord(row.body, row.signature);
      },
      put: async (key, value) => write([{ type: 'put', key, value }]),
      del: async (key) => write([{ type: 'del', key }]),
      batch: async (writes) => write(writes),
      async *entries() {
        for (const [key, { body, signature }] of rows) yield [key, openTextRecord(body, signature)];
      },
    };
  }
}

/** PoPs whose gossip and streams the test can cut. All on one clock. */
export class Records {
  readonly clock = new StepClock();
  readonly metrics = new CountingMetrics();
  readonly zones = ['cdn.example.'];
  readonly pops = new Map<PopId, Pop>();
  /** Whether a link works now. */
  linked: (a: PopId, b: PopId) => boolean = () => true;
  /** Whether gossip comes through. */
  gossips = true;

  async start(id: Identity, disk = new Disk()): Promise<Pop> {
    const system = new ActorSystem({
      clock: this.clock,
      log: silentLog,
      metrics: this.metrics,
      yieldTurn: settled,
    });
    const answered = new Map<string, number>();
    const book = await RecordBook.open({
      ...{ table: disk.table(), clock: this.clock, log: silentLog, metrics: this.metrics },
      zones: () => this.zones,
      certified: (pop) => this.pops.has(pop) || pop === id.pop,
    });
    book.watch(({ name, value, expiresAt }) => void answered.set(`${name} ${value}`, expiresAt));
    const listeners = new Set<(peer: PopId, up: boolean) => void>();
    const pop: Pop = {
      ...{ id, disk, book, answered, listeners },
      receive: () => ({ verdict: 'ignore', code: 'ACTOR_STOPPED' }),
      handle: () => Promise.reject(new PresageError('PEER_UNKNOWN')),
      set: (over) =>
        actor.ask<RecordSet>(
          (reply) => ({
            type: 'set',
            order: {
              name: '_acme-challenge.cdn.example',
              value: 'token',
              lifeMs: 60_000,
              wait: true,
              waitMs: 5_000,
              ...over,
            },
            reply,
          }),
          60_000,
        ),
    };
    const peers: Peers = {
      self: id.pop,
      connected: () =>
        [...this.pops.keys()].filter((other) => other !== id.pop && this.linked(id.pop, other)),
      roundTripMs: () => undefined,
      watch: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    const gossip: Gossip = {
      publish: async (_, bytes) => {
        for (const peer of peers.connected())
          if (this.gossips) await this.pops.get(peer)?.receive(id.pop, bytes);
      },
      subscribe: (_, receive) => {
        pop.receive = receive;
      },
    };
    const streams: Streams = {
      call: async (peer, _, bytes) => {
        const other = this.pops.get(peer);
        if (!other || !this.linked(id.pop, peer)) throw new PresageError('PEER_UNKNOWN');
        return other.handle(id.pop, bytes);
      },
      handle: (_, handler) => {
        pop.handle = handler;
      },
    };
    const actor = system.actor(
      recordsSpec({
        book,
        key: id.key,
        gossip,
        streams,
        peers,
        known: () => [...this.pops.keys()].filter((other) => other !== id.pop),
      }),
    );
    this.pops.set(id.pop, pop);
    await system.start(
      system.group('root', 'one-for-one', { restarts: 1, withinMs: 1_000 }, [actor]),
      () => undefined,
    );
    for (const [other, { listeners: theirs }] of this.pops) {
      if (other !== id.pop && this.linked(id.pop, other))
        for (const listener of theirs) listener(id.pop, true);
    }
    return pop;
  }

  /** Has each PoP see who is connected to it now. */
  relink(linked: (a: PopId, b: PopId) => boolean): void {
    this.linked = linked;
    for (const [id, { listeners }] of this.pops) {
      for (const other of this.pops.keys())
        if (other !== id) for (const listener of listeners) listener(other, linked(id, other));
    }
  }
}

export interface Pop {
  readonly id: Identity;
  readonly disk: Disk;
  readonly book: RecordBook;
  /** What DNS was told: name and value, with the expiry. */
  readonly answered: Map<string, number>;
  readonly listeners: Set<(peer: PopId, up: boolean) => void>;
  receive: GossipReceiver;
  handle: (from: PopId, bytes: Uint8Array) => Promise<Uint8Array>;
  set(over?: Partial<RecordOrder>): Promise<RecordSet>;
}
