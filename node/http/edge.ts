import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Site } from '../../protocol/charter.ts';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { ResourceKey } from '../../protocol/ids.ts';
import type { FetchTicket, Replica, ReplicaSource } from '../../protocol/replica.ts';
import { Directives } from './caching/directives.ts';
import { COMMON_ENCODINGS } from './caching/vary.ts';
import { Clients } from './client.ts';
import {
  EDGE_DEFAULTS,
  EdgeContext,
  type EdgeDependencies,
  type EdgeOptions,
  type Resolved,
} from './context.ts';
import { Fills } from './fills.ts';
import { Lookup } from './lookup.ts';
import { refuse } from './refusal.ts';
import { EdgeRequest } from './request.ts';
import { type Answered, Server } from './serve.ts';
import { changes } from './unsafe.ts';

/** Header section of a request, bytes; longer ones get 431. */
const HEADER_BYTES_MAX = 16 * 1024;
/** A client has this long to send its header section, real ms. */
const HEADERS_TIMEOUT_MS = 10_000;
/** And this long for the whole request, body included. */
const REQUEST_TIMEOUT_MS = 300_000;
/** How often those two are enforced. */
const CHECKING_INTERVAL_MS = 2_000;
/** Requests on one connection, so that load spreads again after a while. */
const REQUESTS_PER_CONNECTION = 100_000;
/** What answers under way get when the edge closes, real ms. */
const CLOSING_MS = 1_000;
/** Methods that no client of a cache needs: they mirror, tunnel or purge. */
const REFUSED_METHODS = new Set(['TRACE', 'TRACK', 'CONNECT', 'PURGE']);

/** Certificate chain and private key of a TLS door, PEM text. */
export interface EdgeTls {
  readonly certificate: string;
  readonly key: string;
}

export interface Listening {
  /** `HOST:PORT`, an IPv6 host in brackets. */
  readonly address: string;
  readonly port: number;
  /** Takes a renewed certificate for the connections to come. Only where TLS was asked for. */
  renew(tls: EdgeTls): void;
  close(): Promise<void>;
}

export interface Edge {
  /** Serves HTTP/1.1 on an address, over TLS 1.2 or 1.3 where a certificate is given; port 0 chooses one. */
  listen(host: string, port: number, tls?: EdgeTls): Promise<Listening>;
  /**
   * Fetches a resource from the origin into the store, for the mirror. The ticket was taken by the caller. Shares the
   * request with clients that ask for the same. `undefined` if the answer could not be stored. Fails as the origin.
   */
  fetchIntoStore(
    ticket: FetchTicket,
    site: Site,
    key: ResourceKey,
    source: ReplicaSource,
  ): Promise<Replica | undefined>;
  close(): Promise<void>;
}

/**
 * The HTTP edge: a shared cache (RFC 9111) in front of the sites' origins, its content in the blob store, its
 * metadata in the replica index.
 *
 * @example
 * const edge = createEdge({ name: 'fra1', maxObjectBytes: 1e9 }, { index, blobs, site, fill, origin, … });
 * const { address, close } = await edge.listen('::', 8080);
 */
export function createEdge(
  options: Pick<EdgeOptions, 'name' | 'maxObjectBytes'> & Partial<EdgeOptions>,
  deps: EdgeDependencies,
): Edge {
  return new HttpEdge(new EdgeContext({ ...EDGE_DEFAULTS, ...options }, deps));
}

const credentials = (tls: EdgeTls) => ({
  cert: tls.certificate,
  key: tls.key,
  minVersion: 'TLSv1.2' as const,
});

class HttpEdge implements Edge {
  readonly #context: EdgeContext;
  readonly #lookup: Lookup;
  readonly #fills: Fills;
  readonly #server: Server;
  readonly #clients: Clients;
  readonly #used = new WeakSet<Replica>();
  readonly #listening = new Set<HttpServer>();
  readonly #ownVia: RegExp;

