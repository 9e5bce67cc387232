import { chmodSync, mkdirSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as v from 'valibot';
import { coded, type ErrorCode, PresageError } from '../../protocol/errors.ts';
import type { Log } from '../../protocol/ports.ts';
import { type Endpoint, printEndpoint } from '../config-units.ts';
import { dashboardPage, type Page } from '../dashboard/page.ts';
import type { MetricsRegistry } from '../metrics.ts';
import { createDispatcher, type Dispatcher } from './dispatch.ts';
import { STREAMS_MAX, streamEvents } from './event-stream.ts';
import type { EventHub } from './events.ts';
import { authorised, openToken, refuseForeign } from './guard.ts';
import type { RpcMethod } from './method.ts';
import { openRpc } from './openrpc.ts';
import { clearSocket, socketPath } from './socket.ts';

/** Body of a call: a batch of observations fits, a file does not. */
const BODY_BYTES_MAX = 8 << 20;
const HEADER_BYTES_MAX = 8192;
const CONNECTIONS_MAX = 256;
/** A caller sends its request within this time; answers may take longer. */
const REQUEST_MS = 30_000;
const HEADERS_MS = 10_000;
/** Answers under way may finish within this time when the server closes. */
const CLOSE_MS = 500;

export interface Health {
  readonly ready: boolean;
  /** What is missing, each with its remedy, in words. */
  readonly lacks: readonly string[];
}

export interface RpcParts {
  readonly methods: readonly RpcMethod[];
  readonly events: EventHub;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  health(): Health;
}

export interface RpcOptions {
  /** Holds the socket and the token. */
  readonly dataDir: string;
  /** Loopback address besides the socket. */
  readonly listen?: Endpoint | undefined;
  /** Version of Presage, for `rpc.discover`. */
  readonly version: string;
  /** Static page at `/` of the loopback port; the dashboard by default. */
  readonly page?: Page;
}

export interface RpcServer {
  readonly socket: string;
  /** Base URL of the loopback port, if there is one. */
  readonly url: string | undefined;
  /** Ends all streams and calls, and removes the socket. */
  close(): Promise<void>;
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  RPC_UNAUTHORISED: 401,
  RPC_HOST: 403,
  RPC_METHOD: 404,
  RPC_TOO_LARGE: 413,
  RPC_PARAMS: 400,
  PEER_BUSY: 503,
};

/**
 * The local RPC: on the Unix socket, which its mode protects, and on a loopback port, where every request but the
 * one for the page carries the bearer token. Fails with `STORE_LOCKED` if another daemon uses the data directory.
 */
export async function createRpc(parts: RpcParts, options: RpcOptions): Promise<RpcServer> {
  const { log, metrics } = parts;
  const methods: RpcMethod[] = [...parts.methods];
  methods.push({
    name: 'rpc.discover',
    summary: 'The OpenRPC document of this interface.',
    params: v.strictObject({}),
    result: v.record(v.string(), v.unknown()),
    handler: () => openRpc(methods, options.version),
  });
  const dispatcher = createDispatcher(methods, (method, error) => {
    metrics.count('rpc_errors_total', { method, code: error.code });
    if (error.code === 'INTERNAL') log.error('a call failed', { method, error });
  });
  const routes = new Routes(parts, dispatcher);

  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const socket = socketPath(options.dataDir);
  await clearSocket(socket);
  const local = serve((request, response) => {
    refuseForeign(request, undefined);
    return routes.handle(request, response);
  }, routes);
  await listenPrivately(local, socket);

  const { listen } = options;
  let remote: Server | undefined;
  let url: string | undefined;
  if (listen) {
    try {
      const token = await openToken(options.dataDir);
      const page = options.page ?? dashboardPage();
      const server = serve((request, response) => {
        refuseForeign(request, (server.address() as AddressInfo).port);
        if (request.method === 'GET' && pathOf(request) === '/') {
          return reply(response, 200, page.html, 'text/html; charset=utf-8', {
            'content-security-policy': page.policy,
            'referrer-policy': 'no-referrer',
          });
        }
        if (!authorised(request, token)) throw new PresageError('RPC_UNAUTHORISED');
        return routes.handle(request, response);
      }, routes);
      await listenOn(server, listen);
      url = `http://${printEndpoint({ host: listen.host, port: (server.address() as AddressInfo).port })}`;
      remote = server;
    } catch (error) {
      await stop(local);
      throw error;
    }
  }

  return {
    socket,
    url,
    async close() {
      routes.close();
      await Promise.all([stop(local), ...(remote ? [stop(remote)] : [])]);
      await unlink(socket).catch(() => undefined);
    },
  };
}

/** What the server answers, whichever way a request came. */
class Routes {
  readonly #parts: RpcParts;
  readonly #dispatcher: Dispatcher;
  readonly #closing = new AbortController();

  constructor(parts: RpcParts, dispatcher: Dispatcher) {
    this.#parts = parts;
    this.#dispatcher = dispatcher;
  }

  close(): void {
    this.#closing.abort();
  }

  failed(response: ServerResponse, thrown: unknown): void {
    const error = coded(thrown);
    this.#parts.metrics.count('errors_total', { code: error.code });
    if (error.code === 'INTERNAL') this.#parts.log.error('an RPC request failed', { error });
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const status = STATUS[error.code] ?? 500;
    // What is left of a body that was refused is not read.
    const extra: Record<string, string> = { connection: 'close' };
    if (status === 401) extra['www-authenticate'] = 'Bearer realm="presage"';
    const message = error.code === 'INTERNAL' ? 'internal error' : error.message;
    reply(
      response,
      status,
      JSON.stringify({ code: error.code, message, remedy: error.remedy }),
      JSON_TYPE,
      extra,
    );
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { events, metrics } = this.#parts;
    const path = pathOf(request);
    switch (`${request.method} ${path}`) {
      case 'POST /rpc':
        return this.#call(request, response);
      case 'GET /events': {
        if (events.listeners >= STREAMS_MAX)
          throw new PresageError('PEER_BUSY', `${STREAMS_MAX} event streams are open`);
        const types = new URL(request.url ?? '/', 'http://local').searchParams.get('types') ?? '';
        streamEvents(request, response, events, types.split(',').filter(Boolean));
        const end = () => response.end();
        this.#closing.signal.addEventListener('abort', end);
        response.once('close', () => this.#closing.signal.removeEventListener('abort', end));
        return;
      }
      case 'GET /metrics':
        return reply(response, 200, await metrics.text(), metrics.contentType);
      case 'GET /healthz':
        return reply(response, 200, 'alive\n', 'text/plain; charset=utf-8');
      case 'GET /readyz': {
        const health = this.#parts.health();
        return reply(response, health.ready ? 200 : 503, JSON.stringify(health), JSON_TYPE);
      }
      default:
        throw new PresageError(
          'RPC_METHOD',
          `no ${request.method} ${path.slice(0, 100)}; see POST /rpc, GET /events`,
        );
    }
  }

  async #call(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, this.#closing.signal]);
    const body = await read(request);
    const started = performance.now();
    const answer = await this.#dispatcher.answer(body, { signal });
    this.#parts.metrics.observe('rpc_seconds', (performance.now() - started) / 1000);
    if (response.destroyed) return;
    if (answer === undefined) response.writeHead(204).end();
    else reply(response, 200, answer, JSON_TYPE);
  }
}

const JSON_TYPE = 'application/json; charset=utf-8';

const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0] ?? '/';

function reply(
  response: ServerResponse,
  status: number,
  body: string,
  type: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  response.end(body);
}

async function read(request: IncomingMessage): Promise<string> {
  const refuse = () => new PresageError('RPC_TOO_LARGE', `a call has at most ${BODY_BYTES_MAX} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw refuse();
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > BODY_BYTES_MAX) throw refuse();
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function serve(
  handler: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
  routes: Routes,
): Server {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => {
      response.on('error', () => undefined);
      void (async () => handler(request, response))().catch((error: unknown) =>
        routes.failed(response, error),
      );
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

/** The socket is created with mode 0600, so that there is no moment in which another user could connect. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const before = process.umask(0o177);
  let listening: Promise<void>;
  try {
    listening = once(server, () => server.listen(path), path);
  } finally {
    process.umask(before);
  }
  await listening;
  chmodSync(path, 0o600);
}

const listenOn = (server: Server, { host, port }: Endpoint): Promise<void> =>
  once(server, () => server.listen(port, host), `${host}:${port}`);

function once(server: Server, listen: () => void, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new PresageError('CONFIG_INVALID', `cannot listen on ${where}: ${error.message}`, { where }, error),
      ),
    );
    server.once('listening', () => resolve());
    listen();
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
