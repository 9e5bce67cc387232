import { createHash } from 'node:crypto';
import { type Site, siteAllows } from '../protocol/charter.ts';
import { coded, codeOf, PresageError } from '../protocol/errors.ts';
import {
  type ContentHash,
  type Key16,
  key16Of,
  type PopId,
  type ResourceKey,
  type SiteId,
} from '../protocol/ids.ts';
import {
  CHUNK_ZSTD,
  decodeReplicaReply,
  encodeChunkRequest,
  encodeReplicaRequest,
  type OfferedReplica,
  type ReplicaRequest,
} from '../protocol/messages/replica.ts';
import {
  type BlobAssembler,
  type Blobs,
  CHUNK_BYTES,
  type Clock,
  type Compressor,
  type DemandClock,
  type Keeping,
  type Log,
  type Metrics,
  type Peers,
  type Streams,
} from '../protocol/ports.ts';
import type { Replica, ReplicaIndex, ReplicaSource } from '../protocol/replica.ts';
import { Transfer } from '../protocol/transfer.ts';

export interface PullerDeps {
  readonly index: ReplicaIndex;
  readonly blobs: Blobs;
  readonly streams: Streams;
  readonly peers: Peers;
  readonly compressor: Compressor;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly log: Log;
  readonly metrics: Metrics;
  site(id: SiteId): Site | undefined;
  /** This PoP's own name. */
  readonly name: string;
  readonly maxObjectBytes: number;
}

/** What is wanted, and how urgently. */
export interface Pull {
  readonly key16: Key16;
  readonly source: ReplicaSource;
  readonly variant?: string;
  /** Set when the receiver may fetch from the origin on our behalf. */
  readonly obtain?: { readonly key: ResourceKey; readonly site: SiteId };
  /** Resolves when `bytes` of mirroring may be sent for; clients' pulls have none. */
  readonly pace?: (bytes: number) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** A holder that does not describe a replica in this time is passed over, real ms. */
const OFFER_DEADLINE_MS = 3_000;
/** A home PoP also waits for its origin. */
const OBTAIN_DEADLINE_MS = 20_000;
const CHUNK_DEADLINE_MS = 10_000;
/** Holders asked for a description before the pull is given up. */
const OFFERS_MAX = 4;

/** One transfer at work. */
interface Assembly {
  readonly assembler: BlobAssembler;
  readonly transfer: Transfer;
  readonly disk: { error?: PresageError };
}

/**
 * Pulls one resource's replica from the PoPs that hold it: description, manifest, chunks from several holders at
 * once, each verified, then adoption under the fence rule. Nobody pushes.
 */
export class Puller {
  readonly #deps: PullerDeps;

  constructor(deps: PullerDeps) {
    this.#deps = deps;
  }

  /** The adopted replica, or `undefined` when no holder had one that may be stored here. */
  async pull(request: Pull, holders: readonly PopId[]): Promise<Replica | undefined> {
    const near = this.#byDistance(holders).slice(0, OFFERS_MAX);
    for (const holder of near) {
      const offered = await this.#offer(request, holder);
      if (!offered) continue;
      try {
        return await this.#take(request, offered, holder, near);
      } catch (error) {
        if (request.signal?.aborted) throw new PresageError('CANCELLED');
        const code = codeOf(error);
        this.#deps.metrics.count('pull_failures_total', { code });
        this.#deps.log.debug('pull failed', { key16: request.key16, holder, code });
        if (code === 'STORE_FULL' || code === 'CONTENT_FENCED') return undefined;
      }
    }
    return undefined;
  }

  #byDistance(holders: readonly PopId[]): PopId[] {
    const { peers } = this.#deps;
    const connected = new Set(peers.connected());
    const distance = (pop: PopId) => peers.roundTripMs(pop) ?? Number.MAX_SAFE_INTEGER;
    return holders
      .filter((pop) => connected.has(pop))
      .sort((a, b) => distance(a) - distance(b) || (a < b ? -1 : 1));
  }

