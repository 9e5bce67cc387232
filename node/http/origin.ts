import type { Readable } from 'node:stream';
import { Pool } from 'undici';
import type { Site } from '../../protocol/charter.ts';
import { PresageError } from '../../protocol/errors.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';
import { endToEnd, type Fields, trailingFields } from './caching/fields.ts';
import { originError } from './origin-error.ts';

/** Header section of a response, bytes. */
const HEADER_BYTES_MAX = 64 * 1024;
/** An idle connection is closed before most servers close theirs, so that a request rarely meets a closing one. */
const KEEP_ALIVE_MS = 4_000;
/** Origins with open connections; the least recently used beyond it is closed. */
const POOLS_MAX = 256;

export interface OriginOptions {
  /** Connections to one origin at a time. */
  readonly connections: number;
  /** Requests that wait for a connection to one origin; further ones fail with `ORIGIN_TIMEOUT`. */
  readonly queue: number;
  /** Real ms. */
  readonly connectTimeoutMs: number;
  /** Until the response begins, real ms. */
  readonly responseTimeoutMs: number;
  /** Longest silence within a body, real ms. */
  readonly bodyTimeoutMs: number;
}

export const ORIGIN_DEFAULTS: OriginOptions = {
  connections: 128,
  queue: 4096,
  connectTimeoutMs: 5_000,
  responseTimeoutMs: 30_000,
  bodyTimeoutMs: 30_000,
};

export interface OriginRequest {
  readonly site: Site;
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Value of Host, unless the site has one of its own. */
  readonly host: string;
  readonly headers: Fields;
  readonly body?: Readable;
  readonly signal?: AbortSignal;
  /** Hears interim responses (1xx other than 101). */
  readonly interim?: (status: number, headers: Fields) => void;
}

export interface OriginResponse {
  readonly status: number;
  /** End-to-end fields, names in lower case. */
  readonly headers: Fields;
  readonly body: Readable;
  /** Trailer fields that may be passed on; there once the body has been read to its end. */
  readonly trailers: () => Fields;
  /** Length that the origin announced. */
  readonly length: number | undefined;
  /**
   * Whether the end of the body can be told from a broken connection. One that ends with the connection cannot, and
   * is never stored.
   */
  readonly framed: boolean;
  /** Real Unix ms. */
  readonly requestedAt: number;
  readonly receivedAt: number;
}

/**
 * Sends requests to the sites' origins over kept-alive connections. Fails with `ORIGIN_UNREACHABLE`,
 * `ORIGIN_TIMEOUT`, `ORIGIN_PROTOCOL` or `CANCELLED`; so does the body. A GET or HEAD that meets a connection which
 * the origin has just closed is sent once more; nothing else is ever repeated.
 */
export interface OriginClient {
  fetch(request: OriginRequest): Promise<OriginResponse>;
  close(): Promise<void>;
}

export function createOrigin(
  options: Partial<OriginOptions>,
  deps: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics },
): OriginClient {
  return new PooledOrigin({ ...ORIGIN_DEFAULTS, ...options }, deps);
}

interface OriginPool {
  readonly pool: Pool;
  readonly basePath: string;
  readonly host: string;
  readonly servername: string;
  waiting: number;
}

class PooledOrigin implements OriginClient {
  readonly #options: OriginOptions;
  readonly #deps: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics };
  readonly #pools = new Map<string, OriginPool>();

  constructor(options: OriginOptions, deps: { clock: Clock; log: Log; metrics: Metrics }) {
    this.#options = options;
    this.#deps = deps;
  }

