import type { ContentHash, Key16, PopId } from './ids.ts';
import {
  type CatalogueCall,
  type CatalogueDelta,
  type CatalogueReply,
  type CatalogueRow,
  MAX_GOSSIPED_ROWS,
  MAX_REPLY_ROWS,
  SHARDS,
} from './messages/catalogue.ts';
import type { Fence } from './replica.ts';
import { hashOfVariant, key16OfVariant, type VariantId } from './versions.ts';

/** Changes remembered for peers that missed some; one that missed more asks for everything. */
const LOG_LENGTH = 16_384;
/** Variants remembered of all peers, some 250 bytes each; the peers share evenly, and what was told longest ago goes first. */
export const MAX_HOLDINGS = 262_144;
const MAX_HOLDINGS_PER_PEER = 32_768;
const MIN_HOLDINGS_PER_PEER = 512;
/** Peers remembered, connected or not. */
const MAX_PEERS = 512;

/** The numbered log of what changes here; states are looked up when they are told, so a row is never out of date. */
export class HoldingsLog {
  readonly incarnation: number;
  readonly #log: VariantId[] = [];
  /** Without holes: most of them are empty, and all are walked through. */
  readonly #shards = new Array<Set<VariantId> | undefined>(SHARDS).fill(undefined);
  readonly #rowOf: (id: VariantId) => CatalogueRow;
  readonly #replyRows: number;
  #first = 1;
  #published = 0;

  /** `rowOf`: what is to be said of a variant now. */
  constructor(incarnation: number, rowOf: (id: VariantId) => CatalogueRow, replyRows = MAX_REPLY_ROWS) {
    this.#replyRows = replyRows;
    this.incarnation = incarnation;
    this.#rowOf = rowOf;
  }

  /** Position of the last change; 0 before the first. */
  get position(): number {
    return this.#first + this.#log.length - 1;
  }

  /** Changes that are not gossiped yet. */
  get unpublished(): number {
    return this.position - this.#published;
  }

  /** A variant that is held or whose version is known, for the full exchange. */
  include(id: VariantId): void {
    const shard = shardOf(id);
    const set = this.#shards[shard];
    if (set) set.add(id);
    else this.#shards[shard] = new Set([id]);
  }

  exclude(id: VariantId): void {
    this.#shards[shardOf(id)]?.delete(id);
  }

