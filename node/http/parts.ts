import { LRUCache } from 'lru-cache';
import type { ContentHash, Key16 } from '../../protocol/ids.ts';
import type { FetchTicket } from '../../protocol/replica.ts';
import { type Fields, firstOf } from './caching/fields.ts';
import { policyOf } from './caching/policy.ts';
import { type ByteRange, parseRanges } from './caching/ranges.ts';
import { storability } from './caching/storability.ts';
import { rangeHolds } from './caching/validators.ts';
import { variantOf, varyNames } from './caching/vary.ts';
import type { EdgeContext, Resolved } from './context.ts';
import { foreignCoding } from './foreign-coding.ts';
import type { OriginResponse } from './origin.ts';
import type { EdgeRequest } from './request.ts';
import { StoredResponse } from './stored.ts';
import { storedFields } from './stored-fields.ts';
import { tagsOf } from './tags.ts';

/** Bytes of parts that are kept, of all contents together. */
const BYTES_MAX = 32 * 1024 * 1024;
/** Largest part that is kept. */
export const PART_MAX = 4 * 1024 * 1024;
/** Pieces of one content. */
const PIECES_MAX = 256;

interface Piece extends ByteRange {
  readonly bytes: Buffer;
}

/** What is here of one content that is not stored whole. */
interface Parted {
  readonly stored: StoredResponse;
  readonly ticket: FetchTicket;
  readonly tags: readonly string[];
  readonly size: number;
  /** Apart from each other, in order. */
  readonly pieces: readonly Piece[];
}

/** What answers a request for a range: the response that it is part of, and the bytes. */
export interface Part {
  readonly stored: StoredResponse;
  read(start?: number, end?: number): AsyncIterable<Uint8Array>;
}

/** Where a part came from and when, demand ms. */
export interface PartOrigin {
  readonly ticket: FetchTicket;
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly answer: OriginResponse;
}

/**
 * Parts (206) of contents that are too large to be stored, or whose wanted range lay far ahead: kept in memory, put
 * together where a strong validator says that they belong together (RFC 9110 §15.3.7.3, RFC 9111 §3.4), and served
 * under the same rules as what is stored whole. They are never replicated.
 */
export class Parts {
  readonly #context: EdgeContext;
  readonly #known = new LRUCache<Key16, Parted>({
    maxSize: BYTES_MAX,
    sizeCalculation: ({ pieces }) => pieces.reduce((sum, { bytes }) => sum + bytes.length, 1024),
  });

  constructor(context: EdgeContext) {
    this.#context = context;
  }

  drop(key16: Key16): void {
    this.#known.delete(key16);
  }

  /** The part that answers a request for one range, if it is here. */
  find({ key16 }: Resolved, request: EdgeRequest): Part | undefined {
    const known = request.range === undefined ? undefined : this.#known.get(key16);
    if (!known || request.range === undefined || !known.stored.selectedBy(request.lines)) return undefined;
    const { deps } = this.#context;
    if (deps.index.overtaken?.(known.ticket, known.tags)) {
      this.drop(key16);
      return undefined;
    }
    if (!rangeHolds(request.conditions.ifRange, known.stored.headers, deps.clock.now())) return undefined;
    const [range, more] = parseRanges(request.range, known.size) ?? [];
    if (!range || more) return undefined;
    const piece = known.pieces.find(({ start, end }) => start <= range.start && range.end <= end);
    if (!piece) return undefined;
    return {
      stored: known.stored,
      read: async function* (start = 0, end = known.size) {
        yield piece.bytes.subarray(start - piece.start, end - piece.start);
      },
    };
  }

  /** Keeps a part, if it is what it says that it is, and the response may be stored. */
  keep(resolved: Resolved, request: EdgeRequest, origin: PartOrigin, bytes: Buffer): void {
    const { site, key16 } = resolved;
    const { answer } = origin;
    const range = contentRange(firstOf(answer.headers, 'content-range'));
    // Before purges are reconciled nothing but the origin's word counts where the site says so; a part has none.
    if (
      answer.status !== 206 ||
      !range ||
      bytes.length !== range.end - range.start ||
      site.cutOff !== 'serve-stale' ||
      foreignCoding(answer.headers, request.lines)
    )
      return;
    const stored = this.#storable(resolved, request, origin, range.size);
    if (!stored) return;
    const known = this.#known.get(key16);
    const joins = known && known.size === range.size && sameContent(known.stored, stored);
    const pieces = joined(joins ? known.pieces : [], { start: range.start, end: range.end, bytes });
    if (pieces.length > PIECES_MAX) return;
    const ticket = joins && known.ticket.ordinal < origin.ticket.ordinal ? known.ticket : origin.ticket;
    this.#known.set(key16, { stored, ticket, tags: tagsOf(stored.headers), size: range.size, pieces });
  }

  #storable(
    { site, key, key16 }: Resolved,
    request: EdgeRequest,
    { answer, requestedAt, receivedAt, ticket }: PartOrigin,
    size: number,
  ): StoredResponse | undefined {
    const { options, via } = this.#context;
    const verdict = storability(
      {
        method: request.method,
        authorised: request.authorised,
        requestDirectives: request.directives,
        // It says about the whole what a 200 would say (RFC 9110 §15.3.7).
        status: 200,
        headers: answer.headers,
        policy: policyOf(answer.headers),
      },
      options.heuristic,
      answer.receivedAt,
    );
    if (!verdict.store || verdict.lifetime === 0) return undefined;
    const headers: Fields = storedFields(answer, [...verdict.omit, 'content-range']);
    const names = varyNames(headers);
    if (names === '*') return undefined;
    const { ordinal: _, ...place } = ticket;
    const replica = {
      ...place,
      ...{ key, key16, site: site.id, variant: variantOf(names, request.lines), status: 200, headers },
      ...{ content: '' as ContentHash, size, requestedAt, receivedAt, fence: new Map(), tags: [] },
      ...{
        version: { time: 0, counter: 0, pop: '' as never },
        source: 'client' as const,
        group: 0,
        rules: 0,
      },
    };
    return new StoredResponse(replica, options.heuristic, via, site.private);
  }
}

/** A range of a content whose whole length is told; `undefined` for all else. */
function contentRange(text: string | undefined): (ByteRange & { readonly size: number }) | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(text ?? '');
  if (!match) return undefined;
  const [start, last, size] = match.slice(1).map(Number) as [number, number, number];
  return start <= last && last < size ? { start, end: last + 1, size } : undefined;
}

function sameContent(a: StoredResponse, b: StoredResponse): boolean {
  const tag = firstOf(a.headers, 'etag');
  const strong = tag !== undefined && !tag.startsWith('W/');
  return strong && tag === firstOf(b.headers, 'etag') && a.replica.variant === b.replica.variant;
}

/** Pieces with one more; what touches or overlaps becomes one, up to the largest part. */
function joined(pieces: readonly Piece[], added: Piece): Piece[] {
  let { start, end, bytes } = added;
  const apart: Piece[] = [];
  for (const piece of pieces) {
    const touches = piece.start <= end && start <= piece.end;
    if (touches && Math.max(end, piece.end) - Math.min(start, piece.start) <= PART_MAX) {
      const before = piece.bytes.subarray(0, Math.max(0, start - piece.start));
      const after = piece.bytes.subarray(Math.min(piece.bytes.length, Math.max(0, end - piece.start)));
      bytes = Buffer.concat([before, bytes, after]);
      start = Math.min(start, piece.start);
      end = start + bytes.length;
    } else apart.push(piece);
  }
  return [...apart, { start, end, bytes }].sort((a, b) => a.start - b.start);
}
