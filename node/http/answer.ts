import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { CHUNK_BYTES } from '../../protocol/ports.ts';
import type { Fields } from './caching/fields.ts';
import { type ByteRange, contentRange, parseRanges, partHead, partsEnd } from './caching/ranges.ts';
import { evaluate, rangeHolds } from './caching/validators.ts';
import type { EdgeRequest } from './request.ts';

/** Where the bytes of a body come from. `whole` is there if they are all in memory now. */
export interface BodySource {
  /** Length of the whole; `undefined` while it is not known. */
  readonly size: number | undefined;
  readonly whole: Uint8Array | undefined;
  read(start?: number, end?: number): AsyncIterable<Uint8Array>;
  /** Fields that follow the whole; asked for when all of it has been read. */
  trailers?(): Fields;
}

/** What was sent. */
export interface Sent {
  readonly status: number;
  readonly bytes: number;
}

/** A response before conditions and ranges are applied: fields as `[name, value, …]` without Content-Length. */
export interface Draft {
  readonly status: number;
  readonly stored: Fields;
  readonly head: string[];
  /** Fields for a 304. */
  readonly shortHead: string[];
  readonly body: BodySource;
  /** How long the client may take for one piece of the body, real ms. */
  readonly patienceMs: number;
}

/** Drawn anew by each process, so that no content can be made to hold it. */
const BOUNDARY = `presage-${randomBytes(12).toString('hex')}`;
/** A body in memory that is longer than this goes out in pieces, so that a client that does not read is noticed. */
const WHOLE_MAX = CHUNK_BYTES;
/** Statuses without a body. */
export const bodiless = (status: number): boolean => status === 204 || status === 304 || status < 200;

/**
 * Sends a draft under the request's conditions, range and method. Resolves when all is handed to the connection. A
 * source that fails before its first byte makes this throw with nothing sent; later the connection is cut, so that
 * no client takes part of a body for the whole.
 */
export async function send(
  request: EdgeRequest,
  response: ServerResponse,
  draft: Draft,
  now: number,
): Promise<Sent> {
  const verdict = request.conditional
    ? evaluate(request.conditions, draft.status, draft.stored, now)
    : 'proceed';
  if (verdict === 'not-modified') {
    response.writeHead(304, draft.shortHead).end();
    return { status: 304, bytes: 0 };
  }
  if (verdict === 'failed') {
    response.writeHead(412, [...draft.shortHead, 'content-length', '0']).end();
    return { status: 412, bytes: 0 };
  }
  const { size } = draft.body;
  const ranges =
    request.range !== undefined &&
    size !== undefined &&
    draft.status === 200 &&
    request.method === 'GET' &&
    rangeHolds(request.conditions.ifRange, draft.stored, now)
      ? parseRanges(request.range, size)
      : undefined;
  if (ranges && size !== undefined) {
    if (ranges.length === 0) {
      response.writeHead(416, [
        ...draft.shortHead,
        'content-range',
        `bytes */${size}`,
        'content-length',
        '0',
      ]);
      response.end();
      return { status: 416, bytes: 0 };
    }
    if (ranges.length === 1) return sendRange(response, draft, ranges[0]!, size);
    return sendParts(response, draft, ranges, size);
  }
  const head =
    size === undefined || bodiless(draft.status)
      ? draft.head
      : [...draft.head, 'content-length', String(size)];
  if (request.method === 'HEAD' || bodiless(draft.status)) {
    response.writeHead(draft.status, head).end();
    return { status: draft.status, bytes: 0 };
  }
  return sendBody(response, draft, draft.status, head, 0, size);
}

function sendRange(response: ServerResponse, draft: Draft, range: ByteRange, size: number): Promise<Sent> {
  const head = [...draft.head, 'content-range', contentRange(range, size)];
  head.push('content-length', String(range.end - range.start));
  return sendBody(response, draft, 206, head, range.start, range.end);
}

async function sendParts(
  response: ServerResponse,
  draft: Draft,
  ranges: readonly ByteRange[],
  size: number,
): Promise<Sent> {
  const head: string[] = [];
  let contentType: string | undefined;
  for (let at = 0; at < draft.head.length; at += 2) {
    if (draft.head[at] === 'content-type') contentType = draft.head[at + 1];
    else head.push(draft.head[at]!, draft.head[at + 1]!);
  }
  const heads = ranges.map((range) => partHead(BOUNDARY, range, size, contentType));
  const end = partsEnd(BOUNDARY);
  let length = end.length;
  for (const [at, range] of ranges.entries()) length += heads[at]!.length + range.end - range.start;
  head.push('content-type', `multipart/byteranges; boundary=${BOUNDARY}`, 'content-length', String(length));
  async function* parts(): AsyncGenerator<Uint8Array> {
    for (const [at, range] of ranges.entries()) {
      yield Buffer.from(heads[at]!, 'latin1');
      yield* draft.body.read(range.start, range.end);
    }
    yield Buffer.from(end, 'latin1');
  }
  const body = { size: length, whole: undefined, read: parts };
  return sendBody(response, { ...draft, body }, 206, head, 0, length);
}

/**
 * Has trailer fields follow the body, where its framing allows: over HTTP/2, and chunked over HTTP/1.1; elsewhere they
 * are left out (RFC 9110 §6.5.1).
 */
export function follow(response: ServerResponse, fields: Fields): void {
  if (fields.length === 0) return;
  const trailers: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of fields)
    trailers[name] = trailers[name] === undefined ? value : [trailers[name], value].flat();
  response.addTrailers(trailers);
}

async function sendBody(
  response: ServerResponse,
  { body, patienceMs }: Draft,
  status: number,
  head: string[],
  start: number,
  end: number | undefined,
): Promise<Sent> {
  if (body.whole && end !== undefined && end - start <= WHOLE_MAX) {
    const part = end - start === body.whole.length ? body.whole : body.whole.subarray(start, end);
    response.writeHead(status, head).end(part);
    return { status, bytes: part.length };
  }
  const pieces = body.read(start, end)[Symbol.asyncIterator]();
  let bytes = 0;
  try {
    let next = await pieces.next();
    response.writeHead(status, head);
    while (!next.done) {
      if (response.destroyed) break;
      bytes += next.value.length;
      if (!response.write(next.value)) await drained(response, patienceMs);
      next = await pieces.next();
    }
    if (!next.done || (end !== undefined && bytes !== end - start)) response.destroy();
    else {
      if (body.trailers && status !== 206) follow(response, body.trailers());
      response.end();
    }
  } catch (error) {
    if (!response.headersSent) throw error;
    response.destroy();
  } finally {
    await pieces.return?.();
  }
  return { status, bytes };
}

/**
 * Waits until the client has taken what was written, or is gone. One that takes longer than `patienceMs` is cut off,
 * even if it reads a byte now and then.
 */
export async function drained(response: ServerResponse, patienceMs: number): Promise<void> {
  if (response.destroyed || !response.writableNeedDrain) return;
  await new Promise<void>((resolve) => {
    const late = setTimeout(() => response.destroy(), patienceMs);
    const done = () => {
      clearTimeout(late);
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
