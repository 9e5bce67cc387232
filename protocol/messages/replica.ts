import * as v from 'valibot';
import type { ContentHash, Key16, PopId, ResourceKey, SiteId } from '../ids.ts';
import { contentHashFromBytes, idBytes } from '../ids.ts';
import { CHUNK_BYTES } from '../ports.ts';
import type { Replica, Stamp } from '../replica.ts';
import { decode, encode } from '../wire/codec.ts';
import { bytes, contentHash, key16, popId, rows, text, uint } from '../wire/schemas.ts';

/** Longest canonical key that travels, characters; longer ones are not replicated. */
export const KEY_MAX = 4_096;
const HEADERS_MAX = 128;
const ISSUERS_MAX = 1_024;
const TAGS_MAX = 128;
/** Contents up to this size travel with the reply itself, which saves a round trip for most of the web. */
export const INLINE_BYTES = 64 * 1024;

/**
 * `replica` request: `[1, key16, variant | nil, obtain | nil]`. Without a variant the newest one is meant. `obtain`
 * is `[key, site]`: the receiver is the home PoP and may fetch from the origin what it does not hold.
 */
const requestSchema = v.strictTuple([
  v.literal(1),
  key16,
  v.nullable(text(2_048)),
  v.nullable(v.strictTuple([text(KEY_MAX, 1), text(64, 1)])),
]);
const requestSpec = { name: 'replica request', schema: requestSchema, maxBytes: 8_192 };

export interface ReplicaRequest {
  readonly key16: Key16;
  readonly variant: string | undefined;
  readonly obtain: { readonly key: ResourceKey; readonly site: SiteId } | undefined;
}

export const encodeReplicaRequest = ({ key16: key, variant, obtain }: ReplicaRequest): Uint8Array =>
  encode([1, idBytes(key), variant ?? null, obtain ? [obtain.key, obtain.site] : null]);

export function decodeReplicaRequest(input: Uint8Array): ReplicaRequest {
  const [, key, variant, obtain] = decode(input, requestSpec);
  return {
    key16: key,
    variant: variant ?? undefined,
    obtain: obtain ? { key: obtain[0] as ResourceKey, site: obtain[1] as SiteId } : undefined,
  };
}

const stampSchema = v.strictTuple([uint(), uint(0xffff_ffff), popId]);
const fenceSchema = rows(v.strictTuple([popId, uint()]), ISSUERS_MAX);

/**
 * `replica` reply: `[1, sentAt, key, site, variant, status, headers, content, size, requestedAt, receivedAt, fence,
 * tags, stamp, chunks, body | nil]`, or nil if the receiver holds none. Times are the sender's demand clock, ms; `sentAt` lets
 * the reader keep the age when the clocks differ. `chunks` are the SHA-256 of the chunks, one after another.
 */
const replySchema = v.nullable(
  v.strictTuple([
    v.literal(1),
    uint(),
    text(KEY_MAX, 1),
    text(64, 1),
    text(2_048),
    uint(599),
    rows(v.strictTuple([text(256, 1), text(16_384)]), HEADERS_MAX),
    contentHash,
    uint(),
    uint(),
    uint(),
    fenceSchema,
    rows(text(256, 1), TAGS_MAX),
    stampSchema,
    bytes(1 << 20),
    v.nullable(bytes(INLINE_BYTES)),
  ]),
);
const replySpec = { name: 'replica reply', schema: replySchema, maxBytes: 1 << 20 };

/** A replica as a peer offers it, with the names of its chunks. */
export interface OfferedReplica {
  readonly replica: Omit<Replica, 'source' | 'key16'>;
  readonly chunks: readonly ContentHash[];
  /** The content itself, if it is at most `INLINE_BYTES`. */
  readonly body: Uint8Array | undefined;
}

export function encodeReplicaReply(
  offer: (Omit<OfferedReplica, 'replica'> & { readonly replica: Replica }) | undefined,
  demandNow: number,
): Uint8Array {
  if (!offer) return encode(null);
  const { replica, chunks, body } = offer;
  return encode([
    1,
    Math.floor(demandNow),
    replica.key,
    replica.site,
    replica.variant,
    replica.status,
    replica.headers,
    idBytes(replica.content),
    replica.size,
    Math.floor(replica.requestedAt),
    Math.floor(replica.receivedAt),
    [...replica.fence],
    replica.tags,
    [replica.version.time, replica.version.counter, replica.version.pop],
    Buffer.concat(chunks.map((chunk) => idBytes(chunk))),
    body ?? null,
  ]);
}

