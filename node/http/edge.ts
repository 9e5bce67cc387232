import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Site } from '../../protocol/charter.ts';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { ResourceKey } from '../../protocol/ids.ts';
import type { FetchTicket, Replica, ReplicaSource } from '../../protocol/replica.ts';
import { boundedCache } from '../bounded-cache.ts';
import { admitPrivate } from './access/access.ts';
import type { Answered } from './answered.ts';
import { Directives } from './caching/directives.ts';
import { COMMON_ENCODINGS, type RequestLines } from './caching/vary.ts';
import type { EdgeTls } from './certificates.ts';
import { type Client, Clients } from './client.ts';
import {
  EDGE_DEFAULTS,
  EdgeContext,
  type EdgeDependencies,
  type EdgeOptions,
  type Resolved,
} from './context.ts';
import { openDirect } from './direct.ts';
import { type DoorDeps, type Listening, openDoor } from './door.ts';
import { Fills } from './fills.ts';
import { hostName } from './key.ts';
import type { Lane, LaneMessage } from './lane.ts';
import { Lookup } from './lookup.ts';
import { MemoryHits } from './memory-hits.ts';
import { refuse } from './refusal.ts';
import { EdgeRequest } from './request.ts';
import { Server } from './serve.ts';
import { changes } from './unsafe.ts';

/** Methods that no client of a cache needs: they mirror, tunnel or purge. */
const REFUSED_METHODS = new Set(['TRACE', 'TRACK', 'CONNECT', 'PURGE']);

/** Requests that are known word for word, some 2 KB each. */
const REQUESTS_MAX = 2_048;

/** As much of a TLS connection as a request looks at. */
const SECURE = { encrypted: true };

interface Known {
  readonly request: EdgeRequest;
  readonly resolved: Resolved;
}

export interface Edge {
  /**
   * Serves HTTP/1.1 on an address; where a certificate is given, HTTP/2 and HTTP/1.1 over TLS. Port 0 chooses one.
   */
  listen(host: string, port: number, tls?: EdgeTls): Promise<Listening>;
  /** Answers one request, whoever has read it. */
  readonly handle: (message: IncomingMessage, response: ServerResponse) => void;
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

class HttpEdge implements Edge {
  readonly #context: EdgeContext;
  readonly #lookup: Lookup;
  readonly #fills: Fills;
  readonly #server: Server;
  readonly #clients: Clients;
  readonly #used = new WeakSet<Replica>();
  readonly #hits: MemoryHits;
  readonly #requests = boundedCache<string, Known>(REQUESTS_MAX);
  readonly #doors = new Set<Listening>();
  readonly #ownVia: RegExp;

  constructor(context: EdgeContext) {
    this.#context = context;
    this.#lookup = new Lookup(context);
    this.#fills = new Fills(context);
    this.#server = new Server(context, this.#lookup, this.#fills);
    this.#hits = new MemoryHits(context, this.#lookup, (client, request, resolved, at, answered) =>
      this.#observe(client, request, resolved, at, answered),
    );
    this.#clients = new Clients(context.deps.regionOf, context.deps.clientKey);
    const name = context.via.slice(4).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    this.#ownVia = new RegExp(`(?:^|,)\\s*[\\w./]+ ${name}\\s*(?:,|$)`);
  }

