import { LRUCache } from 'lru-cache';
import type { ContentHash } from '../../protocol/ids.ts';
import type { Direct, MemoryFile } from './direct.ts';
import { headText } from './lane-response.ts';
import type { StoredResponse } from './stored.ts';

/** Bytes of ready-made responses, besides the memory tier that their bodies stand in. */
const BYTES_MAX = 16 * 1024 * 1024;
/** The body of a larger one is not copied behind its head. */
const BODY_MAX = 64 * 1024;
/** A body of this length or more goes out from a file of memory where it can: a copy of it would cost more than the call. */
const FILE_MIN = 32 * 1024;
/** Bytes of such files, and their number, besides the memory tier too. */
const FILE_BYTES_MAX = 32 * 1024 * 1024;
const FILES_MAX = 256;
/** Bytes of ready-made 304s and of heads that files follow, some hundreds each. */
const SHORT_BYTES_MAX = 1024 * 1024;

/** Good for the second whose Age its head states. */
interface Wire {
  /** Seconds. */
  readonly age: number;
  /** As it goes out; there once the response is asked for twice within a second. */
  readonly bytes: Buffer | undefined;
}

/** A head that is to be followed by a file. */
export interface LargeWire {
  readonly head: Buffer;
  readonly file: MemoryFile;
}

const bounded = (maxSize: number) =>
  new LRUCache<StoredResponse, Wire>({ maxSize, sizeCalculation: ({ bytes }) => 64 + (bytes?.length ?? 0) });

/**
 * Responses of the hottest resources as they go out, head and body in one piece: one write, and nothing to put
 * together. Each is good for the second whose Age it states.
 */
export class Wires {
  readonly #pop: string;
  readonly #whole = bounded(BYTES_MAX);
  readonly #heads = bounded(SHORT_BYTES_MAX);
  readonly #short = bounded(SHORT_BYTES_MAX);
  readonly #files = new LRUCache<ContentHash, MemoryFile>({
    max: FILES_MAX,
    maxSize: FILE_BYTES_MAX,
    sizeCalculation: ({ size }) => size,
    dispose: (file) => file.release(),
  });

  constructor(pop: string) {
    this.#pop = pop;
  }

  /** Head and body. */
  of(stored: StoredResponse, now: number, body: Uint8Array, persistence: string): Buffer | undefined {
    if (body.length > BODY_MAX) return undefined;
    const age = ageOf(stored, now);
    const known = this.#whole.get(stored);
    if (known?.age === age && known.bytes) return known.bytes;
    const bytes =
      known?.age === age ? Buffer.concat([this.#head(stored, now, persistence), body]) : undefined;
    this.#whole.set(stored, { age, bytes });
    return bytes;
  }

  /** Head, and the body as a file. Needs `direct`, which sends it. */
  large(
    stored: StoredResponse,
    now: number,
    body: Uint8Array,
    persistence: string,
    direct: Direct,
  ): LargeWire | undefined {
    if (body.length < FILE_MIN || body.length > FILE_BYTES_MAX) return undefined;
    const age = ageOf(stored, now);
    const known = this.#heads.get(stored);
    let head = known?.age === age ? known.bytes : undefined;
    if (!head) {
      if (known?.age === age) head = this.#head(stored, now, persistence);
      this.#heads.set(stored, { age, bytes: head });
      if (!head) return undefined;
    }
    const { content } = stored.replica;
    let file = this.#files.get(content);
    if (!file) {
      file = direct.file(body);
      if (!file) return undefined;
      this.#files.set(content, file);
    }
    return { head, file };
  }

  /** A 304. */
  notModified(stored: StoredResponse, now: number, persistence: string): Buffer | undefined {
    const age = ageOf(stored, now);
    const known = this.#short.get(stored);
    if (known?.age === age && known.bytes) return known.bytes;
    let bytes: Buffer | undefined;
    if (known?.age === age)
      bytes = dated(headText(304, stored.freshShortHead(now, this.#pop), persistence), stored);
    this.#short.set(stored, { age, bytes });
    return bytes;
  }

  /** Lets go of the files. */
  clear(): void {
    this.#files.clear();
  }

  #head(stored: StoredResponse, now: number, persistence: string): Buffer {
    return dated(headText(stored.replica.status, stored.freshHead(now, this.#pop), persistence), stored);
  }
}

const ageOf = (stored: StoredResponse, now: number): number => Math.floor(stored.ageMs(now) / 1000);

/** The head with its end, and a date if the stored response has none. */
function dated(head: string, stored: StoredResponse): Buffer {
  const has = stored.headers.some(([name]) => name === 'date');
  return Buffer.from(`${head}${has ? '' : `Date: ${new Date().toUTCString()}\r\n`}\r\n`, 'latin1');
}
