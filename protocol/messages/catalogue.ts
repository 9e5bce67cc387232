import * as v from 'valibot';
import { PresageError } from '../errors.ts';
import type { ContentHash, PopId } from '../ids.ts';
import { idBytes } from '../ids.ts';
import { PROTOCOLS, TOPICS } from '../ports.ts';
import type { Fence } from '../replica.ts';
import { hashOfVariant, key16OfVariant, type VariantId, type Version, variantId } from '../versions.ts';
import { decode, encode, type MessageSpec } from '../wire/codec.ts';
import { bytes, contentHash, key16, popId, rows, uint } from '../wire/schemas.ts';

/** Rows in one gossip message; 200 with ordinary fences take some 30 KB of its 64. */
export const MAX_GOSSIPED_ROWS = 200;
/** Rows in one reply; 12,000 with ordinary fences take some 2 MB of its 4. */
export const MAX_REPLY_ROWS = 12_000;
/** Fence entries of one row. A longer fence is not told; such content is then not asked for at this holder. */
export const MAX_FENCE_ROWS = 16;
/** The key16s are cut into this many shards by their first three hex digits; a full exchange goes shard by shard. */
export const SHARDS = 4096;
const MAX_POPS = 4096;

/** What one PoP says of one variant: what it holds, or that it holds nothing; and the newest version that it knows. */
export interface CatalogueRow {
  readonly id: VariantId;
  readonly held?: { readonly content: ContentHash; readonly size: number; readonly fence: Fence };
  readonly version?: Version;
}

/** Changes after position `after` of the speaker's log up to `upTo`; the states are those of the moment of speaking. */
export interface CatalogueDelta {
  /** Rises with each start of the speaker; positions of different incarnations do not compare. */
  readonly incarnation: number;
  readonly after: number;
  readonly upTo: number;
  readonly rows: readonly CatalogueRow[];
}

export type CatalogueCall =
  /** What changed after a position. */
  | { readonly kind: 'log'; readonly incarnation: number; readonly after: number }
  /** All there is, from a shard on. */
  | { readonly kind: 'page'; readonly shard: number };

export type CatalogueReply =
  /** `more`: ask again from `upTo`. */
  | ({ readonly kind: 'log'; readonly more: boolean } & CatalogueDelta)
  /** The position asked for is of another incarnation or no longer kept: ask for all pages. */
  | { readonly kind: 'lost' }
  /** `next` is the shard to ask for, `SHARDS` at the end; `upTo` the position when the page was made. */
  | {
      readonly kind: 'page';
      readonly incarnation: number;
      readonly upTo: number;
      readonly next: number;
      readonly rows: readonly CatalogueRow[];
    };

const shortHash = v.pipe(
  bytes(8),
  v.check((b) => b.length === 0 || b.length === 8, 'a hash of 8 bytes or none'),
  v.transform((b) => Buffer.from(b).toString('hex')),
);
const popIndex = uint(MAX_POPS - 1);
const held = v.strictTuple([contentHash, uint(), rows(v.strictTuple([popIndex, uint()]), MAX_FENCE_ROWS)]);
const version = v.strictTuple([contentHash, uint(), shortHash, uint(), uint(2 ** 32 - 1), popIndex]);
const row = v.strictTuple([key16, shortHash, v.nullable(held), v.nullable(version)]);
const pops = rows(popId, MAX_POPS);

const GOSSIP = {
  name: 'catalogue gossip',
  maxBytes: TOPICS.catalogue.maxBytes,
  depth: 6,
  elements: 20_000,
  schema: v.strictTuple([v.literal(1), uint(), uint(), uint(), pops, rows(row, MAX_GOSSIPED_ROWS)]),
} satisfies MessageSpec<v.GenericSchema>;

const CALL = {
  name: 'catalogue call',
  maxBytes: PROTOCOLS.catalogue.maxRequestBytes,
  depth: 1,
  elements: 4,
  schema: v.union([
    v.strictTuple([v.literal(0), uint(), uint()]),
    v.strictTuple([v.literal(1), uint(SHARDS - 1)]),
  ]),
} satisfies MessageSpec<v.GenericSchema>;

