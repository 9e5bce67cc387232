import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import { type BlobWriter, CHUNK_BYTES } from '../../protocol/ports.ts';
import type { ChunkCipher } from './blob-cipher.ts';
import { diskError, writeExactly } from './blob-files.ts';
import {
  chunkPosition,
  encodeFrame,
  type Frame,
  HEADER_BYTES,
  sha256,
  tablePosition,
} from './blob-format.ts';
import type { BlobSpace } from './blob-space.ts';

/** What a writer needs of the store. */
export interface WriterHost {
  readonly space: BlobSpace;
  readonly maxObjectBytes: number;
  readonly path: string;
  /** Puts the synced file in its place, unless the content is there already; takes over its reserved bytes. */
  adopt(frame: Frame, path: string, reserved: number, whole: Buffer | undefined): Promise<void>;
  /** Seals what is written; without it the bytes stand on disk as they are. */
  readonly cipher: ChunkCipher | undefined;
}

/**
 * Streams an unknown content into the temp area. Bytes are gathered into chunks, hashed and written chunk by chunk;
 * a content of one chunk is written at once with its header and table. Buffers that are handed in must not be
 * changed afterwards. Calls must not overlap.
 */
export class StreamWriter implements BlobWriter {
  readonly #host: WriterHost;
  readonly #whole: Hash = createHash('sha256');
  readonly #chunks: ContentHash[] = [];
  #pieces: Uint8Array[] = [];
  #gathered = 0;
  #size = 0;
  #reserved = 0;
  #file: FileHandle | undefined;
  #closed = false;

  constructor(host: WriterHost) {
    this.#host = host;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw new PresageError('INTERNAL', 'Write to a finished blob');
    if (this.#size + bytes.length > this.#host.maxObjectBytes)
      throw new PresageError('CONTENT_TOO_LARGE', undefined, { limit: this.#host.maxObjectBytes });
    this.#size += bytes.length;
    let rest = bytes;
    while (this.#gathered + rest.length >= CHUNK_BYTES) {
      const part = rest.subarray(0, CHUNK_BYTES - this.#gathered);
      this.#pieces.push(part);
      this.#gathered += part.length;
      rest = rest.subarray(part.length);
      await this.#flush();
    }
    if (rest.length > 0) {
      this.#pieces.push(rest);
      this.#gathered += rest.length;
    }
  }

  async finish(): Promise<{ hash: ContentHash; size: number; chunks: readonly ContentHash[] }> {
    if (this.#closed) throw new PresageError('INTERNAL', 'A blob was finished twice');
    this.#closed = true;
    try {
      const single = this.#file === undefined;
      const last = this.#take();
      if (last.length > 0) this.#note(last);
      const { cipher } = this.#host;
      const manifest = {
        hash: this.#whole.digest('hex') as ContentHash,
        size: this.#size,
        chunks: this.#chunks,
      };
      const { header, table } = encodeFrame(manifest, 'disk', cipher?.salt);
      const sealed = cipher !== undefined;
      const index = this.#chunks.length - 1;
      const stored = cipher && last.length > 0 ? cipher.seal(index, last) : last;
      await this.#reserve(HEADER_BYTES + stored.length + table.length);
      const file = await this.#open();
      if (single) {
        await this.#write(file, 0, Buffer.concat([header, stored, table]));
      } else {
        if (last.length > 0) await this.#write(file, chunkPosition(index, sealed), stored);
        await this.#write(file, tablePosition({ size: this.#size, sealed }), table);
        await this.#write(file, 0, header);
      }
      await file.sync();
      await file.close();
      this.#file = undefined;
      const frame = { ...manifest, salt: cipher?.salt };
      await this.#host.adopt(frame, this.#host.path, this.#reserved, single ? last : undefined);
      return manifest;
    } catch (error) {
      await this.#discard();
      throw diskError(error, 'Storing a content');
    }
  }

  async abort(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#discard();
  }

  /** The gathered bytes as one buffer of their own, which may outlive the pieces. */
  #take(): Buffer {
    const buffer = Buffer.allocUnsafeSlow(this.#gathered);
    let at = 0;
    for (const piece of this.#pieces) {
      buffer.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [];
    this.#gathered = 0;
    return buffer;
  }

  #note(chunk: Buffer): void {
    this.#whole.update(chunk);
    this.#chunks.push(sha256(chunk));
  }

  async #flush(): Promise<void> {
    const chunk = this.#take();
    const { cipher } = this.#host;
    const index = this.#chunks.length;
    this.#note(chunk);
    try {
      const stored = cipher?.seal(index, chunk) ?? chunk;
      await this.#reserve(stored.length);
      await this.#write(await this.#open(), chunkPosition(index, cipher !== undefined), stored);
    } catch (error) {
      this.#closed = true;
      await this.#discard();
      throw diskError(error, 'Writing a content');
    }
  }

  async #reserve(bytes: number): Promise<void> {
    await this.#host.space.reserve(bytes);
    this.#reserved += bytes;
  }

  /** Writes, and once more after the owner was asked for room if the disk itself is full. */
  async #write(file: FileHandle, position: number, bytes: Buffer): Promise<void> {
    try {
      await writeExactly(file, position, bytes);
    } catch (error) {
      if (diskError(error, '').code !== 'STORE_FULL') throw error;
      await this.#host.space.makeRoom(bytes.length);
      await writeExactly(file, position, bytes);
    }
  }

  async #open(): Promise<FileHandle> {
    this.#file ??= await open(this.#host.path, 'wx', 0o600);
    return this.#file;
  }

  async #discard(): Promise<void> {
    this.#pieces = [];
    await this.#file?.close().catch(() => undefined);
    this.#file = undefined;
    this.#host.space.release(this.#reserved);
    this.#reserved = 0;
    await rm(this.#host.path, { force: true }).catch(() => undefined);
  }
}
