import { hash as digest } from 'node:crypto';
import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import {
  type BlobAssembler,
  type Blobs,
  type BlobWriter,
  CHUNK_BYTES,
  type Clock,
  type Manifest,
  type Random,
  type Tier,
} from '../../protocol/ports.ts';
import { checkManifest } from '../adapters/blob-assembler.ts';
import type { DiskConditions } from './virtual-database.ts';

/** Of arrays that nobody writes to any more; contents are hashed each time that they are read. */
const HASHES = new WeakMap<Uint8Array, ContentHash>();

function sha256(bytes: Uint8Array): ContentHash {
  const known = HASHES.get(bytes);
  if (known) return known;
  const hash = digest('sha256', bytes, 'hex') as ContentHash;
  HASHES.set(bytes, hash);
  return hash;
}

const chunksOf = (bytes: Uint8Array): Uint8Array[] => {
  if (bytes.length > 0 && bytes.length <= CHUNK_BYTES) return [bytes];
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) chunks.push(bytes.subarray(at, at + CHUNK_BYTES));
  return chunks;
};

/** What one life of a PoP brings to its blobs. */
export interface BlobWorld {
  readonly clock: Pick<Clock, 'after'>;
  readonly random: Random;
  readonly conditions: () => DiskConditions;
  readonly budgetBytes: number;
  readonly memoryBytes: number;
  readonly maxObjectBytes: number;
  readonly makeRoom: (bytes: number) => Promise<void>;
  readonly lost: (hash: ContentHash) => void;
  /** Whether the disk refuses writes now. */
  readonly refuses?: () => boolean;
}

interface Content {
  readonly bytes: Uint8Array;
  readonly pieces: readonly Uint8Array[];
  /** SHA-256 of each chunk as it was written. */
  readonly chunks: readonly ContentHash[];
}

/** Contents on a simulated disk. They outlive the PoP: what was finished whole, of the rest the chunks that were written. */
export class VirtualBlobs {
  readonly #contents = new Map<ContentHash, Content>();
  readonly #partials = new Map<ContentHash, Map<number, Uint8Array>>();
  #life = 0;

  /** A deliberate defect: bytes are handed out as they are found. */
  verifies = true;

  open(world: BlobWorld): Blobs {
    const life = ++this.#life;
    return new OpenBlobs(
      world,
      this.#contents,
      this.#partials,
      () => life === this.#life,
      () => this.verifies,
    );
  }

  crash(): void {
    this.#life += 1;
  }

  /** A bit of a stored content flips; false if there is none. */
  damage(random: Random): boolean {
    const contents = [...this.#contents];
    const [hash, content] = contents[Math.floor(random.float() * contents.length)] ?? [];
    if (!hash || !content || content.bytes.length === 0) return false;
    const bytes = content.bytes.slice();
    bytes[Math.floor(random.float() * bytes.length)]! ^= 1;
    this.#contents.set(hash, { ...content, bytes, pieces: chunksOf(bytes) });
    return true;
  }
}

class OpenBlobs implements Blobs {
  readonly #world: BlobWorld;
  readonly #contents: Map<ContentHash, Content>;
  readonly #partials: Map<ContentHash, Map<number, Uint8Array>>;
  readonly #lives: () => boolean;
  readonly #verifies: () => boolean;
  /** The memory tier: copies, which the damage of a disk does not touch. */
  readonly #memory = new Map<ContentHash, Uint8Array>();
  /** Bytes that are being written. */
  #reserved = 0;

  constructor(
    world: BlobWorld,
    contents: Map<ContentHash, Content>,
    partials: Map<ContentHash, Map<number, Uint8Array>>,
    lives: () => boolean,
    verifies: () => boolean,
  ) {
    this.#world = world;
    this.#contents = contents;
    this.#partials = partials;
    this.#lives = lives;
    this.#verifies = verifies;
  }

  has(hash: ContentHash): boolean {
    return this.#contents.has(hash);
  }

  size(hash: ContentHash): number | undefined {
    return this.#contents.get(hash)?.bytes.length;
  }

  peek(hash: ContentHash): Uint8Array | undefined {
    return this.#memory.get(hash);
  }

  async *read(hash: ContentHash, start = 0, end = Number.POSITIVE_INFINITY): AsyncIterable<Uint8Array> {
    const content = this.#contents.get(hash);
    if (!content) throw new PresageError('CONTENT_MISSING', hash);
    for (const [index, chunk] of content.pieces.entries()) {
      const from = Math.max(0, start - index * CHUNK_BYTES);
      const to = Math.min(chunk.length, end - index * CHUNK_BYTES);
      if (from >= to) continue;
      if (this.#verifies() && sha256(chunk) !== content.chunks[index]) {
        this.#remove(hash);
        this.#world.lost(hash);
        throw new PresageError('CONTENT_MISMATCH', hash);
      }
      yield chunk.subarray(from, to);
    }
    if (start === 0 && end >= content.bytes.length && this.has(hash)) this.#remember(hash);
  }

  async chunkHashes(hash: ContentHash): Promise<readonly ContentHash[]> {
    const content = this.#contents.get(hash);
    if (!content) throw new PresageError('CONTENT_MISSING', hash);
    return content.chunks;
  }

