import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { codeOf, PresageError } from '../../protocol/errors.ts';
import { isContentHash } from '../../protocol/ids.ts';
import type { BlobAssembler, Manifest } from '../../protocol/ports.ts';
import { type ChunkCipher, SALT_BYTES } from './blob-cipher.ts';
import { diskError, readExactly, writeExactly } from './blob-files.ts';
import {
  chunkCount,
  chunkLength,
  chunkPosition,
  encodeFrame,
  fileBytes,
  HEADER_BYTES,
  SALT_AT,
  sha256,
  storedLength,
  tablePosition,
} from './blob-format.ts';
import type { WriterHost } from './blob-writer.ts';

/** What an assembler needs of the store beside what a writer needs. */
export interface AssemblerHost extends Omit<WriterHost, 'cipher'> {
  /** Cipher of a file by its salt, a new one without; absent if the content is not to be sealed. */
  readonly cipherOf: ((salt?: Buffer) => ChunkCipher) | undefined;
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
  readonly #cipher: ChunkCipher | undefined;
  readonly #missing: Set<number>;
  readonly #reserved: number;
  #finishing: Promise<void> | undefined;
  #closed = false;

  private constructor(
    host: AssemblerHost,
    manifest: Manifest,
    file: FileHandle,
    cipher: ChunkCipher | undefined,
    reserved: number,
  ) {
    this.#host = host;
    this.#manifest = manifest;
    this.#file = file;
    this.#cipher = cipher;
    this.#missing = new Set(manifest.chunks.keys());
    this.#reserved = reserved;
  }

  /** Opens or goes on with a partial content. The space of the whole is reserved at once. Fails with `STORE_FULL`. */
  static async open(
    host: AssemblerHost,
    manifest: Manifest,
    alreadyCounted: number,
  ): Promise<ChunkAssembler> {
    const sealed = host.cipherOf !== undefined;
    const reserved = fileBytes({ size: manifest.size, sealed });
    await host.space.reserve(Math.max(0, reserved - alreadyCounted));
    if (alreadyCounted > reserved) host.space.release(alreadyCounted - reserved);
    try {
      const file = await open(host.path, 'a+', 0o600).then(async (created) => {
        await created.close();
        return open(host.path, 'r+');
      });
      const present = (await file.stat()).size;
      const cipher = host.cipherOf && (await cipherOf(file, present, host.cipherOf));
      const assembler = new ChunkAssembler(host, manifest, file, cipher, reserved);
      for (const index of manifest.chunks.keys()) {
        const shape = { size: manifest.size, sealed };
        if (chunkPosition(index, sealed) + storedLength(shape, index) > present) break;
        if (await assembler.#holds(index)) assembler.#missing.delete(index);
      }
      return assembler;
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
    const position = chunkPosition(index, this.#cipher !== undefined);
    const stored = this.#cipher?.seal(index, bytes) ?? bytes;
    try {
      await writeExactly(this.#file, position, stored);
    } catch (error) {
      const failure = diskError(error, 'Writing a chunk');
      if (failure.code !== 'STORE_FULL') throw failure;
      await this.#host.space.makeRoom(stored.length);
      await writeExactly(this.#file, position, stored).catch((again) => {
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

  /** The bytes of a chunk as the file has them. */
  async #read(index: number): Promise<Buffer> {
    const shape = { size: this.#manifest.size, sealed: this.#cipher !== undefined };
    const stored = await readExactly(
      this.#file,
      chunkPosition(index, shape.sealed),
      storedLength(shape, index),
    );
    return this.#cipher?.open(index, stored) ?? stored;
  }

  async #holds(index: number): Promise<boolean> {
    try {
      return sha256(await this.#read(index)) === this.#manifest.chunks[index];
    } catch (error) {
      // A chunk that does not open was never written, or with another key.
      if (codeOf(error) === 'CONTENT_MISMATCH') return false;
      throw error;
    }
  }

  async #finish(): Promise<void> {
    if (this.#closed) throw new PresageError('CANCELLED', 'The assembly was called off');
    this.#closed = true;
    const { size, hash } = this.#manifest;
    try {
      const whole = createHash('sha256');
      let only: Buffer | undefined;
      for (const index of this.#manifest.chunks.keys()) {
        const chunk = await this.#read(index);
        if (sha256(chunk) !== this.#manifest.chunks[index])
          throw new PresageError('CONTENT_MISMATCH', 'A chunk changed on disk', { hash });
        whole.update(chunk);
        if (this.#manifest.chunks.length === 1) only = chunk;
      }
      if (whole.digest('hex') !== hash)
        throw new PresageError('CONTENT_MISMATCH', 'The chunks do not make up the content', { hash });
      const shape = { size, sealed: this.#cipher !== undefined };
      const { header, table } = encodeFrame(this.#manifest, 'disk', this.#cipher?.salt);
      await writeExactly(this.#file, tablePosition(shape), table);
      await writeExactly(this.#file, 0, header);
      await this.#file.truncate(fileBytes(shape));
      await this.#file.sync();
      await this.#file.close();
      const frame = { ...this.#manifest, salt: this.#cipher?.salt };
      await this.#host.adopt(frame, this.#host.path, this.#reserved, only);
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

/** The cipher that a partial file was begun with; the salt of a new one is written before anything is sealed. */
async function cipherOf(
  file: FileHandle,
  present: number,
  make: (salt?: Buffer) => ChunkCipher,
): Promise<ChunkCipher> {
  if (present >= HEADER_BYTES) {
    const salt = await readExactly(file, SALT_AT, SALT_BYTES);
    // A hole where the salt should be: after a loss of power the chunks may be there without it.
    if (salt.some((byte) => byte !== 0)) return make(salt);
  }
  const cipher = make();
  await writeExactly(file, SALT_AT, cipher.salt);
  return cipher;
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
