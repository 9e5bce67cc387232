import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock } from '../../protocol/ports.ts';
import { Certificates, contextOptions, type EdgeTls } from './certificates.ts';
import type { Direct } from './direct.ts';
import { Lane, type LaneDeps } from './lane.ts';
import { HEADER_BYTES_MAX, HEADERS_TIMEOUT_MS, REQUEST_TIMEOUT_MS } from './limits.ts';

/** How often those two are enforced. */
const CHECKING_INTERVAL_MS = 2_000;
/** Streams at a time on one HTTP/2 connection, as browsers expect. */
const STREAMS_MAX = 128;
/** Memory of one HTTP/2 connection, MB: headers, buffered frames. */
const SESSION_MEMORY_MB = 4;
/** What answers under way get when the door closes, real ms. */
const CLOSING_MS = 1_000;

export interface DoorOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: EdgeTls | undefined;
  /** A client that neither reads nor sends for this long is cut off, real ms. */
  readonly clientTimeoutMs: number;
  readonly maxConnections: number;
  /** Sends answers from memory past Node's streams, where it can be had. */
  readonly direct: Direct | undefined;
}

export interface DoorDeps {
  readonly clock: Clock;
  /** Requests of HTTP/2 come in the same shape as those of HTTP/1.1. */
  readonly handle: (message: IncomingMessage, response: ServerResponse) => void;
  /** Answers a request of HTTP/2 without a body from memory; false if it does not, and nothing was sent. */
  readonly onStream: (stream: ServerHttp2Stream, method: string, url: string, raw: string[]) => boolean;
  /** See `LaneDeps`. */
  readonly again: LaneDeps['again'];
  /** Hears what was refused before it became a request. */
  readonly refused: (code: 'HTTP_MALFORMED' | 'HTTP_TOO_LARGE') => void;
}

export interface Listening {
  /** `HOST:PORT`, an IPv6 host in brackets. */
  readonly address: string;
  readonly port: number;
  /** Takes renewed certificates for the connections to come. Nothing where TLS was not asked for. */
  renew(tls: EdgeTls): void;
  close(): Promise<void>;
}

/** Listens for HTTP/1.1, or over TLS 1.2 and 1.3 for HTTP/2 and HTTP/1.1 as ALPN chooses. */
export async function openDoor(options: DoorOptions, deps: DoorDeps): Promise<Listening> {
  const limits = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECKING_INTERVAL_MS,
    keepAliveTimeout: options.clientTimeoutMs,
    // Requests without a body, which are nearly all, then cost no stream events: some 15 % of a hit.
    optimizeEmptyRequests: true,
    // A missing Host is answered by us, with a coded reason.
    requireHostHeader: false,
  };
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const lanes = new Set<Lane>();
  const secure = options.tls && secureServer(limits, options.tls, sessions, deps);
  const opened = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const server: Server | Http2SecureServer =
    secure?.server ?? plainServer(limits, lanes, opened, options, deps);
  if (secure) secure.server.on('connection', opened);
  server.maxConnections = options.maxConnections;
  server.setTimeout(options.clientTimeoutMs);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    answerBroken(error, socket, deps),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address() as AddressInfo;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    address: `${host}:${bound.port}`,
    port: bound.port,
    renew: (tls) => secure?.renew(tls),
    close: async () => {
      // Answers under way get a moment; then the connections are cut.
      const calledOff = deps.clock.after(CLOSING_MS, () => {
        for (const socket of sockets) socket.destroy();
      });
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ('closeIdleConnections' in server) server.closeIdleConnections();
        for (const lane of lanes) lane.close();
        for (const session of sessions) session.close();
      });
      calledOff();
    },
  };
}

/** A server of Node's whose connections begin in a lane and come to it when they need it. */
function plainServer(
  limits: object,
  lanes: Set<Lane>,
  opened: (socket: Socket) => void,
  options: DoorOptions,
  deps: DoorDeps,
): Server {
  const server = createServer(limits, deps.handle);
  const [accept] = server.listeners('connection') as [(this: Server, socket: Socket) => void];
  server.removeAllListeners('connection');
  server.on('connection', (accepted: Socket) => {
    const lane = new Lane(accepted, server, {
      handle: deps.handle,
      again: deps.again,
      direct: options.direct,
      clientTimeoutMs: options.clientTimeoutMs,
      handOver: (bytes) => {
        lanes.delete(lane);
        accept.call(server, lane.socket);
        lane.socket.emit('data', bytes);
      },
    });
    opened(lane.socket);
    lanes.add(lane);
    lane.socket.once('close', () => lanes.delete(lane));
  });
  return server;
}

function secureServer(
  limits: object,
  tls: EdgeTls,
  sessions: Set<ServerHttp2Session>,
  deps: DoorDeps,
): { server: Http2SecureServer; renew: (tls: EdgeTls) => void } {
  let certificates = new Certificates(tls);
  const server = createSecureServer(
    {
      ...limits,
      ...contextOptions(tls),
      // A name that we have no certificate for gets the one that stands first.
      SNICallback: (name, chosen) => chosen(null, certificates.of(name)),
      allowHTTP1: true,
      maxSessionMemory: SESSION_MEMORY_MB,
      // An origin may say twice what may be said but once; clients of HTTP/1.1 get it as it is too.
      strictSingleValueFields: false,
      settings: { maxConcurrentStreams: STREAMS_MAX, maxHeaderListSize: HEADER_BYTES_MAX, enablePush: false },
    },
    (message, response) => {
      if (message.httpVersionMajor === 2) adapt(response);
      deps.handle(message as unknown as IncomingMessage, response as unknown as ServerResponse);
    },
  );
  // What is not answered at once goes to Node's request and response objects.
  const [further] = server.listeners('stream') as [(...heard: StreamHeard) => void];
  server.removeAllListeners('stream');
  server.on('stream', (...heard: StreamHeard) => {
    const [stream, { ':method': method, ':path': path }, flags, raw] = heard;
    if (method === 'GET' && path !== undefined && (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) {
      stream.on('error', ignore);
      if (deps.onStream(stream, method, path, raw)) return;
      stream.off('error', ignore);
    }
    further(...heard);
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  // A broken session ends by itself; without a listener its error would end the process.
  server.on('sessionError', () => deps.refused('HTTP_MALFORMED'));
  return {
    server,
    renew: (next) => {
      certificates = new Certificates(next);
      server.setSecureContext(contextOptions(next));
    },
  };
}

type StreamHeard = [stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]];
const ignore = (): void => undefined;

/** What the answers of HTTP/2 lack of those of HTTP/1.1, as far as the edge uses it. */
function adapt(response: Http2ServerResponse<Http2ServerRequest>): void {
  const { stream } = response;
  stream.on('error', () => undefined);
  Object.defineProperties(response, {
    destroyed: { get: () => stream.destroyed },
    writeProcessing: { value: () => undefined },
  });
}

/** Input that never became a request: answered where that is safe, else cut off. */
function answerBroken(error: NodeJS.ErrnoException, socket: Socket, deps: DoorDeps): void {
  // As Node's own handler does: once an answer has begun, anything else on the connection would corrupt it.
  const current = (socket as Socket & { _httpMessage?: ServerResponse })._httpMessage;
  if (error.code === 'ECONNRESET' || !socket.writable || current?.headersSent === true) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  deps.refused(tooLarge ? 'HTTP_TOO_LARGE' : 'HTTP_MALFORMED');
  const status = tooLarge
    ? '431 Request Header Fields Too Large'
    : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