  async put(bytes: Uint8Array): Promise<ContentHash> {
    const own = new Uint8Array(bytes);
    const hash = sha256(own);
    await this.#store(hash, own);
    return hash;
  }

  async create(): Promise<BlobWriter> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    return {
      write: async (bytes) => {
        length += bytes.length;
        if (length > this.#world.maxObjectBytes) throw new PresageError('CONTENT_TOO_LARGE');
        pieces.push(new Uint8Array(bytes));
      },
      finish: async () => {
        const bytes = new Uint8Array(Buffer.concat(pieces));
        const hash = sha256(bytes);
        const chunks = await this.#store(hash, bytes);
        return { hash, size: bytes.length, chunks };
      },
      abort: async () => undefined,
    };
  }

  async resume(manifest: Manifest): Promise<BlobAssembler> {
    checkManifest(manifest, this.#world.maxObjectBytes);
    const { hash, size, chunks } = manifest;
    if (this.has(hash)) return { missing: () => [], write: done, finish: done, abort: done };
    // Only the bytes themselves are believed: what is there came by another manifest perhaps.
    const left = [...(this.#partials.get(hash) ?? [])];
    const held = new Map(left.filter(([index, bytes]) => sha256(bytes) === chunks[index]));
    this.#partials.set(hash, held);
    const lengthOf = (index: number) => Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES);
    return {
      missing: () => chunks.flatMap((_, index) => (held.has(index) ? [] : [index])),
      write: async (index, bytes) => {
        const own = new Uint8Array(bytes);
        if (sha256(own) !== chunks[index] || bytes.length !== lengthOf(index))
          throw new PresageError('CONTENT_MISMATCH', hash);
        await this.#disk(bytes.length);
        held.set(index, own);
      },
      finish: async () => {
        if (held.size < chunks.length) throw new PresageError('CONTENT_MISSING', hash);
        const bytes = new Uint8Array(Buffer.concat(chunks.map((_, index) => held.get(index)!)));
        if (sha256(bytes) !== hash) {
          this.#partials.delete(hash);
          throw new PresageError('CONTENT_MISMATCH', hash);
        }
        this.#partials.delete(hash);
        await this.#store(hash, bytes);
      },
      abort: done,
    };
  }

  async seal(hash: ContentHash): Promise<void> {
    if (!this.has(hash)) throw new PresageError('CONTENT_MISSING', hash);
  }

  async delete(hash: ContentHash): Promise<void> {
    this.#remove(hash);
  }

  async setTier(hash: ContentHash, tier: Tier): Promise<void> {
    if (!this.has(hash)) throw new PresageError('CONTENT_MISSING', hash);
    if (tier === 'disk') this.#memory.delete(hash);
    else this.#remember(hash);
  }

  usage(): { contents: number; diskBytes: number; memoryBytes: number } {
    let diskBytes = this.#reserved;
    for (const { bytes } of this.#contents.values()) diskBytes += bytes.length;
    for (const held of this.#partials.values()) for (const chunk of held.values()) diskBytes += chunk.length;
    let memoryBytes = 0;
    for (const bytes of this.#memory.values()) memoryBytes += bytes.length;
    return { contents: this.#contents.size, diskBytes, memoryBytes };
  }

  *list(): Iterable<{ hash: ContentHash; size: number; tier: Tier }> {
    for (const [hash, { bytes }] of this.#contents)
      yield { hash, size: bytes.length, tier: this.#memory.has(hash) ? 'memory' : 'disk' };
  }

  async close(): Promise<void> {
    // Nothing is open.
  }

  #remember(hash: ContentHash): void {
    const bytes = this.#contents.get(hash)?.bytes;
    if (bytes && sha256(bytes) === hash && this.usage().memoryBytes + bytes.length <= this.#world.memoryBytes)
      this.#memory.set(hash, bytes);
  }

  #remove(hash: ContentHash): void {
    this.#contents.delete(hash);
    this.#memory.delete(hash);
  }

  async #store(hash: ContentHash, bytes: Uint8Array): Promise<readonly ContentHash[]> {
    if (bytes.length > this.#world.maxObjectBytes) throw new PresageError('CONTENT_TOO_LARGE');
    const pieces = chunksOf(bytes);
    const chunks = pieces.map(sha256);
    if (this.has(hash)) return chunks;
    await this.#disk(bytes.length);
    this.#contents.set(hash, { bytes, pieces, chunks });
    return chunks;
  }

  /** Room for so many bytes, and the time that writing them takes. */
  async #disk(bytes: number): Promise<void> {
    const { budgetBytes, makeRoom, refuses, clock, random, conditions } = this.#world;
    const over = () => this.usage().diskBytes + bytes - budgetBytes;
    if (over() > 0) await makeRoom(over());
    if (over() > 0 || refuses?.()) throw new PresageError('STORE_FULL');
    const { minMs, maxMs } = conditions();
    this.#reserved += bytes;
    await new Promise<void>((resolve) => {
      clock.after(minMs + random.float() * (maxMs - minMs), () => this.#lives() && resolve());
    });
    this.#reserved -= bytes;
  }
}

const done = async (): Promise<void> => undefined;
