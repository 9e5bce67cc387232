import { type Site, siteAllows } from '../protocol/charter.ts';
import { PresageError } from '../protocol/errors.ts';
import { type Key16, key16Of, type PopId, type ResourceKey, type SiteId } from '../protocol/ids.ts';
import {
  CHUNK_IDENTITY,
  CHUNK_ZSTD,
  decodeChunkRequest,
  decodeNameRequest,
  decodeReplicaRequest,
  encodeNameReply,
  encodeReplicaReply,
  INLINE_BYTES,
  type ReplicaRequest,
} from '../protocol/messages/replica.ts';
import {
  type Blobs,
  CHUNK_BYTES,
  type Compressor,
  type DemandClock,
  type Metrics,
  type Streams,
} from '../protocol/ports.ts';
import type { Replica, ReplicaIndex } from '../protocol/replica.ts';

export interface SupplierDeps {
  readonly index: ReplicaIndex;
  readonly blobs: Blobs;
  readonly streams: Streams;
  readonly compressor: Compressor;
  readonly demand: DemandClock;
  readonly metrics: Metrics;
  site(id: SiteId): Site | undefined;
  /** Name of an admitted peer, from its certificate. */
  nameOf(peer: PopId): string | undefined;
  /** The canonical key of a key16, if this PoP knows it. */
  keyOf(key16: Key16): { readonly key: ResourceKey; readonly site: SiteId } | undefined;
  /** Fetches from the origin on a peer's behalf, because this PoP is the key's home. */
  obtain(key: ResourceKey, key16: Key16, site: Site): Promise<Replica | undefined>;
}

/**
 * Answers what peers ask of this PoP's content: replicas with their manifests, chunks, names. Each answer is given
 * only to a PoP that the site allows, and only of a replica that may be served.
 */
export function supply(deps: SupplierDeps): void {
  deps.streams.handle('replica', (from, input) => offerReplica(deps, from, input));
  deps.streams.handle('chunk', (from, input) => offerChunk(deps, from, input));
  deps.streams.handle('name', (from, input) => offerNames(deps, from, input));
}

async function offerReplica(deps: SupplierDeps, from: PopId, input: Uint8Array): Promise<Uint8Array> {
  const request = decodeReplicaRequest(input);
  const held = newestReplica(deps.index, request.key16, request.variant);
  const replica = held ?? (await obtainFor(deps, from, request));
  if (!replica) return encodeReplicaReply(undefined, deps.demand.now());
  allowedSite(deps, from, replica.site);
  const chunks = await deps.blobs.chunkHashes(replica.content);
  const body = replica.size <= INLINE_BYTES ? await whole(deps.blobs, replica) : undefined;
  return encodeReplicaReply({ replica, chunks, body }, deps.demand.now());
}

async function obtainFor(
  deps: SupplierDeps,
  from: PopId,
  request: ReplicaRequest,
): Promise<Replica | undefined> {
  if (!request.obtain) return undefined;
  const { key, site: id } = request.obtain;
  const site = allowedSite(deps, from, id);
  if (key16Of(key, site.secret) !== request.key16)
    throw new PresageError('WIRE_ORIGIN', 'the key is not that of its key16');
  return deps.obtain(key, request.key16, site);
}

async function offerChunk(deps: SupplierDeps, from: PopId, input: Uint8Array): Promise<Uint8Array> {
  const { key16, content, index } = decodeChunkRequest(input);
  const replica = deps.index
    .get(key16)
    .find((candidate) => candidate.content === content && deps.index.standing(candidate) === 'valid');
  if (!replica) throw new PresageError('CONTENT_MISSING');
  allowedSite(deps, from, replica.site);
  const start = index * CHUNK_BYTES;
  if (start >= replica.size) throw new PresageError('CONTENT_MISSING', `no chunk ${index}`);
  const chunk = await collect(deps.blobs.read(content, start, Math.min(replica.size, start + CHUNK_BYTES)));
  const packed = compressible(replica) ? deps.compressor.compress(chunk) : undefined;
  const bytes = packed ?? chunk;
  const reply = new Uint8Array(bytes.length + 1);
  reply[0] = packed ? CHUNK_ZSTD : CHUNK_IDENTITY;
  reply.set(bytes, 1);
  return reply;
}

async function offerNames(deps: SupplierDeps, from: PopId, input: Uint8Array): Promise<Uint8Array> {
  const name = deps.nameOf(from);
  const known = decodeNameRequest(input).flatMap((key16) => {
    const entry = deps.keyOf(key16);
    const site = entry && deps.site(entry.site);
    return entry && site && name !== undefined && siteAllows(site, name) ? [[key16, entry.key] as const] : [];
  });
  return encodeNameReply(known);
}

function allowedSite(deps: SupplierDeps, peer: PopId, id: SiteId): Site {
  const site = deps.site(id);
  const name = deps.nameOf(peer);
  if (!site || name === undefined || !siteAllows(site, name)) {
    throw new PresageError('CONTENT_FORBIDDEN', `site ${id} is not for ${name ?? peer}`);
  }
  return site;
}

/** The replica to hand out: the variant asked for, or the one that came last; only what may be served as it is. */
export function newestReplica(
  index: ReplicaIndex,
  key16: Key16,
  variant: string | undefined,
): Replica | undefined {
  let newest: Replica | undefined;
  for (const replica of index.get(key16)) {
    if (variant !== undefined && replica.variant !== variant) continue;
    if (newest && newest.receivedAt >= replica.receivedAt) continue;
    if (index.standing(replica) === 'valid') newest = replica;
  }
  return newest;
}

/** Formats that are compressed already gain nothing and cost time. */
function compressible(replica: Replica): boolean {
  const header = (name: string) => replica.headers.find(([key]) => key === name)?.[1] ?? '';
  if (header('content-encoding') !== '') return false;
  return /^(text\/|application\/(json|javascript|xml|wasm)|image\/(svg|bmp)|font\/(ttf|otf))|\+(json|xml)/i.test(
    header('content-type'),
  );
}

async function whole(blobs: Blobs, replica: Replica): Promise<Uint8Array> {
  return blobs.peek(replica.content) ?? collect(blobs.read(replica.content));
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
}