  /** Numbers a change. */
  append(id: VariantId): void {
    this.#log.push(id);
    if (this.#log.length < 2 * LOG_LENGTH) return;
    const dropped = this.#log.length - LOG_LENGTH;
    this.#log.splice(0, dropped);
    this.#first += dropped;
  }

  /** The next changes to be gossiped, or `undefined` when all are. */
  publish(maxRows = MAX_GOSSIPED_ROWS): CatalogueDelta | undefined {
    if (this.#published >= this.position) return undefined;
    const after = Math.max(this.#published, this.#first - 1);
    const delta = this.#since(after, maxRows);
    this.#published = delta.upTo;
    return delta;
  }

  /** A delta without changes: who missed the last one learns from its position that there is something to ask for. */
  reminder(): CatalogueDelta {
    return { incarnation: this.incarnation, after: this.#published, upTo: this.#published, rows: [] };
  }

  #since(after: number, maxRows: number): CatalogueDelta {
    const upTo = Math.min(this.position, after + maxRows);
    const ids = new Set(this.#log.slice(after + 1 - this.#first, upTo + 1 - this.#first));
    return { incarnation: this.incarnation, after, upTo, rows: [...ids].map(this.#rowOf) };
  }

  answer(call: CatalogueCall): CatalogueReply {
    if (call.kind === 'log') {
      const known = call.incarnation === this.incarnation && call.after <= this.position;
      if (!known || call.after < this.#first - 1) return { kind: 'lost' };
      const delta = this.#since(call.after, this.#replyRows);
      return { kind: 'log', ...delta, more: delta.upTo < this.position };
    }
    const rows: CatalogueRow[] = [];
    let next = call.shard;
    for (; next < SHARDS; next += 1) {
      const shard = this.#shards[next];
      if (!shard) continue;
      if (rows.length > 0 && rows.length + shard.size > this.#replyRows) break;
      for (const id of shard) if (rows.length < this.#replyRows) rows.push(this.#rowOf(id));
    }
    return { kind: 'page', incarnation: this.incarnation, upTo: this.position, next, rows };
  }
}

const shardOf = (id: VariantId): number => Number.parseInt(id.slice(0, 3), 16);

/** A peer that says that it holds a variant of a resource. */
export interface Holder {
  readonly pop: PopId;
  /** Hash of the variant, empty where nothing varies. */
  readonly variant: string;
  readonly content: ContentHash;
  readonly size: number;
  readonly fence: Fence;
}

interface Held extends Holder {
  /** Which full exchange has confirmed it last. */
  readonly round: number;
}

interface Peer {
  incarnation: number;
  /** The shard from which a full exchange goes on that was begun and not finished. */
  pending: number | undefined;
  position: number;
  round: number;
  readonly ids: Set<VariantId>;
}

/** What is to be asked of a peer next; `undefined` when it is known to the last change. */
export type NextCall = CatalogueCall | undefined;

/** Which peer holds what, as far as each has said. It may be out of date: a fetch that fails tells. */
export class PeerHoldings {
  readonly #byKey = new Map<Key16, Map<string, Held>>();
  readonly #peers = new Map<PopId, Peer>();
  readonly #max: number;

  constructor(max = MAX_HOLDINGS) {
    this.#max = max;
  }

  /** Peers said to hold a resource. */
  holders(key16: Key16): readonly Holder[] {
    const held = this.#byKey.get(key16);
    return held ? [...held.values()] : [];
  }

  countOf(pop: PopId): number {
    return this.#peers.get(pop)?.ids.size ?? 0;
  }

  /** What to ask of a peer that has just connected. */
  first(pop: PopId): CatalogueCall {
    const peer = this.#peers.get(pop);
    if (!peer || peer.incarnation === 0) return { kind: 'page', shard: 0 };
    if (peer.pending !== undefined) return { kind: 'page', shard: peer.pending };
    return { kind: 'log', incarnation: peer.incarnation, after: peer.position };
  }

  /** A gossiped delta; the result is what to ask for if something was missed before it. */
  heard(pop: PopId, delta: CatalogueDelta): NextCall {
    const peer = this.#peerOf(pop);
    if (peer.incarnation !== delta.incarnation) {
      if (delta.incarnation < peer.incarnation) return undefined;
      this.#take(pop, peer, delta.rows);
      return { kind: 'page', shard: 0 };
    }
    // States older than those known must not come back; a late message tells nothing new.
    if (delta.upTo <= peer.position) return undefined;
    this.#take(pop, peer, delta.rows);
    if (delta.after > peer.position) {
      return { kind: 'log', incarnation: peer.incarnation, after: peer.position };
    }
    peer.position = delta.upTo;
    return undefined;
  }

  /** A reply to a call; the result is the next call. */
  answered(pop: PopId, call: CatalogueCall, reply: CatalogueReply): NextCall {
    const peer = this.#peerOf(pop);
    switch (reply.kind) {
      case 'lost':
        return call.kind === 'log' ? { kind: 'page', shard: 0 } : undefined;
      case 'log':
        if (reply.incarnation !== peer.incarnation || call.kind !== 'log') return undefined;
        // Gossip may have overtaken it: states older than those known must not come back.
        if (reply.upTo > peer.position) {
          this.#take(pop, peer, reply.rows);
          peer.position = reply.upTo;
        }
        return reply.more && reply.upTo > call.after
          ? { kind: 'log', incarnation: peer.incarnation, after: peer.position }
          : undefined;
      case 'page':
        return call.kind === 'page' ? this.#page(pop, peer, call.shard, reply) : undefined;
    }
  }

  #page(pop: PopId, peer: Peer, shard: number, reply: Extract<CatalogueReply, { kind: 'page' }>): NextCall {
    if (shard === 0) {
      peer.round += 1;
      peer.incarnation = reply.incarnation;
      // Later pages are newer than the first; changes since then are asked for again at the end.
      peer.position = reply.upTo;
    } else if (reply.incarnation !== peer.incarnation) return { kind: 'page', shard: 0 };
    // What gossip has told since the page was made is asked for again, as the page takes it back.
    const overtaken = reply.upTo < peer.position;
    if (overtaken) peer.position = reply.upTo;
    this.#take(pop, peer, reply.rows);
    if (reply.next < SHARDS) {
      peer.pending = reply.next;
      return reply.next > shard ? { kind: 'page', shard: reply.next } : undefined;
    }
    peer.pending = undefined;
    for (const id of peer.ids) {
      const held = this.#byKey.get(key16OfVariant(id))?.get(slotOf(pop, id));
      if (held && held.round < peer.round) this.#remove(pop, peer, id);
    }
    return overtaken || reply.upTo > peer.position
      ? { kind: 'log', incarnation: peer.incarnation, after: peer.position }
      : undefined;
  }

  /** Forgets a peer, for example because it was revoked. */
  forget(pop: PopId): void {
    const peer = this.#peers.get(pop);
    if (!peer) return;
    for (const id of peer.ids) this.#remove(pop, peer, id);
    this.#peers.delete(pop);
  }

  #peerOf(pop: PopId): Peer {
    let peer = this.#peers.get(pop);
    if (!peer) {
      if (this.#peers.size >= MAX_PEERS) this.forget(this.#peers.keys().next().value!);
      peer = { incarnation: 0, pending: undefined, position: 0, round: 0, ids: new Set() };
      this.#peers.set(pop, peer);
    }
    return peer;
  }

  #take(pop: PopId, peer: Peer, rows: readonly CatalogueRow[]): void {
    const even = Math.floor(this.#max / this.#peers.size);
    const share = Math.min(MAX_HOLDINGS_PER_PEER, Math.max(MIN_HOLDINGS_PER_PEER, even));
    for (const { id, held } of rows) {
      this.#remove(pop, peer, id);
      if (!held) continue;
      while (peer.ids.size >= share) this.#remove(pop, peer, peer.ids.values().next().value!);
      peer.ids.add(id);
      const key16 = key16OfVariant(id);
      let holders = this.#byKey.get(key16);
      if (!holders) {
        holders = new Map();
        this.#byKey.set(key16, holders);
      }
      holders.set(slotOf(pop, id), { pop, variant: hashOfVariant(id), ...held, round: peer.round });
    }
  }

  #remove(pop: PopId, peer: Peer, id: VariantId): void {
    if (!peer.ids.delete(id)) return;
    const key16 = key16OfVariant(id);
    const holders = this.#byKey.get(key16);
    holders?.delete(slotOf(pop, id));
    if (holders?.size === 0) this.#byKey.delete(key16);
  }
}

const slotOf = (pop: PopId, id: VariantId): string => pop + hashOfVariant(id);