  constructor(context: EdgeContext) {
    this.#context = context;
    this.#lookup = new Lookup(context);
    this.#fills = new Fills(context);
    this.#server = new Server(context, this.#lookup, this.#fills);
    this.#clients = new Clients(context.deps.regionOf);
    const name = context.via.slice(4).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    this.#ownVia = new RegExp(`(?:^|,)\\s*[\\w./]+ ${name}\\s*(?:,|$)`);
  }

  async listen(host: string, port: number, tls?: EdgeTls): Promise<Listening> {
    const { clientTimeoutMs, maxConnections } = this.#context.options;
    const limits = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
      keepAliveTimeout: clientTimeoutMs,
      // A missing Host is answered by us, with a coded reason.
      requireHostHeader: false,
    };
    const secure = tls && createSecureServer({ ...limits, ...credentials(tls) });
    const server: HttpServer = secure ?? createServer(limits);
    server.maxConnections = maxConnections;
    server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION;
    server.setTimeout(clientTimeoutMs);
    server.on('request', this.#handle);
    server.on('clientError', this.#clientError);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.#listening.add(server);
    const bound = server.address() as AddressInfo;
    const address =
      bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
    return {
      address,
      port: bound.port,
      renew: (renewed) => secure?.setSecureContext(credentials(renewed)),
      close: () => this.#stop(server),
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listening].map((server) => this.#stop(server)));
  }

  async fetchIntoStore(
    ticket: FetchTicket,
    site: Site,
    key: ResourceKey,
    source: ReplicaSource,
  ): Promise<Replica | undefined> {
    const slash = key.indexOf('/');
    const host = key.slice(0, slash);
    const path = key.slice(slash);
    const { via } = this.#context;
    const { fill, leader } = this.#fills.join({
      resolved: { site, host, key, key16: ticket.key16, path, hasQuery: path.includes('?'), signed: false },
      lines: (name) => (name === 'accept-encoding' ? [COMMON_ENCODINGS] : []),
      headers: [
        ['accept', '*/*'],
        ['accept-encoding', COMMON_ENCODINGS],
        ['via', via],
        ['x-forwarded-host', host],
      ],
      authorised: false,
      directives: Directives.NONE,
      stored: undefined,
      standIn: false,
      source,
      askPeers: false,
      solo: false,
      ticket,
    });
    const outcome = await fill.outcome;
    if (outcome.kind === 'failed') throw outcome.error;
    if (outcome.kind === 'unshared') {
      if (leader) outcome.response.body.destroy();
      return undefined;
    }
    return fill.done;
  }