  async fetch(request: OriginRequest): Promise<OriginResponse> {
    const pool = this.#poolOf(request.site.origin);
    if (pool.waiting >= this.#options.connections + this.#options.queue)
      throw new PresageError('ORIGIN_TIMEOUT', 'Too many requests wait for this origin', {
        proxyStatus: 'connection_limit_reached',
      });
    pool.waiting++;
    const started = this.#deps.clock.monotonic();
    try {
      return await this.#attempt(pool, request);
    } catch (error) {
      if (repeatable(request) && closedWhileIdle(error)) return await this.#attempt(pool, request);
      throw error;
    } finally {
      pool.waiting--;
      const seconds = (this.#deps.clock.monotonic() - started) / 1000;
      this.#deps.metrics.observe('presage_origin_response_seconds', seconds);
    }
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(({ pool }) => pool.destroy()));
  }

  async #attempt(pool: OriginPool, request: OriginRequest): Promise<OriginResponse> {
    const { clock, metrics } = this.#deps;
    const requestedAt = clock.now();
    const flat: string[] = ['host', request.site.originHost ?? request.host];
    for (const [name, value] of request.headers) flat.push(name, value);
    const call = {
      method: request.method,
      path: pool.basePath + request.path,
      headers: flat,
      body: request.body ?? null,
      signal: request.signal ?? null,
      responseHeaders: 'raw' as const,
      // The certificate is that of the origin's own name, whatever Host says.
      servername: pool.servername,
      ...(request.interim && { onInfo: forwardInterim(request.interim) }),
    };
    try {
      const response = await pool.pool.request(call);
      const raw = response.headers as unknown as string[];
      const { length, chunked } = framing(raw);
      response.body.on('error', ignore);
      metrics.count('presage_origin_responses_total', {
        class: `${Math.floor(response.statusCode / 100)}xx`,
      });
      return {
        status: response.statusCode,
        headers: endToEnd(raw),
        body: response.body,
        trailers: () => trailingFields(response.trailers),
        length,
        framed: chunked || length !== undefined,
        requestedAt,
        receivedAt: clock.now(),
      };
    } catch (error) {
      const failure = originError(error, request.signal?.aborted === true);
      if (failure.code !== 'CANCELLED') {
        metrics.count('presage_origin_failures_total', { code: failure.code });
        this.#deps.log.debug('The origin failed', { origin: request.site.origin, reason: failure.message });
      }
      throw failure;
    }
  }

  #poolOf(base: string): OriginPool {
    const known = this.#pools.get(base);
    if (known) return known;
    for (const [oldest, { pool }] of this.#pools) {
      if (this.#pools.size < POOLS_MAX) break;
      this.#pools.delete(oldest);
      void pool.close().catch(ignore);
    }
    const url = new URL(base);
    const created: OriginPool = {
      pool: new Pool(url.origin, {
        connections: this.#options.connections,
        pipelining: 1,
        keepAliveTimeout: KEEP_ALIVE_MS,
        headersTimeout: this.#options.responseTimeoutMs,
        bodyTimeout: this.#options.bodyTimeoutMs,
        maxHeaderSize: HEADER_BYTES_MAX,
        connect: { timeout: this.#options.connectTimeoutMs },
      }),
      basePath: url.pathname === '/' ? '' : url.pathname.replace(/\/$/, ''),
      host: url.host,
      servername: url.hostname,
      waiting: 0,
    };
    this.#pools.set(base, created);
    return created;
  }
}

const ignore = (): void => undefined;

const repeatable = (request: OriginRequest): boolean =>
  (request.method === 'GET' || request.method === 'HEAD') && request.body === undefined;

/** Whether the connection had served before and was closed under the request: the usual race of kept-alive ones. */
function closedWhileIdle(error: unknown): boolean {
  const cause = (error as PresageError).cause as
    | { code?: string; socket?: { bytesRead?: number } }
    | undefined;
  return cause?.code === 'UND_ERR_SOCKET' && (cause.socket?.bytesRead ?? 0) > 0;
}

/** 101 would change the protocol under us, and 100 is between us and the origin. */
const forwardInterim =
  (interim: NonNullable<OriginRequest['interim']>) =>
  (info: { statusCode: number; headers: unknown }): void => {
    // Raw, as the final ones are, although undici's types say otherwise.
    if (info.statusCode > 101) interim(info.statusCode, endToEnd(info.headers as string[]));
  };

function framing(raw: readonly string[]): { length: number | undefined; chunked: boolean } {
  let length: number | undefined;
  let chunked = false;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    if (name.length === 14 && name.toLowerCase() === 'content-length') length = Number(raw[at + 1]);
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') chunked = true;
  }
  return { length: Number.isSafeInteger(length) ? length : undefined, chunked };
}
