import { constants, type Dirent } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PresageError } from '../../protocol/errors.ts';
import { type ContentHash, isContentHash } from '../../protocol/ids.ts';
import {
  type BlobName,
  chunkCount,
  decodeFrame,
  type Frame,
  HEADER_BYTES,
  tablePosition,
} from './blob-format.ts';

/** Damaged files that are kept for a look before the oldest goes. */
const QUARANTINE_MAX = 16;
const SHARDS = 256;

/** Any failure of the file system as a coded error: no space is `STORE_FULL`, all else `STORE_IO`. */
export function diskError(error: unknown, what: string): PresageError {
  if (error instanceof PresageError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new PresageError(full ? 'STORE_FULL' : 'STORE_IO', `${what}: ${String(error)}`, { code }, error);
}

/**
 * The directory of the blobs: `<first two digits>/<hash>.<size in base 36>` for whole contents, with `.sealed` behind
 * for encrypted ones, so that a listing alone rebuilds the index, `temp/` for what streams in, `partial/` for what is assembled from chunks, and
 * `quarantine/` for what did not hash to its name.
 */
export class BlobFiles {
  readonly #root: string;
  readonly #syncing = new Map<string, { running: Promise<void>; next: Promise<void> | undefined }>();

  constructor(root: string) {
    this.#root = root;
  }

  static async open(root: string): Promise<BlobFiles> {
    const files = new BlobFiles(root);
    for (const area of ['temp', 'partial', 'quarantine']) await mkdir(join(root, area), { recursive: true });
    for (let shard = 0; shard < SHARDS; shard++)
      await mkdir(join(root, shard.toString(16).padStart(2, '0')), { recursive: true });
    await files.syncDirectory(root);
    return files;
  }

  path(name: BlobName): string {
    return join(this.#root, name.hash.slice(0, 2), fileName(name));
  }
  temp(name: string): string {
    return join(this.#root, 'temp', name);
  }
  partial(name: BlobName): string {
    return join(this.#root, 'partial', fileName(name));
  }

  /** Every whole content by its file's name; files of other names are left alone. */
  async list(): Promise<BlobName[]> {
    const found: BlobName[] = [];
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard.toString(16).padStart(2, '0'));
    await Promise.all(
      shards.map(async (shard) => {
        for (const name of await readdir(join(this.#root, shard))) {
          const entry = parseName(name);
          if (entry?.hash.startsWith(shard)) found.push(entry);
        }
      }),
    );
    // A crash while a content was being sealed leaves it in both forms.
    const sealed = new Set(found.filter((name) => name.sealed).map(({ hash }) => hash));
    const plain = found.filter((name) => !name.sealed && sealed.has(name.hash));
    await Promise.all(plain.map((name) => this.remove(name)));
    return plain.length === 0 ? found : found.filter((name) => name.sealed || !sealed.has(name.hash));
  }

  /** Empties the temp area, drops partial contents older than `maxAgeMs` and returns the bytes of the others. */
  async sweep(now: number, maxAgeMs: number): Promise<Map<ContentHash, number>> {
    const kept = new Map<ContentHash, number>();
    for (const entry of await this.#entries('temp')) await rm(this.temp(entry.name), { force: true });
    for (const entry of await this.#entries('partial')) {
      const path = join(this.#root, 'partial', entry.name);
      const parsed = parseName(entry.name);
      const info = await stat(path).catch(() => undefined);
      if (!info) continue;
      if (!parsed || now - info.mtimeMs > maxAgeMs) await rm(path, { force: true });
      else kept.set(parsed.hash, (kept.get(parsed.hash) ?? 0) + info.blocks * 512);
    }
    return kept;
  }

  /** Header and chunk table of an open file, proved whole. */
  async frame(file: FileHandle, { hash, size, sealed }: BlobName): Promise<Frame> {
    const header = await readExactly(file, 0, HEADER_BYTES);
    const table = await readExactly(file, tablePosition({ size, sealed }), 32 * chunkCount(size));
    const manifest = decodeFrame(header, table, hash);
    if (manifest.size !== size || (manifest.salt !== undefined) !== sealed)
      throw new PresageError(
        'CONTENT_MISMATCH',
        `Blob ${hash}: another length or encoding than its name says`,
        { hash },
      );
    return manifest;
  }

  /** Puts a synced file in its place for good. */
  async commit(from: string, name: BlobName): Promise<void> {
    await rename(from, this.path(name));
    await this.syncDirectory(join(this.#root, name.hash.slice(0, 2)));
  }

  async remove(name: BlobName): Promise<void> {
    await unlink(this.path(name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw diskError(error, 'Removing a blob');
    });
  }

  /** Drops the partial files of a content, whatever length they name, except one. */
  async removePartial(hash: ContentHash, kept?: BlobName): Promise<void> {
    const keep = kept && fileName(kept);
    for (const entry of await this.#entries('partial'))
      if (entry.name.startsWith(hash) && entry.name !== keep)
        await rm(join(this.#root, 'partial', entry.name), { force: true });
  }

  /** Sets a damaged file aside; keeps the last few. */
  async quarantine(name: BlobName): Promise<void> {
    const area = join(this.#root, 'quarantine');
    await rename(this.path(name), join(area, name.hash)).catch(() => undefined);
    const names = await readdir(area).catch(() => []);
    for (const name of names.slice(0, Math.max(0, names.length - QUARANTINE_MAX)))
      await rm(join(area, name), { force: true });
  }

  /**
   * Makes the names of a directory durable. Calls that arrive while a sync runs share the next one, so that many
   * small contents cost few syncs.
   */
  syncDirectory(path: string): Promise<void> {
    const state = this.#syncing.get(path);
    if (state) {
      state.next ??= state.running.then(() => this.#sync(path));
      return state.next;
    }
    return this.#sync(path);
  }

  #sync(path: string): Promise<void> {
    const running = (async () => {
      const directory = await open(path, constants.O_RDONLY);
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    })();
    const state = { running, next: undefined };
    this.#syncing.set(path, state);
    const done = () => {
      if (this.#syncing.get(path) === state) this.#syncing.delete(path);
    };
    running.then(done, done);
    return running;
  }

  async #entries(area: string): Promise<Dirent[]> {
    return await readdir(join(this.#root, area), { withFileTypes: true });
  }
}

/** Reads exactly `length` bytes; a shorter file is a damaged one. */
export async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0)
      throw new PresageError('CONTENT_MISMATCH', 'A blob file is shorter than its content');
    filled += bytesRead;
  }
  return buffer;
}

/** Writes all of `bytes` at `position`. */
export async function writeExactly(file: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const result = await file.write(bytes, written, bytes.length - written, position + written);
    written += result.bytesWritten;
  }
}

const SEALED_SUFFIX = '.sealed';

const fileName = ({ hash, size, sealed }: BlobName): string =>
  `${hash}.${size.toString(36)}${sealed ? SEALED_SUFFIX : ''}`;

function parseName(name: string): BlobName | undefined {
  const sealed = name.endsWith(SEALED_SUFFIX);
  const [hash = '', digits = '', more] = (sealed ? name.slice(0, -SEALED_SUFFIX.length) : name).split('.');
  if (more !== undefined || !isContentHash(hash) || !/^[0-9a-z]{1,11}$/.test(digits)) return undefined;
  const size = Number.parseInt(digits, 36);
  return Number.isSafeInteger(size) ? { hash, size, sealed } : undefined;
}
