import * as v from 'valibot';
import { PresageError } from '../errors.ts';
import type { PopId } from '../ids.ts';
import type { IssuerDigest } from '../invalidation.ts';
import { PROTOCOLS, TOPICS } from '../ports.ts';
import { MAX_PURGE_BYTES, type SignedPurge } from '../purge.ts';
import { decode, encode, type MessageSpec } from '../wire/codec.ts';
import { bytes, popId, rows, uint } from '../wire/schemas.ts';

/** Records in one gossip message: 16 of the largest fit its cap with room to spare. */
export const MAX_GOSSIPED_PURGES = 16;
/** Records in one frame of the stream protocol; 1,500 of the largest stay below its cap. */
export const MAX_PURGES_PER_FRAME = 1500;
/** Issuers in one digest: what fits into a frame. */
export const MAX_DIGEST_ROWS = 4096;
/** Ids in one frame, over all issuers: 64,000 × 8 bytes leave room for the rows around them. */
export const MAX_IDS_PER_FRAME = 64_000;
const ID_BYTES = 8;

/** A record as it travels: the bytes that the issuer signed, and its signature. Opened by `openPurge`. */
export type SealedPurge = readonly [body: Uint8Array, signature: Uint8Array];

/** What a caller of the stream protocol says; the reply has the same kind. */
export type PurgeCall =
  /** Take these; the reply tells which are applied and durable. */
  | { readonly kind: 'push'; readonly purges: readonly SealedPurge[] }
  /** This is what I know; the reply lists the callee's ids for each issuer of which it knows something else. */
  | { readonly kind: 'compare'; readonly digest: readonly IssuerDigest[] }
  /** Give me these. */
  | { readonly kind: 'fetch'; readonly wanted: ReadonlyMap<PopId, readonly string[]> };

export type PurgeReply =
  | { readonly kind: 'push'; readonly acknowledged: readonly string[] }
  /** `more`: issuers were left out for want of room; compare again after these. */
  | { readonly kind: 'compare'; readonly ids: ReadonlyMap<PopId, readonly string[]>; readonly more: boolean }
  | { readonly kind: 'fetch'; readonly purges: readonly SealedPurge[] };

const sealed = v.strictTuple([bytes(MAX_PURGE_BYTES), bytes(64, 64)]);
const ids = v.pipe(
  bytes(MAX_IDS_PER_FRAME * ID_BYTES),
  v.check((b) => b.length % ID_BYTES === 0, 'whole ids'),
);
const idsByIssuer = rows(v.strictTuple([popId, ids]), MAX_DIGEST_ROWS);
const digestRow = v.strictTuple([popId, uint(2 ** 31), uint(), bytes(ID_BYTES, ID_BYTES)]);

const GOSSIP = {
  name: 'purge gossip',
  maxBytes: TOPICS.purge.maxBytes,
  depth: 3,
  elements: 4 * MAX_GOSSIPED_PURGES,
  schema: v.strictTuple([v.literal(1), rows(sealed, MAX_GOSSIPED_PURGES)]),
} satisfies MessageSpec<v.GenericSchema>;

const CALL = {
  name: 'purge call',
  maxBytes: PROTOCOLS.purge.maxRequestBytes,
  depth: 3,
  elements: 8 * MAX_DIGEST_ROWS,
  schema: v.union([
    v.strictTuple([v.literal(0), rows(sealed, MAX_PURGES_PER_FRAME)]),
    v.strictTuple([v.literal(1), rows(digestRow, MAX_DIGEST_ROWS)]),
    v.strictTuple([v.literal(2), idsByIssuer]),
  ]),
} satisfies MessageSpec<v.GenericSchema>;

const REPLY = {
  name: 'purge reply',
  maxBytes: PROTOCOLS.purge.maxReplyBytes,
  depth: 3,
  elements: 8 * MAX_DIGEST_ROWS,
  schema: v.union([
    v.strictTuple([v.literal(0), ids]),
    v.strictTuple([v.literal(1), idsByIssuer, v.boolean()]),
    v.strictTuple([v.literal(2), rows(sealed, MAX_PURGES_PER_FRAME)]),
  ]),
} satisfies MessageSpec<v.GenericSchema>;

export const seal = (purge: SignedPurge): SealedPurge => [purge.bytes, purge.signature];

const packIds = (list: Iterable<string>): Uint8Array => Buffer.from([...list].join(''), 'hex');
const unpackIds = (data: Uint8Array): string[] => {
  const text = Buffer.from(data).toString('hex');
  return Array.from({ length: data.length / ID_BYTES }, (_, i) => text.slice(16 * i, 16 * i + 16));
};
const packMap = (map: ReadonlyMap<PopId, readonly string[]>) =>
  [...map].map(([issuer, list]) => [issuer, packIds(list)]);
const unpackMap = (list: readonly (readonly [PopId, Uint8Array])[]) =>
  new Map(list.map(([issuer, data]) => [issuer, unpackIds(data)]));

export const encodePurgeGossip = (purges: readonly SignedPurge[]): Uint8Array =>
  encode([1, purges.map(seal)]);

/** Fails with `WIRE_*`. */
export const decodePurgeGossip = (data: Uint8Array): readonly SealedPurge[] => decode(data, GOSSIP)[1];

export function encodePurgeCall(call: PurgeCall): Uint8Array {
  switch (call.kind) {
    case 'push':
      return encode([0, call.purges]);
    case 'compare':
      return encode([
        1,
        call.digest.map((row) => [row.issuer, row.count, row.maxSeq, Buffer.from(row.sum, 'hex')]),
      ]);
    case 'fetch':
      return encode([2, packMap(call.wanted)]);
  }
}

/** Fails with `WIRE_*`. */
export function decodePurgeCall(data: Uint8Array): PurgeCall {
  const call = decode(data, CALL);
  switch (call[0]) {
    case 0:
      return { kind: 'push', purges: call[1] };
    case 1:
      return {
        kind: 'compare',
        digest: call[1].map(([issuer, count, maxSeq, sum]) => ({
          issuer,
          count,
          maxSeq,
          sum: Buffer.from(sum).toString('hex'),
        })),
      };
    case 2:
      return { kind: 'fetch', wanted: unpackMap(call[1]) };
  }
}

export function encodePurgeReply(reply: PurgeReply): Uint8Array {
  switch (reply.kind) {
    case 'push':
      return encode([0, packIds(reply.acknowledged)]);
    case 'compare':
      return encode([1, packMap(reply.ids), reply.more]);
    case 'fetch':
      return encode([2, reply.purges]);
  }
}

/** Fails with `WIRE_*`; `kind` is that of the call. */
export function decodePurgeReply<K extends PurgeReply['kind']>(
  data: Uint8Array,
  kind: K,
): Extract<PurgeReply, { kind: K }> {
  const reply = readReply(data);
  if (!isKind(reply, kind)) throw new PresageError('WIRE_SCHEMA', `purge reply: not a ${kind}`);
  return reply;
}

const isKind = <K extends PurgeReply['kind']>(
  reply: PurgeReply,
  kind: K,
): reply is Extract<PurgeReply, { kind: K }> => reply.kind === kind;

function readReply(data: Uint8Array): PurgeReply {
  const reply = decode(data, REPLY);
  switch (reply[0]) {
    case 0:
      return { kind: 'push', acknowledged: unpackIds(reply[1]) };
    case 1:
      return { kind: 'compare', ids: unpackMap(reply[1]), more: reply[2] };
    case 2:
      return { kind: 'fetch', purges: reply[1] };
  }
}
