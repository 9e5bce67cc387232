import { randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import {
  type BlobAssembler,
  type Blobs,
  type BlobWriter,
  CHUNK_BYTES,
  type Keeping,
  type Log,
  type Manifest,
  type Metrics,
  type Random,
  type Tier,
} from '../../protocol/ports.ts';
import { checkManifest, FINISHED } from './blob-assembler.ts';
import { ChunkCipher } from './blob-cipher.ts';
import { BlobFiles, diskError, readExactly } from './blob-files.ts';
import { type BlobName, chunkPosition, type Frame, fileBytes, sha256, storedLength } from './blob-format.ts';
import { BlobPartials } from './blob-partials.ts';
import { BlobSpace, type MakeRoom } from './blob-space.ts';
import { StreamWriter } from './blob-writer.ts';

/** A content takes at most this share of the memory tier, so that one large content cannot empty it. */
const MEMORY_SHARE = 8;
/** And never more than this: above it the cost of hashing from disk is small against sending the bytes. */
const MEMORY_OBJECT_MAX = 8 * 1024 * 1024;
/** What an entry of the memory tier costs beside its bytes. */
const MEMORY_ENTRY_BYTES = 256;
/** Chunk hashes kept in memory, over all contents; 64 hex digits each. */
const MANIFEST_CHUNKS_MAX = 65_536;
/** Partial contents that nobody resumed for this long are dropped at the next start. */
const PARTIAL_AGE_MS = 24 * 60 * 60 * 1000;

export interface BlobOptions {
  /** Directory of the blobs; made if absent. One process at a time (the data directory's lock sees to it). */
  readonly directory: string;
  /** Bytes on disk, headers and unfinished contents included. */
  readonly budgetBytes: number;
  /** Bytes of the memory tier. */
  readonly memoryBytes: number;
  /** Largest content; larger ones fail with `CONTENT_TOO_LARGE`. */
  readonly maxObjectBytes: number;
  /** Secret under which private contents are sealed; by default one that dies with the process, and they with it. */
  readonly sealingKey?: Uint8Array;
}

export interface BlobDependencies {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly random: Random;
  /** Called before a write fails for lack of space, so that the owner may delete contents. */
  readonly makeRoom?: MakeRoom;
  /** Called when a content that was stored turned out damaged or gone; it is no longer listed. */
  readonly lost?: (hash: ContentHash) => void;
}

interface Entry extends BlobName {
  /** Whole reads from disk so far; the second one brings a larger content into memory. */
  reads: number;
}

/**
 * Opens the blob store: contents on disk by SHA-256, verified chunk by chunk whenever they are read, the hot ones in
 * memory. The index is rebuilt from a listing of the directory.
 *
 * @example
 * const blobs = await openBlobs({ directory, budgetBytes: 10e9, memoryBytes: 256e6, maxObjectBytes: 1e9 }, deps);
 * const hash = await blobs.put(bytes);
 * for await (const piece of blobs.read(hash)) response.write(piece);
 */
export async function openBlobs(options: BlobOptions, deps: BlobDependencies): Promise<Blobs> {
  try {
    const files = await BlobFiles.open(options.directory);
    const partials = await files.sweep(Date.now(), PARTIAL_AGE_MS);
    return new FileBlobs(options, deps, files, await files.list(), partials);
  } catch (error) {
    throw diskError(error, `Opening the blob store in ${options.directory}`);
  }
}

class FileBlobs implements Blobs {
  readonly #options: BlobOptions;
  readonly #deps: BlobDependencies;
  readonly #files: BlobFiles;
  readonly #space: BlobSpace;
  readonly #index = new Map<ContentHash, Entry>();
  readonly #memory: LRUCache<ContentHash, Buffer>;
  readonly #frames: LRUCache<ContentHash, Frame>;
  readonly #partials: BlobPartials;
  readonly #sealingKey: Uint8Array;
  /** Changes of one content's file, one after the other. */
  readonly #turns = new Map<ContentHash, Promise<void>>();
  readonly #memoryObjectMax: number;
  #closed = false;

  constructor(
    options: BlobOptions,
    deps: BlobDependencies,
    files: BlobFiles,
    found: readonly BlobName[],
    partials: Map<ContentHash, number>,
  ) {
    this.#options = options;
    this.#deps = deps;
    this.#files = files;
    this.#sealingKey = options.sealingKey ?? randomBytes(32);
    this.#space = new BlobSpace(options.budgetBytes, (bytes) => this.#makeRoom(bytes));
    this.#memoryObjectMax = Math.min(MEMORY_OBJECT_MAX, Math.floor(options.memoryBytes / MEMORY_SHARE));
    this.#memory = new LRUCache({
      maxSize: Math.max(1, options.memoryBytes),
      sizeCalculation: (bytes) => bytes.length + MEMORY_ENTRY_BYTES,
    });
    this.#frames = new LRUCache({
      maxSize: MANIFEST_CHUNKS_MAX,
      sizeCalculation: (frame) => frame.chunks.length + 1,
    });
    for (const name of found) {
      this.#index.set(name.hash, { ...name, reads: 0 });
      this.#space.add(fileBytes(name));
    }
    this.#partials = new BlobPartials(files, this.#space, partials);
    this.#report();
  }

  has(hash: ContentHash): boolean {
    return this.#index.has(hash);
  }

  size(hash: ContentHash): number | undefined {
    return this.#index.get(hash)?.size;
  }

  peek(hash: ContentHash): Uint8Array | undefined {
    return this.#memory.get(hash);
  }

  async *read(hash: ContentHash, start = 0, end = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array> {
    const entry = this.#entry(hash);
    const last = Math.min(end, entry.size);
    const held = this.#memory.get(hash);
    if (held) {
      for (let at = start; at < last; at += CHUNK_BYTES)
        yield held.subarray(at, Math.min(at + CHUNK_BYTES, last));
      return;
    }
    const whole = start <= 0 && last === entry.size;
    const keep = whole && this.#mayKeep(entry) ? ([] as Buffer[]) : undefined;
    const file = await this.#open(hash, entry);
    try {
      const { chunks, salt } = await this.#frame(file, entry);
      const cipher = salt && new ChunkCipher(this.#sealingKey, salt);
      for (let index = Math.floor(start / CHUNK_BYTES); index * CHUNK_BYTES < last; index++) {
        const position = chunkPosition(index, entry.sealed);
        const stored = await readExactly(file, position, storedLength(entry, index));
        const chunk = cipher?.open(index, stored) ?? stored;
        if (sha256(chunk) !== chunks[index])
          throw new PresageError('CONTENT_MISMATCH', `Chunk ${index} of ${hash} is damaged`, { hash, index });
        keep?.push(chunk);
        const base = index * CHUNK_BYTES;
        yield chunk.subarray(Math.max(0, start - base), Math.min(chunk.length, last - base));
      }
      if (keep && this.#index.has(hash)) this.#remember(hash, keep);
    } catch (error) {
      throw await this.#failed(hash, error);
    } finally {
      await file.close();
    }
  }

  async chunkHashes(hash: ContentHash): Promise<readonly ContentHash[]> {
    const entry = this.#entry(hash);
    const known = this.#frames.get(hash);
    if (known) return known.chunks;
    const file = await this.#open(hash, entry);
    try {
      return (await this.#frame(file, entry)).chunks;
    } catch (error) {
      throw await this.#failed(hash, error);
    } finally {
      await file.close();
    }
  }

  async put(bytes: Uint8Array, keeping?: Keeping): Promise<ContentHash> {
    const writer = await this.create(keeping);
    try {
      await writer.write(bytes);
      return (await writer.finish()).hash;
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  async create(keeping?: Keeping): Promise<BlobWriter> {
    this.#assertOpen();
    const { uint32 } = this.#deps.random;
    const path = this.#files.temp(`${uint32().toString(36)}-${uint32().toString(36)}`);
    const cipher = keeping?.sealed ? new ChunkCipher(this.#sealingKey) : undefined;
    return new StreamWriter({ ...this.#host(), path, cipher });
  }

  async resume(manifest: Manifest, keeping?: Keeping): Promise<BlobAssembler> {
    this.#assertOpen();
    checkManifest(manifest, this.#options.maxObjectBytes);
    const stored = () => this.#index.has(manifest.hash);
    if (stored()) {
      if (keeping?.sealed) await this.seal(manifest.hash);
      return FINISHED;
    }
    const cipherOf = keeping?.sealed ? (salt?: Buffer) => new ChunkCipher(this.#sealingKey, salt) : undefined;
    const assembler = await this.#partials.open(manifest, { ...this.#host(), cipherOf }, stored);
    if (!keeping?.sealed) return assembler;
    // It may be shared with one who wants it in the clear.
    return { ...assembler, finish: () => assembler.finish().then(() => this.seal(manifest.hash)) };
  }

  async seal(hash: ContentHash): Promise<void> {
    if (this.#entry(hash).sealed) return;
    const writer = await this.create({ sealed: true });
    try {
      for await (const piece of this.read(hash)) await writer.write(piece);
      await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  async delete(hash: ContentHash): Promise<void> {
    const entry = this.#forget(hash);
    if (!entry) return;
    await this.#inTurn(hash, () => this.#files.remove(entry));
    this.#space.release(fileBytes(entry));
    this.#report();
  }

  async setTier(hash: ContentHash, tier: Tier): Promise<void> {
    const entry = this.#entry(hash);
    if (tier === 'disk') {
      this.#memory.delete(hash);
    } else if (!this.#memory.has(hash) && entry.size <= this.#memoryObjectMax) {
      const pieces: Uint8Array[] = [];
      for await (const piece of this.read(hash)) pieces.push(piece);
      if (this.#index.has(hash)) this.#remember(hash, pieces);
    }
  }

  usage() {
    return {
      contents: this.#index.size,
      diskBytes: this.#space.used,
      memoryBytes: this.#memory.calculatedSize ?? 0,
    };
  }

  *list(): Generator<{ hash: ContentHash; size: number; tier: Tier }> {
    for (const [hash, { size }] of this.#index)
      yield { hash, size, tier: this.#memory.has(hash) ? 'memory' : 'disk' };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#partials.close();
    await Promise.all(this.#turns.values());
    this.#memory.clear();
  }

  #host() {
    return {
      space: this.#space,
      maxObjectBytes: this.#options.maxObjectBytes,
      adopt: (frame: Frame, from: string, reserved: number, whole: Buffer | undefined) =>
        this.#inTurn(frame.hash, () => this.#adopt(frame, from, reserved, whole)),
    };
  }

  async #adopt(frame: Frame, from: string, reserved: number, whole: Buffer | undefined): Promise<void> {
    const { hash, size } = frame;
    const name = { hash, size, sealed: frame.salt !== undefined };
    const before = this.#index.get(hash);
    if (before && (before.sealed || !name.sealed)) {
      await rm(from, { force: true });
      this.#space.release(reserved);
      return;
    }
    await this.#files.commit(from, name);
    this.#index.set(hash, { ...name, reads: 0 });
    this.#frames.set(hash, frame);
    if (whole && whole.length <= this.#memoryObjectMax) this.#memory.set(hash, whole);
    if (before) {
      await this.#files.remove(before);
      this.#space.release(fileBytes(before));
    }
    this.#report();
  }

  /** Partial contents go before anything whole does. */
  async #makeRoom(bytes: number): Promise<void> {
    const before = this.#space.used;
    const lacking = () => bytes - (before - this.#space.used);
    await this.#partials.makeRoom(lacking);
    if (lacking() > 0) await this.#deps.makeRoom?.(lacking());
  }

  #mayKeep(entry: Entry): boolean {
    entry.reads++;
    return entry.size <= this.#memoryObjectMax && (entry.size <= CHUNK_BYTES || entry.reads > 1);
  }

  #remember(hash: ContentHash, pieces: readonly Uint8Array[]): void {
    const only = pieces.length === 1 ? pieces[0] : undefined;
    const bytes = only instanceof Buffer ? only : Buffer.concat(pieces);
    this.#memory.set(hash, bytes);
  }

  async #frame(file: Awaited<ReturnType<typeof open>>, entry: Entry): Promise<Frame> {
    const known = this.#frames.get(entry.hash);
    // A reader may still have the plain file open that was sealed a moment ago.
    if (known && (known.salt !== undefined) === entry.sealed) return known;
    const frame = await this.#files.frame(file, entry);
    if (this.#index.get(entry.hash) === entry) this.#frames.set(entry.hash, frame);
    return frame;
  }

  async #open(hash: ContentHash, entry: Entry) {
    try {
      return await open(this.#files.path(entry), 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw diskError(error, 'Opening a blob');
      if (this.#index.get(hash) === entry) this.#lose(hash, 'CONTENT_MISSING');
      throw new PresageError('CONTENT_MISSING', `Blob ${hash} has no file`, { hash }, error);
    }
  }

  /** A damaged content leaves the index at once, so that it is never read again, and its file is set aside. */
  async #failed(hash: ContentHash, error: unknown): Promise<PresageError> {
    const failure = diskError(error, 'Reading a blob');
    const entry = failure.code === 'CONTENT_MISMATCH' ? this.#lose(hash, failure.code) : undefined;
    if (entry) await this.#inTurn(hash, () => this.#files.quarantine(entry));
    return failure;
  }

  #lose(hash: ContentHash, code: 'CONTENT_MISMATCH' | 'CONTENT_MISSING'): Entry | undefined {
    const entry = this.#forget(hash);
    if (!entry) return undefined;
    this.#space.release(fileBytes(entry));
    this.#deps.metrics.count('presage_blobs_lost_total', { code });
    this.#deps.log.warn('A stored content is damaged or gone', { hash, code });
    this.#report();
    this.#deps.lost?.(hash);
    return entry;
  }

  #forget(hash: ContentHash): Entry | undefined {
    const entry = this.#index.get(hash);
    this.#index.delete(hash);
    this.#memory.delete(hash);
    this.#frames.delete(hash);
    return entry;
  }

  #inTurn(hash: ContentHash, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(hash) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(hash, settled);
    void settled.then(() => {
      if (this.#turns.get(hash) === settled) this.#turns.delete(hash);
    });
    return turn;
  }

  #entry(hash: ContentHash): Entry {
    const entry = this.#index.get(hash);
    if (!entry) throw new PresageError('CONTENT_MISSING', undefined, { hash });
    return entry;
  }

  #assertOpen(): void {
    if (this.#closed) throw new PresageError('CANCELLED', 'The blob store is closed');
  }

  #report(): void {
    this.#deps.metrics.gauge('presage_blobs_contents', this.#index.size);
    this.#deps.metrics.gauge('presage_blobs_disk_bytes', this.#space.used);
    this.#deps.metrics.gauge('presage_blobs_memory_bytes', this.#memory.calculatedSize ?? 0);
  }
}