  async #offer(request: Pull, holder: PopId): Promise<OfferedReplica | undefined> {
    const { streams, demand, metrics } = this.#deps;
    const message: ReplicaRequest = {
      key16: request.key16,
      variant: request.variant,
      obtain: request.obtain,
    };
    try {
      const reply = await streams.call(holder, 'replica', encodeReplicaRequest(message), {
        deadlineMs: request.obtain ? OBTAIN_DEADLINE_MS : OFFER_DEADLINE_MS,
        ...(request.signal ? { signal: request.signal } : {}),
      });
      const offered = decodeReplicaReply(reply, demand.now());
      return offered && this.#acceptable(request, offered) ? offered : undefined;
    } catch (error) {
      metrics.count('pull_failures_total', { code: codeOf(error) });
      return undefined;
    }
  }

  /** A peer's word is checked before a byte is asked for: the key is that of the key16, the site is known and ours. */
  #acceptable(request: Pull, { replica }: OfferedReplica): boolean {
    const site = this.#deps.site(replica.site);
    if (!site || !siteAllows(site, this.#deps.name)) return false;
    if (key16Of(replica.key, site.secret) !== request.key16) return false;
    return replica.size <= this.#deps.maxObjectBytes;
  }

  async #take(
    request: Pull,
    offered: OfferedReplica,
    holder: PopId,
    holders: readonly PopId[],
  ): Promise<Replica | undefined> {
    const { blobs, index, metrics } = this.#deps;
    const replica: Replica = { ...offered.replica, key16: request.key16, source: request.source };
    const keeping = { sealed: this.#deps.site(replica.site)?.private ?? true };
    if (blobs.has(replica.content)) {
      // It may have come by a public site, in the clear.
      if (keeping.sealed) await blobs.seal(replica.content);
    } else {
      if (offered.body) {
        await request.pace?.(replica.size);
        await this.#storeInline(replica, offered.body, keeping);
      } else {
        await this.#fetchChunks(request, replica, offered.chunks, keeping, [
          holder,
          ...holders.filter((h) => h !== holder),
        ]);
      }
      metrics.count('pulled_bytes_total', { source: request.source }, replica.size);
    }
    // Of a content that was here before, nothing has been held against the length that the peer tells.
    if (blobs.size(replica.content) !== replica.size) throw new PresageError('CONTENT_MISMATCH');
    return index.adopt(replica);
  }

  async #storeInline(replica: Replica, body: Uint8Array, keeping: Keeping): Promise<void> {
    // Hashed before it is stored: a false body must not even for a moment stand under its own name.
    const hash = createHash('sha256').update(body).digest('hex');
    if (hash !== replica.content || body.length !== replica.size) throw new PresageError('CONTENT_MISMATCH');
    await this.#deps.blobs.put(body, keeping);
  }

  async #fetchChunks(
    request: Pull,
    replica: Replica,
    chunks: readonly ContentHash[],
    keeping: Keeping,
    holders: readonly PopId[],
  ): Promise<void> {
    const { blobs, peers } = this.#deps;
    const manifest = { hash: replica.content, size: replica.size, chunks };
    const assembler = await blobs.resume(manifest, keeping);
    const transfer = new Transfer(
      assembler.missing(),
      holders.map((pop) => ({ pop, roundTripMs: peers.roundTripMs(pop) })),
    );
    const active = new Set<Promise<void>>();
    const disk: { error?: PresageError } = {};
    try {
      while (!transfer.done) {
        if (request.signal?.aborted) throw new PresageError('CANCELLED');
        if (disk.error) throw disk.error;
        if (transfer.exhausted)
          throw new PresageError('CONTENT_MISSING', 'no holder gave the missing chunks');
        for (let call = transfer.next(); call; call = transfer.next()) {
          const { source, index } = call;
          const work = this.#fetchChunk(request, replica, source, index, { assembler, transfer, disk });
          active.add(work);
          void work.finally(() => active.delete(work));
        }
        await Promise.race(active);
      }
      await assembler.finish();
    } catch (error) {
      await Promise.allSettled(active);
      // What has come and is true is kept; who comes next may bring another manifest.
      await assembler.abort();
      throw error;
    }
  }

  /** Never rejects: the outcome goes to the schedule. */
  async #fetchChunk(
    request: Pull,
    replica: Replica,
    source: PopId,
    index: number,
    { assembler, transfer, disk }: Assembly,
  ): Promise<void> {
    const { streams, compressor, metrics } = this.#deps;
    const length = Math.min(CHUNK_BYTES, replica.size - index * CHUNK_BYTES);
    try {
      await request.pace?.(length);
      const message = encodeChunkRequest({ key16: request.key16, content: replica.content, index });
      const reply = await streams.call(source, 'chunk', message, {
        deadlineMs: CHUNK_DEADLINE_MS,
        ...(request.signal ? { signal: request.signal } : {}),
      });
      const body = reply.subarray(1);
      await assembler.write(index, reply[0] === CHUNK_ZSTD ? compressor.expand(body, length) : body);
      transfer.arrived(index);
    } catch (error) {
      const code = codeOf(error);
      metrics.count('chunk_failures_total', { code });
      // A full or failing disk is not the holder's fault, and another holder would not help.
      if (code.startsWith('STORE_')) disk.error = coded(error);
      const reason =
        code === 'CONTENT_MISMATCH' ? 'mismatch' : code === 'PEER_TIMEOUT' ? 'timeout' : 'refused';
      transfer.failed(index, reason);
    }
  }
}
