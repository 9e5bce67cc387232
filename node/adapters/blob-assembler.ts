import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { PresageError } from '../../protocol/errors.ts';
import { isContentHash } from '../../protocol/ids.ts';
import { type BlobAssembler, CHUNK_BYTES, type Manifest } from '../../protocol/ports.ts';
import { chunkLength, diskError, readExactly, writeExactly } from './blob-files.ts';
import { chunkCount, encodeFrame, fileBytes, HEADER_BYTES, sha256 } from './blob-format.ts';
import type { WriterHost } from './blob-writer.ts';

/** What an assembler needs of the store beside what a writer needs. */
export interface AssemblerHost extends WriterHost {
  /** Called once when the assembler is finished or called off. */
  closed(): Promise<void>;
}

/**
 * Puts a known content together from its chunks, in any order, in the partial area. Which chunks a file of an
 * earlier run holds is learned by hashing them, so nothing but the bytes themselves is ever believed. `abort` keeps
 * the verified chunks on disk for a later `resume`; the store sweeps those that nobody comes back for.
 */
export class ChunkAssembler implements BlobAssembler {
  readonly #host: AssemblerHost;
  readonly #manifest: Manifest;
  readonly #file: FileHandle;
  readonly #missing: Set<number>;
  readonly #reserved: number;
  #finishing: Promise<void> | undefined;
  #closed = false;

  private constructor(
    host: AssemblerHost,
    manifest: Manifest,
    file: FileHandle,
    missing: Set<number>,
    reserved: number,
  ) {
    this.#host = host;
    this.#manifest = manifest;
    this.#file = file;
    this.#missing = missing;
    this.#reserved = reserved;
  }

  /** Opens or goes on with a partial content. The space of the whole is reserved at once. Fails with `STORE_FULL`. */
  static async open(
    host: AssemblerHost,
    manifest: Manifest,
    alreadyCounted: number,
  ): Promise<ChunkAssembler> {
    const reserved = fileBytes(manifest.size);
    await host.space.reserve(Math.max(0, reserved - alreadyCounted));
    if (alreadyCounted > reserved) host.space.release(alreadyCounted - reserved);
    try {
      const file = await open(host.path, 'a+', 0o600).then(async (created) => {
        await created.close();
        return open(host.path, 'r+');
      });
      const missing = new Set(manifest.chunks.keys());
      const present = Math.max(0, (await file.stat()).size - HEADER_BYTES);
      for (const index of manifest.chunks.keys()) {
        const length = chunkLength(manifest.size, index);
        if (index * CHUNK_BYTES + length > present) break;
        const chunk = await readExactly(file, HEADER_BYTES + index * CHUNK_BYTES, length);
        if (sha256(chunk) === manifest.chunks[index]) missing.delete(index);
      }
      return new ChunkAssembler(host, manifest, file, missing, reserved);
    } catch (error) {
      host.space.release(reserved);
      await rm(host.path, { force: true }).catch(() => undefined);
      throw diskError(error, 'Opening a partial content');
    }
  }

  missing(): readonly number[] {
    return [...this.#missing].sort((a, b) => a - b);
  }

  async write(index: number, bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw new PresageError('CANCELLED', 'The assembly was finished or called off');
    const expected = this.#manifest.chunks[index];
    if (expected === undefined || bytes.length !== chunkLength(this.#manifest.size, index))
      throw new PresageError('CONTENT_MISMATCH', `Chunk ${index} does not fit`, {
        hash: this.#manifest.hash,
      });
    if (!this.#missing.has(index)) return;
    if (sha256(bytes) !== expected)
      throw new PresageError('CONTENT_MISMATCH', `Chunk ${index} does not hash to its name`, {
        hash: this.#manifest.hash,
      });
    const position = HEADER_BYTES + index * CHUNK_BYTES;
    try {
      await writeExactly(this.#file, position, bytes);
    } catch (error) {
      const failure = diskError(error, 'Writing a chunk');
      if (failure.code !== 'STORE_FULL') throw failure;
      await this.#host.space.makeRoom(bytes.length);
      await writeExactly(this.#file, position, bytes).catch((again) => {
        throw diskError(again, 'Writing a chunk');
      });
    }
    this.#missing.delete(index);
  }

  finish(): Promise<void> {
    if (!this.#finishing && !this.#closed && this.#missing.size > 0) {
      const reason = `${this.#missing.size} chunks are missing`;
      return Promise.reject(new PresageError('CONTENT_MISSING', reason, { hash: this.#manifest.hash }));
    }
    this.#finishing ??= this.#finish();
    return this.#finishing;
  }

  async abort(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close().catch(() => undefined);
    await this.#host.closed();
  }

  async #finish(): Promise<void> {
    if (this.#closed) throw new PresageError('CANCELLED', 'The assembly was called off');
    this.#closed = true;
    const { size, hash } = this.#manifest;
    try {
      const whole = createHash('sha256');
      let only: Buffer | undefined;
      for (const index of this.#manifest.chunks.keys()) {
        const chunk = await readExactly(
          this.#file,
          HEADER_BYTES + index * CHUNK_BYTES,
          chunkLength(size, index),
        );
        if (sha256(chunk) !== this.#manifest.chunks[index])
          throw new PresageError('CONTENT_MISMATCH', 'A chunk changed on disk', { hash });
        whole.update(chunk);
        if (this.#manifest.chunks.length === 1) only = chunk;
      }
      if (whole.digest('hex') !== hash)
        throw new PresageError('CONTENT_MISMATCH', 'The chunks do not make up the content', { hash });
      const { header, table } = encodeFrame(this.#manifest, 'disk');
      await writeExactly(this.#file, HEADER_BYTES + size, table);
      await writeExactly(this.#file, 0, header);
      await this.#file.truncate(fileBytes(size));
      await this.#file.sync();
      await this.#file.close();
      await this.#host.adopt(this.#manifest, this.#host.path, this.#reserved, only);
    } catch (error) {
      await this.#file.close().catch(() => undefined);
      await rm(this.#host.path, { force: true }).catch(() => undefined);
      this.#host.space.release(this.#reserved);
      throw diskError(error, 'Finishing a content');
    } finally {
      await this.#host.closed();
    }
  }
}

/** What `resume` returns for a content that is stored already. */
export const FINISHED: BlobAssembler = {
  missing: () => [],
  write: async () => undefined,
  finish: async () => undefined,
  abort: async () => undefined,
};

/** Throws `CONTENT_TOO_LARGE` or, for a manifest that contradicts itself, `CONTENT_MISMATCH`. */
export function checkManifest(manifest: Manifest, maxObjectBytes: number): void {
  if (manifest.size > maxObjectBytes)
    throw new PresageError('CONTENT_TOO_LARGE', undefined, { size: manifest.size });
  const sound =
    Number.isSafeInteger(manifest.size) &&
    manifest.size >= 0 &&
    isContentHash(manifest.hash) &&
    manifest.chunks.length === chunkCount(manifest.size) &&
    manifest.chunks.every(isContentHash);
  if (!sound)
    throw new PresageError('CONTENT_MISMATCH', 'A manifest contradicts itself', { hash: manifest.hash });
}
