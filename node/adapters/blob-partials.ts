import { stat } from 'node:fs/promises';
import type { ContentHash } from '../../protocol/ids.ts';
import type { Manifest } from '../../protocol/ports.ts';
import { type AssemblerHost, ChunkAssembler } from './blob-assembler.ts';
import type { BlobFiles } from './blob-files.ts';
import { fileBytes } from './blob-format.ts';
import type { BlobSpace } from './blob-space.ts';

/** Contents that are being put together from chunks, and those that were called off and may be resumed. */
export class BlobPartials {
  readonly #files: BlobFiles;
  readonly #space: BlobSpace;
  readonly #assemblers = new Map<ContentHash, Promise<ChunkAssembler>>();
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

  /** Begins or goes on with a content; two who want the same share one assembler. */
  async open(
    manifest: Manifest,
    host: Omit<AssemblerHost, 'path' | 'closed'>,
    isStored: () => boolean,
  ): Promise<ChunkAssembler> {
    const { hash } = manifest;
    await this.#closing.get(hash);
    const running = this.#assemblers.get(hash);
    if (running) return running;
    const name = { hash, size: manifest.size, sealed: host.cipherOf !== undefined };
    const path = this.#files.partial(name);
    const counted = this.#idle.get(hash) ?? 0;
    this.#idle.delete(hash);
    const closed = () => this.#closed(hash, path, fileBytes(name), isStored);
    // What an earlier run left in the clear must not outlive the site's becoming private.
    const opening = (counted > 0 ? this.#files.removePartial(hash, name) : Promise.resolve()).then(() =>
      ChunkAssembler.open({ ...host, path, closed }, manifest, counted),
    );
    this.#assemblers.set(hash, opening);
    opening.catch(() => this.#assemblers.delete(hash));
    return opening;
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
    for (const assembler of [...this.#assemblers.values()])
      await assembler.then((it) => it.abort()).catch(() => undefined);
  }

  #closed(hash: ContentHash, path: string, reserved: number, isStored: () => boolean): Promise<void> {
    this.#assemblers.delete(hash);
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
