import { compareStamps } from './hybrid-clock.ts';
import type { ContentHash, Key16 } from './ids.ts';
import type { Fence, FetchedResponse, Replica } from './replica.ts';
import type { Note } from './tags.ts';
import type { VariantId, Version } from './versions.ts';

/** Fields that a 304 does not renew (RFC 9111 §3.2): they describe the stored bytes or the connection. */
const NOT_RENEWED = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Both times at which something happens: real and demand, Unix ms. */
export interface Moment {
  readonly real: number;
  readonly demand: number;
}

/** A row to be written, or removed where `value` is absent. */
export type CatalogueWrite =
  | { readonly table: 'replicas'; readonly key: VariantId; readonly value: Replica | undefined }
  | { readonly table: 'versions'; readonly key: VariantId; readonly value: Version | undefined }
  | { readonly table: 'tags'; readonly key: Key16; readonly value: Note | undefined };

/** What a change asks of the shell: write, then announce; contents that nothing names any more may be deleted. */
export interface CatalogueChange {
  readonly replica?: Replica | undefined;
  readonly writes: readonly CatalogueWrite[];
  readonly announce: readonly VariantId[];
  readonly unused: readonly ContentHash[];
}

/** A change while it is made. */
export class Draft implements CatalogueChange {
  readonly writes: CatalogueWrite[] = [];
  readonly announce: VariantId[] = [];
  readonly unused: ContentHash[] = [];
  replica: Replica | undefined;

  /** The variant is to be told of, once. */
  tell(id: VariantId): void {
    if (!this.announce.includes(id)) this.announce.push(id);
  }

  /** A content that was given up in this very change is wanted again. */
  reclaim(content: ContentHash): void {
    const at = this.unused.indexOf(content);
    if (at >= 0) this.unused.splice(at, 1);
  }
}

/** Whether a newer version with other content is known. */
export const overtaken = (
  replica: Pick<Replica, 'content' | 'version'>,
  newest: Version | undefined,
): boolean =>
  newest !== undefined &&
  newest.content !== replica.content &&
  compareStamps(newest.stamp, replica.version) > 0;

/** The fence of content that the origin has confirmed after more purges: per issuer the higher of both. */
export function raised(fence: Fence, by: Fence): Fence {
  const higher = new Map(fence);
  for (const [issuer, seq] of by) higher.set(issuer, Math.max(seq, higher.get(issuer) ?? 0));
  return higher;
}

/** Stored fields with those of a 304 in place of theirs (RFC 9111 §3.2). */
export function renew(stored: Replica['headers'], fresh: FetchedResponse['headers']): Replica['headers'] {
  const renewed = fresh.filter(([name]) => !NOT_RENEWED.has(name));
  const names = new Set(renewed.map(([name]) => name));
  return [...stored.filter(([name]) => !names.has(name)), ...renewed];
}
