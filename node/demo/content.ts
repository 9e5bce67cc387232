import { createHash } from 'node:crypto';
import { seededRandom } from '../../protocol/random.ts';

/** A file of the demo's origin. */
export interface DemoFile {
  /** Path and query as they stand in the request line. */
  readonly path: string;
  /** Bytes of the body. */
  readonly size: number;
  readonly type: string;
  /** Surrogate keys. */
  readonly tags: readonly string[];
  /** Seconds of demand time for which a cache may hold it. */
  readonly maxAgeS: number;
}

/** A body repeats a pattern of this length, each turn stamped with its number, so that no two places are alike. */
const PATTERN_BYTES = 16 * 1024;
const WORDS =
  'the demand of a region rises before the crowd is there and falls when it has seen enough'.split(' ');

/** The body of one version of a file: the same bytes in every process, text for text types, noise for all others. */
export function bodyOf(file: Pick<DemoFile, 'path' | 'size' | 'type'>, version: number): Buffer {
  const name = `${file.path} version ${version}\n`;
  const pattern = patternOf(name, file.type.startsWith('text/'), Math.min(PATTERN_BYTES, file.size));
  const body = Buffer.allocUnsafe(file.size);
  for (let at = 0; at < file.size; at += PATTERN_BYTES) {
    pattern.copy(body, at);
    if (at > 0) body.write(`${at / PATTERN_BYTES}\n`, at, 'latin1');
  }
  body.write(name.slice(0, file.size), 0, 'latin1');
  return body;
}

function patternOf(name: string, text: boolean, length: number): Buffer {
  const random = seededRandom(createHash('sha256').update(name).digest().readUInt32LE(0));
  const pattern = Buffer.allocUnsafe(Math.max(4, length));
  if (text) {
    let at = 0;
    while (at < pattern.length) {
      at += pattern.write(`${WORDS[random.uint32() % WORDS.length]!} `, at, 'latin1');
    }
    return pattern;
  }
  let at = 0;
  for (; at + 4 <= pattern.length; at += 4) pattern.writeUInt32LE(random.uint32(), at);
  if (at < pattern.length) pattern.fill(0, at);
  return pattern;
}

/** SHA-256 in hex of any bytes. */
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The validator that the origin gives out for a version. */
export const etagOf = (path: string, version: number): string =>
  `"v${version}-${createHash('sha256').update(path).digest('hex').slice(0, 8)}"`;

/** Version that an entity tag of the demo's origin names. */
export function versionOfEtag(etag: string | undefined): number | undefined {
  const match = /^(?:W\/)?"v(\d{1,9})-[0-9a-f]{8}"$/.exec(etag ?? '');
  return match === null ? undefined : Number(match[1]);
}

/** What the bytes of each version of each file must hash to; computed once each. */
export class ExpectedContent {
  readonly #files: ReadonlyMap<string, DemoFile>;
  readonly #hashes = new Map<string, string>();

  constructor(files: ReadonlyMap<string, DemoFile>) {
    this.#files = files;
  }

  /** SHA-256 in hex, or `undefined` for a path that the origin does not have. */
  hash(path: string, version: number): string | undefined {
    const file = this.#files.get(path);
    if (file === undefined) return undefined;
    const key = `${version} ${path}`;
    let hash = this.#hashes.get(key);
    if (hash === undefined) {
      hash = sha256(bodyOf(file, version));
      this.#hashes.set(key, hash);
    }
    return hash;
  }
}