  async #stop(server: HttpServer): Promise<void> {
    this.#listening.delete(server);
    // Answers under way get a moment; then the connections are cut.
    const { clock } = this.#context.deps;
    const calledOff = clock.after(CLOSING_MS, () => server.closeAllConnections());
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    calledOff();
  }

  readonly #handle = (message: IncomingMessage, response: ServerResponse): void => {
    let request: EdgeRequest;
    let resolved: Resolved;
    try {
      request = new EdgeRequest(message);
      resolved = this.#admit(request);
    } catch (error) {
      this.#refuse(message, response, error);
      return;
    }
    if (this.#memoryHit(message, request, response, resolved)) return;
    this.#serve(message, request, response, resolved).catch((error) =>
      this.#refuse(message, response, error),
    );
  };

  /** Site, key and leave for a request; throws the reason of a refusal. */
  #admit(request: EdgeRequest): Resolved {
    if (REFUSED_METHODS.has(request.method))
      throw new PresageError('HTTP_MALFORMED', 'Method refused', { status: 405 });
    const resolved = this.#lookup.resolve(request.host, request.target, request.secure);
    if (request.via !== undefined && this.#ownVia.test(request.via))
      throw new PresageError('HTTP_MALFORMED', 'The request came back to us', { status: 508 });
    if (resolved.site.private && this.#context.deps.authorise?.(request, resolved.site) !== true)
      throw new PresageError('HTTP_FORBIDDEN');
    return resolved;
  }

  /** The common case, without a promise: a fresh stored response whose bytes are in memory. */
  #memoryHit(
    message: IncomingMessage,
    request: EdgeRequest,
    response: ServerResponse,
    resolved: Resolved,
  ): boolean {
    if (
      request.method !== 'GET' ||
      request.range !== undefined ||
      request.conditional ||
      !request.directives.empty
    )
      return false;
    const { deps, pop } = this.#context;
    const selected = this.#lookup.select(resolved, request.lines);
    if (selected?.standing !== 'valid') return false;
    const { stored } = selected;
    const now = deps.demand.now();
    if (!stored.fresh(now)) return false;
    const { replica } = stored;
    const bytes = deps.blobs.peek(replica.content);
    if (!bytes) return false;
    response.writeHead(replica.status, stored.freshHead(now, pop));
    response.end(bytes);
    deps.index.touch(replica);
    const sent = { status: replica.status, bytes: bytes.length, size: bytes.length };
    this.#observe(message, request, resolved, now, {
      ...sent,
      hit: 'hit',
      used: stored,
      setsCookie: stored.setsCookie,
    });
    return true;
  }

  async #serve(
    message: IncomingMessage,
    request: EdgeRequest,
    response: ServerResponse,
    resolved: Resolved,
  ): Promise<void> {
    const at = this.#context.deps.demand.now();
    const cacheable = request.method === 'GET' || request.method === 'HEAD';
    const answered = cacheable
      ? await this.#server.answer(message, request, response, resolved)
      : await changes(this.#context, this.#lookup, this.#fills, message, request, response, resolved);
    this.#observe(message, request, resolved, at, answered);
  }

  #observe(
    message: IncomingMessage,
    request: EdgeRequest,
    resolved: Resolved,
    at: number,
    answered: Answered,
  ): void {
    const client = this.#clients.of(message.socket);
    const replica = answered.used?.replica;
    let mirrored = false;
    if (replica && replica.source !== 'client' && !this.#used.has(replica)) {
      mirrored = true;
      this.#used.add(replica);
    }
    this.#context.deps.observe({
      key16: resolved.key16,
      key: resolved.key,
      site: resolved.site,
      region: client.region,
      clientPrefixHash: client.prefixHash,
      bytes: answered.bytes,
      size: answered.size,
      status: answered.status,
      hit: answered.hit,
      mirrored,
      at,
      shareable:
        !request.authorised &&
        !answered.setsCookie &&
        !resolved.signed &&
        (request.method === 'GET' || request.method === 'HEAD'),
      query: resolved.hasQuery,
    });
  }

  #refuse(message: IncomingMessage, response: ServerResponse, error: unknown): void {
    const failure = coded(error);
    const { deps, pop } = this.#context;
    deps.metrics.count('presage_edge_refused_total', { code: failure.code });
    if (failure.code === 'INTERNAL')
      deps.log.error('A request failed', { reason: failure.stack ?? failure.message });
    const { status } = failure.data;
    // A body that nobody reads would be taken for the next request.
    if (!message.complete) response.shouldKeepAlive = false;
    refuse(response, failure, pop, undefined, typeof status === 'number' ? status : undefined);
  }

  readonly #clientError = (error: NodeJS.ErrnoException, socket: Socket): void => {
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const code = tooLarge ? 'HTTP_TOO_LARGE' : 'HTTP_MALFORMED';
    // As Node's own handler does: once an answer has begun, anything else on the connection would corrupt it.
    const current = (socket as Socket & { _httpMessage?: ServerResponse })._httpMessage;
    if (error.code === 'ECONNRESET' || !socket.writable || current?.headersSent === true) {
      socket.destroy();
      return;
    }
    this.#context.deps.metrics.count('presage_edge_refused_total', { code });
    const status = tooLarge
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  };
}
