import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { PassThrough } from 'node:stream';
import { coded } from '../../protocol/errors.ts';
import { bodiless, drained, follow, type Sent } from './answer.ts';
import { endToEnd, type Fields } from './caching/fields.ts';
import { canonicalEncodings } from './caching/vary.ts';
import type { EdgeContext, Resolved } from './context.ts';
import { guarded } from './guard.ts';
import type { OriginResponse } from './origin.ts';
import type { EdgeRequest } from './request.ts';

/**
 * Fields that some origins let a client steer the answer with although no cache keys on them: passing them on from
 * clients would let one client choose what all others get.
 */
const STEERING = new Set([
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-scheme',
  'x-forwarded-port',
  'x-forwarded-server',
  'x-forwarded-prefix',
  'x-host',
  'x-http-host-override',
  'x-original-url',
  'x-original-host',
  'x-rewrite-url',
  'x-http-method-override',
  'x-method-override',
  'forwarded',
]);
const CONDITIONAL = new Set([
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
]);

/**
 * Fields of a request as the origin gets them. With `whole` conditions and ranges are left out, so that the answer is
 * the whole resource and can be stored, and Accept-Encoding is cut down to what tells variants apart.
 */
export function forwarded(
  context: EdgeContext,
  request: EdgeRequest,
  resolved: Resolved,
  whole: boolean,
): Fields {
  const fields: [string, string][] = [];
  let cookies: string | undefined;
  for (const field of endToEnd(request.raw)) {
    const name = field[0];
    if (name === 'cookie') {
      // HTTP/2 may split it (RFC 9113 §8.2.3).
      cookies = cookies === undefined ? field[1] : `${cookies}; ${field[1]}`;
      continue;
    }
    if (
      name === 'host' ||
      name === 'via' ||
      name === 'expect' ||
      name === 'content-length' ||
      STEERING.has(name)
    )
      continue;
    if (whole && (name === 'range' || name === 'accept-encoding' || CONDITIONAL.has(name))) continue;
    fields.push(field);
  }
  if (cookies !== undefined) fields.push(['cookie', cookies]);
  const encodings = whole ? canonicalEncodings(request.lines('accept-encoding')) : '';
  if (encodings !== '') fields.push(['accept-encoding', encodings]);
  fields.push(['via', request.via === undefined ? context.via : `${request.via}, ${context.via}`]);
  fields.push(['x-forwarded-host', resolved.host], ['x-forwarded-proto', request.secure ? 'https' : 'http']);
  return fields;
}

/** Fields of an answer that goes straight through, as `[name, value, …]`. */
export function passedHead(
  context: EdgeContext,
  { site }: Pick<Resolved, 'site'>,
  headers: Fields,
  cacheStatus: string,
): string[] {
  const head: string[] = [];
  let via = context.via;
  let status = cacheStatus;
  for (const [name, value] of site.private ? guarded(headers) : headers) {
    if (name === 'via') via = `${value}, ${context.via}`;
    else if (name === 'cache-status') status = `${value}, ${cacheStatus}`;
    else head.push(name, value);
  }
  head.push('via', via, 'cache-status', status);
  return head;
}

/** What was passed on; `whole` if that was the body to its end. */
interface Passed extends Sent {
  readonly whole: boolean;
}

/** Passes an answer of the origin on as it comes, holding the origin back when the client is slow. */
export async function pass(
  context: EdgeContext,
  request: EdgeRequest,
  response: ServerResponse,
  resolved: Resolved,
  answer: OriginResponse,
  cacheStatus: string,
  tap?: (chunk: Buffer) => void,
): Promise<Passed> {
  const gone = () => answer.body.destroy();
  if (response.destroyed) {
    gone();
    return { status: answer.status, bytes: 0, whole: false };
  }
  response.once('close', gone);
  response.writeHead(answer.status, passedHead(context, resolved, answer.headers, cacheStatus));
  let bytes = 0;
  let whole = false;
  try {
    if (request.method === 'HEAD' || bodiless(answer.status)) {
      for await (const _nothing of answer.body) break;
    } else {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        tap?.(chunk);
        if (!response.write(chunk)) await drained(response, context.options.clientTimeoutMs);
        if (response.destroyed) break;
      }
      whole = !response.destroyed;
      if (whole) follow(response, answer.trailers());
    }
    response.end();
  } catch (error) {
    if (!response.destroyed)
      context.deps.metrics.count('presage_edge_cut_total', { code: coded(error, 'ORIGIN_UNREACHABLE').code });
    response.destroy();
  } finally {
    response.off('close', gone);
  }
  return { status: answer.status, bytes, whole };
}

/**
 * Sends a request to the origin as it is, its body included, and passes the answer on. `before` hears the head of the
 * answer before the client does, `tap` each piece of its body.
 */
export async function forward(
  context: EdgeContext,
  message: IncomingMessage,
  request: EdgeRequest,
  response: ServerResponse,
  resolved: Resolved,
  cacheStatus: string,
  before: (answer: OriginResponse) => Promise<void> | undefined = () => undefined,
  tap?: (chunk: Buffer) => void,
): Promise<Passed & { readonly answer: OriginResponse }> {
  const gone = new AbortController();
  const leave = () => {
    if (!response.writableFinished) gone.abort();
  };
  response.once('close', leave);
  try {
    const { site, host, path } = resolved;
    const length = request.lines('content-length')[0];
    const hasBody = length === undefined ? unsizedBody(message, request) : length !== '0';
    const headers = [...forwarded(context, request, resolved, false)];
    if (length !== undefined && hasBody) headers.push(['content-length', length]);
    const answer = await context.deps.origin.fetch({
      site,
      method: request.method,
      path,
      host,
      headers,
      signal: gone.signal,
      // Not the message itself: undici destroys its body when it is done, and with it the client's connection.
      ...(hasBody && { body: message.pipe(new PassThrough()) }),
    });
    await before(answer);
    const sent = await pass(context, request, response, resolved, answer, cacheStatus, tap);
    return { ...sent, answer };
  } finally {
    response.off('close', leave);
  }
}

/** Whether a request without Content-Length has a body: over HTTP/1.1 a coding says so, over HTTP/2 the open stream. */
function unsizedBody(message: IncomingMessage, request: EdgeRequest): boolean {
  const { stream } = message as IncomingMessage & { stream?: ServerHttp2Stream };
  return stream ? !stream.endAfterHeaders : request.lines('transfer-encoding').length > 0;
}

/** Passes on 102 and 103; other interim responses say nothing to a client of ours. */
export function passInterim(response: ServerResponse, status: number, headers: Fields): void {
  try {
    if (status === 102) response.writeProcessing();
    else if (status === 103) {
      const hints: Record<string, string | string[]> = {};
      for (const [name, value] of headers)
        hints[name] = hints[name] === undefined ? value : [hints[name], value].flat();
      const { link } = hints;
      if (link !== undefined) response.writeEarlyHints({ ...hints, link });
    }
  } catch {
    // Hints that Node does not take are only hints.
  }
}
