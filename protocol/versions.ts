import { createHash } from 'node:crypto';
import { compareStamps } from './hybrid-clock.ts';
import type { ContentHash, Key16 } from './ids.ts';
import type { FetchedResponse, Stamp } from './replica.ts';

/** Versions kept, some 300 bytes each; the longest unheard of go first, those of held replicas last. */
export const MAX_VERSIONS = 200_000;
/** Contents remembered per resource to notice flapping: two origins behind one name alternate between two. */
const RECENT_CONTENTS = 4;
/** How often a resource may return to a recent content before it counts as flapping; once is a rollback. */
const MAX_RETURNS = 3;

/** Which content a variant of a resource has, as told by the PoP that learned of it. */
export interface Version {
  readonly content: ContentHash;
  readonly size: number;
  /** Hash of the validator (ETag, else Last-Modified), 16 hex digits; empty where the origin sends none. */
  readonly validator: string;
  readonly stamp: Stamp;
}

/** A variant of a resource: key16, then the variant's own hash, or nothing where nothing varies. */
export type VariantId = string;

/** 16 hex digits that stand for a variant; empty for the empty variant. */
export const variantHash = (variant: string): string =>
  variant === '' ? '' : createHash('sha256').update(variant).digest('hex').slice(0, 16);

export const variantId = (key16: Key16, hash: string): VariantId => key16 + hash;
export const key16OfVariant = (id: VariantId): Key16 => id.slice(0, 32) as Key16;
export const hashOfVariant = (id: VariantId): string => id.slice(32);

/** Hash of what the origin validates by. Weak and strong forms of one ETag count as one (RFC 9110 §8.8.3.2). */
export function validatorOf(headers: FetchedResponse['headers']): string {
  const field = (name: string) => headers.find(([key]) => key === name)?.[1];
  const value = field('etag')?.replace(/^W\//, '') ?? field('last-modified');
  return value === undefined ? '' : createHash('sha256').update(value).digest('hex').slice(0, 16);
}

/**
 * The newer of two versions: the greater in a total order, so that merging is commutative, associative and
 * idempotent. Stamps decide; the rest matters only if one PoP gave one stamp twice.
 */
export function newer(a: Version, b: Version): Version {
  const order =
    compareStamps(a.stamp, b.stamp) ||
    compare(a.content, b.content) ||
    a.size - b.size ||
    compare(a.validator, b.validator);
  return order >= 0 ? a : b;
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

interface Entry {
  version: Version;
  /** Earlier contents that this PoP itself was served, latest last. */
  recent: ContentHash[];
  returns: number;
}

/** What a fetch says of the version: the first known, the one known, a new one, or a flapping origin's. */
export type Noted = 'first' | 'same' | 'new' | 'flapping';

/** The newest known version of each variant, held here or elsewhere. */
export class Versions {
  readonly #entries = new Map<VariantId, Entry>();
  readonly #max: number;
  readonly #isHeld: (id: VariantId) => boolean;

  /** `isHeld`: whether a replica of the variant is stored here. */
  constructor(isHeld: (id: VariantId) => boolean, max = MAX_VERSIONS) {
    this.#isHeld = isHeld;
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(id: VariantId): Version | undefined {
    return this.#entries.get(id)?.version;
  }

  entries(): Iterable<[VariantId, Version]> {
    return [...this.#entries].map(([id, { version }]): [VariantId, Version] => [id, version]);
  }

  /**
   * What the origin has just served. It is a new version only if both the content and the validator differ from
   * the newest known: the same content under another validator is a flapping ETag, another content under the same
   * validator is what the origin itself calls equivalent.
   */
  note(
    id: VariantId,
    seen: Omit<Version, 'stamp'>,
    stamp: () => Stamp,
  ): { readonly noted: Noted; readonly version: Version } {
    const entry = this.#entries.get(id);
    if (!entry) {
      const version = { ...seen, stamp: stamp() };
      this.#entries.set(id, { version, recent: [], returns: 0 });
      return { noted: 'first', version };
    }
    const { version } = entry;
    const sameValidator = seen.validator !== '' && seen.validator === version.validator;
    if (seen.content === version.content || sameValidator) return { noted: 'same', version };
    if (entry.recent.includes(seen.content)) entry.returns += 1;
    else entry.returns = 0;
    if (entry.returns >= MAX_RETURNS) return { noted: 'flapping', version };
    entry.recent = [...entry.recent.filter((c) => c !== version.content), version.content].slice(
      -RECENT_CONTENTS,
    );
    entry.version = { ...seen, stamp: stamp() };
    return { noted: 'new', version: entry.version };
  }

  /** Takes a version that another PoP has told; whether it is newer than what was known. */
  merge(id: VariantId, version: Version): boolean {
    const entry = this.#entries.get(id);
    if (!entry) {
      this.#entries.set(id, { version, recent: [], returns: 0 });
      return true;
    }
    if (newer(entry.version, version) === entry.version) return false;
    entry.version = version;
    return true;
  }

  /** Drops what exceeds the bound, looking at `scan` entries at most; returns what was dropped. */
  trim(scan: number): VariantId[] {
    const dropped: VariantId[] = [];
    let scanned = 0;
    while (this.#entries.size > this.#max && scanned < scan) {
      const first = this.#entries.entries().next().value;
      if (!first) break;
      const [id, entry] = first;
      this.#entries.delete(id);
      if (this.#isHeld(id)) this.#entries.set(id, entry);
      else dropped.push(id);
      scanned += 1;
    }
    return dropped;
  }
}