  async listen(host: string, port: number, tls?: EdgeTls): Promise<Listening> {
    const { options, deps } = this.#context;
    const { clientTimeoutMs, maxConnections } = options;
    const direct = options.direct === 'off' ? undefined : await openDirect();
    const door = await openDoor(
      { host, port, tls, clientTimeoutMs, maxConnections, direct },
      {
        clock: deps.clock,
        handle: this.handle,
        again: this.#again,
        onStream: this.#onStream,
        refused: (code) => deps.metrics.count('presage_edge_refused_total', { code }),
      },
    );
    this.#doors.add(door);
    return door;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#doors].map((door) => door.close()));
    this.#doors.clear();
    await this.#fills.stored();
    this.#hits.close();
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
    const lines: RequestLines = (name) => (name === 'accept-encoding' ? [COMMON_ENCODINGS] : []);
    const resolved = {
      ...{ site, host, name: hostName(host), key, key16: ticket.key16 },
      ...{ path, hasQuery: path.includes('?'), signed: false },
    };
    const { fill, leader } = this.#fills.join({
      ...{ resolved, lines },
      headers: [
        ['accept', '*/*'],
        ['accept-encoding', COMMON_ENCODINGS],
        ['via', via],
        ['x-forwarded-host', host],
      ],
      authorised: false,
      directives: Directives.NONE,
      // What a soft purge has made stale is confirmed, not fetched anew.
      stored: this.#lookup.select(resolved, lines)?.stored,
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

  readonly handle = (message: IncomingMessage, response: ServerResponse): void => {
    let request: EdgeRequest;
    let resolved: Resolved;
    try {
      request = new EdgeRequest(message);
      resolved = this.#admit(request);
    } catch (error) {
      this.#refuse(message, response, error);
      return;
    }
    if (this.#hits.answer(this.#clients.of(message), request, response, resolved)) {
      const { text } = message as Partial<LaneMessage>;
      if (text !== undefined) this.#remember(text, request, resolved);
      return;
    }
    this.#serve(message, request, response, resolved).catch((error) =>
      this.#refuse(message, response, error),
    );
  };

  /**
   * A request that says the same word for word is the same request. Where leave to ask is given to each request, by a
   * signature or a token, it is asked for each time.
   */
  #remember(text: string, request: EdgeRequest, resolved: Resolved): void {
    if (!resolved.site.private && !request.authorised && !resolved.signed)
      this.#requests.set(text, { request, resolved });
  }

  readonly #again = (text: string, lane: Lane): boolean => {
    const known = this.#requests.get(text);
    if (!known) return false;
    const { request, resolved } = known;
    if (!this.#lookup.stands(resolved)) {
      this.#requests.delete(text);
      return false;
    }
    return this.#hits.again(lane, this.#clients.ofConnection(lane.socket), request, resolved);
  };

  readonly #onStream: DoorDeps['onStream'] = (stream, method, url, rawHeaders) => {
    const { session } = stream;
    if (!session || stream.destroyed) return false;
    try {
      const message = { method, url, rawHeaders, httpVersionMajor: 2, socket: SECURE };
      const request = new EdgeRequest(message as unknown as IncomingMessage);
      const resolved = this.#admit(request);
      const client = this.#clients.ofConnection(session);
      return this.#hits.onStream(stream, client, request, resolved);
    } catch (error) {
      // Whoever takes the request next comes to the same, and says so.
      if (!stream.headersSent) return false;
      const failure = coded(error);
      this.#context.deps.metrics.count('presage_edge_refused_total', { code: failure.code });
      this.#context.deps.log.error('A request failed', { reason: failure.stack ?? failure.message });
      stream.destroy();
      return true;
    }
  };

  /** Site, key and leave for a request; throws the reason of a refusal. */
  #admit(request: EdgeRequest): Resolved {
    if (REFUSED_METHODS.has(request.method))
      throw new PresageError('HTTP_MALFORMED', 'Method refused', { status: 405 });
    const resolved = this.#lookup.resolve(request.host, request.target, request.secure);
    if (request.via !== undefined && this.#ownVia.test(request.via))
      throw new PresageError('HTTP_MALFORMED', 'The request came back to us', { status: 508 });
    if (resolved.site.private)
      admitPrivate(request, resolved, this.#context.options.name, this.#context.deps.clock.now());
    return resolved;
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
    this.#observe(this.#clients.of(message), request, resolved, at, answered);
  }

  #observe(client: Client, request: EdgeRequest, resolved: Resolved, at: number, answered: Answered): void {
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
    if (!message.complete && !message.readableEnded && message.httpVersionMajor === 1)
      response.shouldKeepAlive = false;
    try {
      refuse(response, failure, pop, undefined, typeof status === 'number' ? status : undefined);
    } catch {
      // What was to be answered is no answer, and stands in the way of any other.
      response.destroy();
    }
  }
}
