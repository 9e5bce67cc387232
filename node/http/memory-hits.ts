import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { CHUNK_BYTES } from '../../protocol/ports.ts';
import type { Answered } from './answered.ts';
import { evaluate, type Precondition } from './caching/validators.ts';
import type { Client } from './client.ts';
import type { EdgeContext, Resolved } from './context.ts';
import type { Lane } from './lane.ts';
import { LaneResponse } from './lane-response.ts';
import type { Lookup } from './lookup.ts';
import type { EdgeRequest } from './request.ts';
import type { StoredResponse } from './stored.ts';
import { Wires } from './wires.ts';

/** Hears of an answer once all of it has been handed on. */
export type Told = (
  client: Client,
  request: EdgeRequest,
  resolved: Resolved,
  at: number,
  answered: Answered,
) => void;

/** The common case, without a promise: a fresh stored response whose bytes are in memory. */
export class MemoryHits {
  readonly #context: EdgeContext;
  readonly #lookup: Lookup;
  readonly #wires: Wires;
  readonly #told: Told;

  constructor(context: EdgeContext, lookup: Lookup, told: Told) {
    this.#context = context;
    this.#lookup = lookup;
    this.#wires = new Wires(context.pop);
    this.#told = told;
  }

  close(): void {
    this.#wires.clear();
  }

  /** Answers if it can; false if nothing was sent. */
  answer(client: Client, request: EdgeRequest, response: ServerResponse, resolved: Resolved): boolean {
    const { deps, pop } = this.#context;
    const now = deps.demand.now();
    const stored = this.#select(request, resolved, now);
    if (!stored) return false;
    if (
      response instanceof LaneResponse &&
      this.#ready(response.lane, client, request, resolved, stored, now)
    )
      return true;
    if (request.conditional) {
      const verdict = this.#verdict(request, stored);
      if (verdict === 'failed') return false;
      if (verdict === 'not-modified') {
        response.writeHead(304, stored.freshShortHead(now, pop)).end();
        this.#tell(client, request, resolved, stored, now, 304, 0);
        return true;
      }
    }
    const { replica } = stored;
    const bytes = deps.blobs.peek(replica.content);
    if (!bytes || bytes.length > CHUNK_BYTES) return false;
    response.writeHead(replica.status, stored.freshHead(now, pop)).end(bytes);
    this.#tell(client, request, resolved, stored, now, replica.status, bytes.length);
    return true;
  }

  /** Answers a request that was read before, if the answer stands ready. */
  again(lane: Lane, client: Client, request: EdgeRequest, resolved: Resolved): boolean {
    const now = this.#context.deps.demand.now();
    const stored = this.#select(request, resolved, now);
    return stored !== undefined && this.#ready(lane, client, request, resolved, stored, now);
  }

  /** The same on a stream of HTTP/2, without Node's request and response objects, which cost as much as all the rest. */
  onStream(stream: ServerHttp2Stream, client: Client, request: EdgeRequest, resolved: Resolved): boolean {
    const { deps, pop } = this.#context;
    const now = deps.demand.now();
    const stored = this.#select(request, resolved, now);
    if (!stored) return false;
    const { replica } = stored;
    const verdict = request.conditional ? this.#verdict(request, stored) : 'proceed';
    if (verdict === 'failed') return false;
    if (verdict === 'not-modified') {
      const head = headersOf(304, stored.freshShortHead(now, pop));
      stream.respond(head, { endStream: true });
      this.#tell(client, request, resolved, stored, now, 304, 0);
      return true;
    }
    const bytes = deps.blobs.peek(replica.content);
    if (!bytes || bytes.length > CHUNK_BYTES) return false;
    stream.respond(headersOf(replica.status, stored.freshHead(now, pop)));
    stream.end(bytes);
    this.#tell(client, request, resolved, stored, now, replica.status, bytes.length);
    return true;
  }

  #select(request: EdgeRequest, resolved: Resolved, now: number): StoredResponse | undefined {
    if (request.method !== 'GET' || request.range !== undefined || !request.directives.empty)
      return undefined;
    const own = this.#lookup.select(resolved, request.lines);
    if (own?.standing === 'valid' && own.stored.fresh(now)) return own.stored;
    return this.#lookup.represented(resolved, request.lines, now)?.stored;
  }

  /** Sends what stands ready in the form in which it goes out. */
  #ready(
    lane: Lane,
    client: Client,
    request: EdgeRequest,
    resolved: Resolved,
    stored: StoredResponse,
    now: number,
  ): boolean {
    const { deps, options } = this.#context;
    const { persistence, direct } = lane;
    if (request.conditional) {
      const verdict = this.#verdict(request, stored);
      if (verdict === 'failed') return false;
      if (verdict === 'not-modified') {
        const wire = this.#wires.notModified(stored, now, persistence);
        if (!wire) return false;
        lane.sendWhole(wire);
        this.#tell(client, request, resolved, stored, now, 304, 0);
        return true;
      }
    }
    const { replica } = stored;
    const body = deps.blobs.peek(replica.content);
    if (!body) return false;
    const large = direct && this.#wires.large(stored, now, body, persistence, direct);
    if (large) {
      const { head, file } = large;
      const sent = (bytes: number) =>
        this.#tell(client, request, resolved, stored, now, replica.status, bytes);
      lane.sendFile(head, { direct, file, body, patienceMs: options.clientTimeoutMs, sent });
      return true;
    }
    const wire = this.#wires.of(stored, now, body, persistence);
    if (!wire) return false;
    lane.sendWhole(wire);
    this.#tell(client, request, resolved, stored, now, replica.status, body.length);
    return true;
  }

  #verdict(request: EdgeRequest, stored: StoredResponse): Precondition {
    const { judged } = request;
    if (judged?.stored === stored) return judged.verdict;
    const { conditions } = request;
    const verdict = evaluate(
      conditions,
      stored.replica.status,
      stored.headers,
      this.#context.deps.clock.now(),
    );
    // A date with two digits for its year may come to mean another; tags mean the same for ever.
    if (conditions.ifNoneMatch !== undefined && conditions.ifUnmodifiedSince === undefined)
      request.judged = { stored, verdict };
    return verdict;
  }

  #tell(
    client: Client,
    request: EdgeRequest,
    resolved: Resolved,
    stored: StoredResponse,
    now: number,
    status: number,
    bytes: number,
  ): void {
    stored.usedAt = now;
    this.#context.deps.index.touch(stored.replica);
    this.#told(client, request, resolved, now, {
      status,
      bytes,
      hit: 'hit',
      size: stored.replica.size,
      used: stored,
      setsCookie: stored.setsCookie,
    });
  }
}

/** Fields that are of a connection of HTTP/1.1, and that a message of HTTP/2 must not have (RFC 9113 §8.2.2). */
const OF_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** Fields as a stream of HTTP/2 takes them; those that come more than once as lists. */
function headersOf(status: number, fields: readonly string[]): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ':status': status };
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at]!;
    if (OF_CONNECTION.has(name)) continue;
    const before = headers[name];
    headers[name] = before === undefined ? fields[at + 1] : [before, fields[at + 1]!].flat().map(String);
  }
  return headers;
}