/** Decodes an offer and moves its times to the reader's demand clock. */
export function decodeReplicaReply(input: Uint8Array, demandNow: number): OfferedReplica | undefined {
  const row = decode(input, replySpec);
  if (!row) return undefined;
  const [
    ,
    sentAt,
    key,
    site,
    variant,
    status,
    headers,
    content,
    size,
    requestedAt,
    receivedAt,
    fence,
    tags,
    stamp,
    names,
    body,
  ] = row;
  const shift = Math.floor(demandNow) - sentAt;
  const count = Math.ceil(size / CHUNK_BYTES);
  // First of all: the size is whatever the peer says, and a list is made of that length.
  if (names.length !== count * 32) return undefined;
  const chunks = Array.from({ length: count }, (_, i) =>
    contentHashFromBytes(names.subarray(i * 32, i * 32 + 32)),
  );
  const version: Stamp = { time: stamp[0], counter: stamp[1], pop: stamp[2] };
  return {
    replica: {
      key: key as ResourceKey,
      site: site as SiteId,
      variant,
      status,
      headers,
      content,
      size,
      requestedAt: requestedAt + shift,
      receivedAt: receivedAt + shift,
      fence: new Map<PopId, number>(fence),
      tags,
      version,
      group: 0,
      rules: 0,
    },
    chunks,
    body: body ?? undefined,
  };
}

/** `chunk` request: `[1, key16, content, index]`; the key16 lets the holder check the site's allow list. */
const chunkRequestSchema = v.strictTuple([v.literal(1), key16, contentHash, uint(0xffff_ffff)]);
const chunkRequestSpec = { name: 'chunk request', schema: chunkRequestSchema, maxBytes: 256 };

export interface ChunkRequest {
  readonly key16: Key16;
  readonly content: ContentHash;
  readonly index: number;
}

export const encodeChunkRequest = ({ key16: key, content, index }: ChunkRequest): Uint8Array =>
  encode([1, idBytes(key), idBytes(content), index]);

export function decodeChunkRequest(input: Uint8Array): ChunkRequest {
  const [, key, content, index] = decode(input, chunkRequestSpec);
  return { key16: key, content, index };
}

/** `chunk` reply: a byte that says how the rest is coded, then the chunk. Not MessagePack: a copy less. */
export const CHUNK_IDENTITY = 0;
export const CHUNK_ZSTD = 1;

/** `name` request: `[1, [key16 …]]`; reply: `[1, [[key16, key] …]]` for those that the asker may know. */
export const NAMES_MAX = 256;
const nameRequestSpec = {
  name: 'name request',
  schema: v.strictTuple([v.literal(1), rows(key16, NAMES_MAX)]),
  maxBytes: 64 * 1024,
};
const nameReplySpec = {
  name: 'name reply',
  schema: v.strictTuple([v.literal(1), rows(v.strictTuple([key16, text(KEY_MAX, 1)]), NAMES_MAX)]),
  maxBytes: 1 << 20,
};

export const encodeNameRequest = (keys: readonly Key16[]): Uint8Array => encode([1, keys.map(idBytes)]);
export const decodeNameRequest = (input: Uint8Array): readonly Key16[] => decode(input, nameRequestSpec)[1];
export const encodeNameReply = (names: readonly (readonly [Key16, ResourceKey])[]): Uint8Array =>
  encode([1, names.map(([key, name]) => [idBytes(key), name])]);
export const decodeNameReply = (input: Uint8Array): readonly (readonly [Key16, ResourceKey])[] =>
  decode(input, nameReplySpec)[1].map(([key, name]) => [key, name as ResourceKey] as const);

/** `lease`: `[1, key16]`: "I fetch this from the origin now". The reply is the same, or nil if the receiver already does. */
const leaseSpec = { name: 'lease', schema: v.strictTuple([v.literal(1), key16]), maxBytes: 64 };
export const encodeLease = (key: Key16): Uint8Array => encode([1, idBytes(key)]);
export const decodeLease = (input: Uint8Array): Key16 => decode(input, leaseSpec)[1];