const REPLY = {
  name: 'catalogue reply',
  maxBytes: PROTOCOLS.catalogue.maxReplyBytes,
  depth: 6,
  elements: 600_000,
  schema: v.union([
    v.strictTuple([v.literal(0), uint(), uint(), uint(), pops, rows(row, MAX_REPLY_ROWS), v.boolean()]),
    v.strictTuple([v.literal(1), uint(), uint(), uint(SHARDS), pops, rows(row, MAX_REPLY_ROWS)]),
    v.strictTuple([v.literal(2)]),
  ]),
} satisfies MessageSpec<v.GenericSchema>;

/** Rows on the wire name PoPs by their place in a list. */
function pack(list: readonly CatalogueRow[]): [PopId[], unknown[]] {
  const index = new Map<PopId, number>();
  const of = (pop: PopId) => {
    const known = index.get(pop);
    if (known !== undefined) return known;
    index.set(pop, index.size);
    return index.size - 1;
  };
  const short = (hash: string) => Buffer.from(hash, 'hex');
  const packed = list.map(({ id, held, version }) => [
    idBytes(key16OfVariant(id)),
    short(hashOfVariant(id)),
    held && held.fence.size <= MAX_FENCE_ROWS
      ? [idBytes(held.content), held.size, [...held.fence].map(([pop, seq]) => [of(pop), seq])]
      : null,
    version
      ? [
          idBytes(version.content),
          version.size,
          short(version.validator),
          version.stamp.time,
          version.stamp.counter,
          of(version.stamp.pop),
        ]
      : null,
  ]);
  return [[...index.keys()], packed];
}

function unpack(names: readonly PopId[], list: readonly v.InferOutput<typeof row>[]): CatalogueRow[] {
  const nameOf = (index: number): PopId => {
    const name = names[index];
    if (name === undefined) throw new PresageError('WIRE_SCHEMA', 'catalogue: a PoP outside the list');
    return name;
  };
  return list.map(([key, variant, holds, knows]) => ({
    id: variantId(key, variant),
    ...(holds && {
      held: {
        content: holds[0],
        size: holds[1],
        fence: new Map(holds[2].map(([pop, seq]) => [nameOf(pop), seq])),
      },
    }),
    ...(knows && {
      version: {
        content: knows[0],
        size: knows[1],
        validator: knows[2],
        stamp: { time: knows[3], counter: knows[4], pop: nameOf(knows[5]) },
      },
    }),
  }));
}

export const encodeCatalogueGossip = (delta: CatalogueDelta): Uint8Array =>
  encode([1, delta.incarnation, delta.after, delta.upTo, ...pack(delta.rows)]);

/** Fails with `WIRE_*`. */
export function decodeCatalogueGossip(data: Uint8Array): CatalogueDelta {
  const [, incarnation, after, upTo, names, list] = decode(data, GOSSIP);
  return { incarnation, after, upTo, rows: unpack(names, list) };
}

export const encodeCatalogueCall = (call: CatalogueCall): Uint8Array =>
  encode(call.kind === 'log' ? [0, call.incarnation, call.after] : [1, call.shard]);

/** Fails with `WIRE_*`. */
export function decodeCatalogueCall(data: Uint8Array): CatalogueCall {
  const call = decode(data, CALL);
  return call[0] === 0
    ? { kind: 'log', incarnation: call[1], after: call[2] }
    : { kind: 'page', shard: call[1] };
}

export function encodeCatalogueReply(reply: CatalogueReply): Uint8Array {
  switch (reply.kind) {
    case 'log':
      return encode([0, reply.incarnation, reply.after, reply.upTo, ...pack(reply.rows), reply.more]);
    case 'page':
      return encode([1, reply.incarnation, reply.upTo, reply.next, ...pack(reply.rows)]);
    case 'lost':
      return encode([2]);
  }
}

/** Fails with `WIRE_*`. */
export function decodeCatalogueReply(data: Uint8Array): CatalogueReply {
  const reply = decode(data, REPLY);
  switch (reply[0]) {
    case 0: {
      const [, incarnation, after, upTo, names, list, more] = reply;
      return { kind: 'log', incarnation, after, upTo, rows: unpack(names, list), more };
    }
    case 1: {
      const [, incarnation, upTo, next, names, list] = reply;
      return { kind: 'page', incarnation, upTo, next, rows: unpack(names, list) };
    }
    case 2:
      return { kind: 'lost' };
  }
}
