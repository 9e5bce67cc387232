import { stat } from 'node:fs/promises';
import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import type { BlobAssembler, Manifest } from '../../protocol/ports.ts';
import { type AssemblerHost, ChunkAssembler } from './blob-assembler.ts';
import type { BlobFiles } from './blob-files.ts';
import { fileBytes } from './blob-format.ts';
import type { BlobSpace } from './blob-space.ts';

/** A content that is being put together, and by how many. */
interface Running {
  readonly manifest: Manifest;
  readonly opening: Promise<ChunkAssembler>;
  users: number;
}

const sameManifest = (a: Manifest, b: Manifest): boolean =>
  a.size === b.size && a.chunks.every((chunk, index) => chunk === b.chunks[index]);

/** Contents that are being put together from chunks, and those that were called off and may be resumed. */
export class BlobPartials {
  readonly #files: BlobFiles;
  readonly #space: BlobSpace;
  readonly #running = new Map<ContentHash, Running>();
  /** Assemblies that were just called off and whose bytes are being counted. */
  readonly #closing = new Map<ContentHash, Promise<void>>();
  /** Bytes on disk of partial contents that no assembler has open. */
  readonly #idle: Map<ContentHash, number>;

  constructor(files: BlobFiles, space: BlobSpace, found: Map<ContentHash, number>) {
    this.#files = files;
    this.#space = space;
    this.#idle = found;
    for (const bytes of found.values()) space.add(bytes);
  }

  /**
   * Begins or goes on with a content; two who want the same share one assembler, which is called off when the last of
   * them calls it off. Fails with `CONTENT_MISMATCH` while it is put together by another manifest: one of the two is
   * false, and only the bytes will tell which.
   */
  async open(
    manifest: Manifest,
    host: Omit<AssemblerHost, 'path' | 'closed'>,
    isStored: () => boolean,
  ): Promise<BlobAssembler> {
    const { hash } = manifest;
    await this.#closing.get(hash);
    let running = this.#running.get(hash);
    if (!running) {
      running = { manifest, opening: this.#begin(manifest, host, isStored), users: 0 };
      this.#running.set(hash, running);
      running.opening.catch(() => this.#running.delete(hash));
    } else if (!sameManifest(running.manifest, manifest))
      throw new PresageError('CONTENT_MISMATCH', 'The content is being put together differently', { hash });
    return this.#share(running);
  }

  #begin(
    manifest: Manifest,
    host: Omit<AssemblerHost, 'path' | 'closed'>,
    isStored: () => boolean,
  ): Promise<ChunkAssembler> {
    const { hash, size } = manifest;
    const name = { hash, size, sealed: host.cipherOf !== undefined };
    const path = this.#files.partial(name);
    const counted = this.#idle.get(hash) ?? 0;
    this.#idle.delete(hash);
    const closed = () => this.#closed(hash, path, fileBytes(name), isStored);
    // What an earlier run left in the clear must not outlive the site's becoming private.
    const cleared = counted > 0 ? this.#files.removePartial(hash, name) : Promise.resolve();
    return cleared.then(() => ChunkAssembler.open({ ...host, path, closed }, manifest, counted));
  }

  /** The same assembler for one more. */
  async #share(running: Running): Promise<BlobAssembler> {
    running.users += 1;
    const assembler = await running.opening;
    let over = false;
    return {
      missing: () => assembler.missing(),
      write: (index, bytes) => assembler.write(index, bytes),
      finish: () => assembler.finish(),
      abort: async () => {
        if (over) return;
        over = true;
        running.users -= 1;
        if (running.users === 0) await this.#callOff(running.manifest.hash, assembler);
      },
    };
  }

  /** Who wants the same from now on waits until it is over. */
  async #callOff(hash: ContentHash, assembler: ChunkAssembler): Promise<void> {
    const ending = assembler.abort();
    this.#closing.set(hash, ending);
    await ending;
    if (this.#closing.get(hash) === ending) this.#closing.delete(hash);
  }

  /** Drops partial contents until `lacking` says that enough is free. */
  async makeRoom(lacking: () => number): Promise<void> {
    await Promise.all(this.#closing.values());
    for (const [hash, bytes] of [...this.#idle]) {
      if (lacking() <= 0) return;
      this.#idle.delete(hash);
      await this.#files.removePartial(hash);
      this.#space.release(bytes);
    }
  }

  async close(): Promise<void> {
    for (const { opening } of [...this.#running.values()])
      await opening.then((it) => it.abort()).catch(() => undefined);
  }

  #closed(hash: ContentHash, path: string, reserved: number, isStored: () => boolean): Promise<void> {
    this.#running.delete(hash);
    const counting = (async () => {
      const left = await stat(path).catch(() => undefined);
      // A file that is still there was called off, not finished: it keeps the bytes that it really takes.
      if (left && !isStored()) {
        const bytes = left.blocks * 512;
        this.#space.release(reserved - bytes);
        this.#idle.set(hash, bytes);
      }
      this.#closing.delete(hash);
    })();
    this.#closing.set(hash, counting);
    return counting;
  }
}
