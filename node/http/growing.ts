import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import type { Blobs } from '../../protocol/ports.ts';
import type { Fields } from './caching/fields.ts';

/** Bytes of a growing body that stay in memory; a reader that falls behind them goes on from the store. */
export const WINDOW_BYTES = 1024 * 1024;

/**
 * The body of a response that is on its way into the store, while any number of clients read it. The origin is read
 * at the pace of the store, never at that of the slowest client: a client that falls behind the window waits until
 * the content is stored and goes on from there. If nothing is stored (any more), the origin is held back until all
 * readers have come within the window.
 */
export class GrowingBody {
  readonly #blobs: Pick<Blobs, 'read'>;
  #pieces: Buffer[] = [];
  /** Offset of the first piece that is still in memory, and of the end. */
  #from = 0;
  #end = 0;
  #state: 'open' | 'done' | 'failed' = 'open';
  #failure: PresageError | undefined;
  #storing = true;
  /** Whether anybody has begun to read. */
  #attached = false;
  /** Trailer fields that came after the last byte; they are not stored (RFC 9110 §6.5.1). */
  trailers: Fields = [];
  #waiting: (() => void)[] = [];
  #draining: (() => void)[] = [];
  readonly #readers = new Set<{ at: number }>();
  readonly #stored: Promise<ContentHash | undefined>;
  #settleStored: (hash: ContentHash | undefined) => void = () => undefined;

  constructor(blobs: Pick<Blobs, 'read'>) {
    this.#blobs = blobs;
    this.#stored = new Promise((resolve) => {
      this.#settleStored = resolve;
    });
  }

  /** Bytes so far. */
  get length(): number {
    return this.#end;
  }
  get readers(): number {
    return this.#readers.size;
  }
  /** Whether a new reader can get every byte from the start: from memory, or later from the store. */
  get joinable(): boolean {
    return this.#from === 0 || this.#storing;
  }

  /** Whether every byte so far is in memory. */
  get inMemory(): boolean {
    return this.#from === 0;
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#end += bytes.length;
    if (this.#storing) this.#trim(this.#end - WINDOW_BYTES);
    this.#wake();
  }

  /**
   * Resolves when more may be pushed: at once while the store keeps what the window drops, else when the slowest
   * reader has come near. `false` if nothing is stored and nobody reads: then the rest is of no use.
   */
  async room(): Promise<boolean> {
    while (!this.#storing && this.#state === 'open') {
      if (this.#attached && this.#readers.size === 0) return false;
      let slowest = this.#attached ? this.#end : this.#from;
      for (const reader of this.#readers) slowest = Math.min(slowest, reader.at);
      this.#trim(slowest);
      if (this.#end - slowest < WINDOW_BYTES) return true;
      // Who began the fill reads long before the window is full, or not at all.
      if (!this.#attached) return false;
      await new Promise<void>((resolve) => this.#draining.push(resolve));
    }
    return true;
  }

  /** All bytes are there. */
  end(trailers: Fields = []): void {
    this.trailers = trailers;
    this.#state = 'done';
    this.#wake();
  }

  /** The rest will not come. */
  fail(error: PresageError): void {
    this.#failure = error;
    this.#state = 'failed';
    this.stored(undefined);
    this.#wake();
  }

  /** The content is in the store, or (`undefined`) will not be: then readers live on what is in memory. */
  stored(hash: ContentHash | undefined): void {
    if (hash === undefined) this.#storing = false;
    this.#settleStored(hash);
  }

  /** Bytes `start` … `end` (exclusive) as they come. Fails as the origin failed, or with `CONTENT_MISSING`. */
  async *read(start = 0, end = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array> {
    const reader = { at: start };
    this.#attached = true;
    this.#readers.add(reader);
    try {
      while (reader.at < end) {
        if (reader.at < this.#from) {
          const hash = await this.#stored;
          if (hash === undefined)
            throw this.#failure ?? new PresageError('CONTENT_MISSING', 'The start of the body was not kept');
          yield* this.#blobs.read(hash, reader.at, end);
          return;
        }
        const piece = this.#pieceAt(reader.at);
        if (piece) {
          const part = reader.at + piece.length > end ? piece.subarray(0, end - reader.at) : piece;
          reader.at += part.length;
          yield part;
          this.#drained();
        } else if (this.#state === 'open') {
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
        } else {
          if (this.#failure) throw this.#failure;
          return;
        }
      }
    } finally {
      this.#readers.delete(reader);
      this.#drained();
    }
  }

  #pieceAt(offset: number): Buffer | undefined {
    let at = this.#from;
    for (const piece of this.#pieces) {
      if (offset < at + piece.length) return offset === at ? piece : piece.subarray(offset - at);
      at += piece.length;
    }
    return undefined;
  }

  #trim(to: number): void {
    let dropped = 0;
    while (dropped < this.#pieces.length && this.#from + this.#pieces[dropped]!.length <= to) {
      this.#from += this.#pieces[dropped]!.length;
      dropped++;
    }
    if (dropped > 0) this.#pieces = this.#pieces.slice(dropped);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
    if (this.#state !== 'open') this.#drained();
  }

  #drained(): void {
    const draining = this.#draining;
    this.#draining = [];
    for (const resolve of draining) resolve();
  }
}
