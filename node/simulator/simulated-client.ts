import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Edge } from '../http/edge.ts';

export interface ClientRequest {
  readonly host: string;
  /** Path and query. */
  readonly path: string;
  readonly method?: string;
  /** Raw header lines, `[name, value, …]`, beside Host. */
  readonly headers?: readonly string[];
  readonly address: string;
}

/** What a client got; a response that was cut is of no use to it. */
export interface ClientResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly whole: boolean;
}

/** As much of `ServerResponse` as the edge uses; the client takes all at once. */
class Sink extends EventEmitter {
  headersSent = false;
  writableFinished = false;
  destroyed = false;
  shouldKeepAlive = true;
  readonly writableNeedDrain = false;
  readonly #parts: Uint8Array[] = [];
  readonly #done: (response: ClientResponse) => void;
  #status = 200;
  #fields: readonly string[] = [];

  constructor(done: (response: ClientResponse) => void) {
    super();
    this.#done = done;
  }

  writeHead(status: number, fields: readonly string[] = []): this {
    this.headersSent = true;
    this.#status = status;
    this.#fields = fields;
    return this;
  }

  write(bytes: Uint8Array): boolean {
    this.headersSent = true;
    this.#parts.push(bytes);
    return true;
  }

  end(body?: Uint8Array | string): void {
    if (this.writableFinished || this.destroyed) return;
    if (body !== undefined) this.#parts.push(Buffer.from(body));
    this.headersSent = true;
    this.writableFinished = true;
    this.#finish(true);
  }

  destroy(): void {
    if (this.writableFinished || this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
    this.#finish(false);
  }

  writeProcessing(): void {
    // Interim responses are of no interest to these clients.
  }

  writeEarlyHints(): void {
    // As above.
  }

  #finish(whole: boolean): void {
    const headers = new Map<string, string>();
    for (let at = 0; at + 1 < this.#fields.length; at += 2)
      headers.set(this.#fields[at]!.toLowerCase(), this.#fields[at + 1]!);
    const body = Buffer.concat(this.#parts);
    const announced = headers.get('content-length');
    const fits = announced === undefined || this.#status === 304 || Number(announced) === body.length;
    this.#done({ status: this.#status, headers, body, whole: whole && fits });
  }
}

/** What stands for the connections of clients, by address: the edge looks a client up once a connection. */
export type Connections = Map<string, { readonly remoteAddress: string }>;

/** A request to the edge of a simulated PoP, past parser and socket. */
export function ask(edge: Edge, request: ClientRequest, connections: Connections): Promise<ClientResponse> {
  const { address } = request;
  const socket = connections.get(address) ?? { remoteAddress: address };
  connections.set(address, socket);
  return new Promise((resolve) => {
    const message = {
      method: request.method ?? 'GET',
      url: request.path,
      rawHeaders: ['Host', request.host, ...(request.headers ?? [])],
      httpVersion: '1.1',
      httpVersionMajor: 1,
      complete: true,
      readableEnded: true,
      socket,
    };
    edge.handle(message as unknown as IncomingMessage, new Sink(resolve) as unknown as ServerResponse);
  });
}
