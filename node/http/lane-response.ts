import { EventEmitter } from 'node:events';
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http';
import type { Lane } from './lane.ts';

/** A body of this length at most is copied behind its head, so that both go in one call. */
const JOINED_MAX = 64 * 1024;

const bodiless = (status: number): boolean => status === 204 || status === 304 || status < 200;

/** Status line, fields and how long the connection lasts, without the empty line. Throws on what no header may hold. */
export function headText(status: number, fields: readonly string[], persistence: string): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${fieldLines(fields)}${persistence}`;
}

function fieldLines(fields: readonly string[]): string {
  let text = '';
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at]!;
    const value = fields[at + 1]!;
    validateHeaderName(name);
    validateHeaderValue(name, value);
    text += `${name}: ${value}\r\n`;
  }
  return text;
}

const flat = (fields: Readonly<Record<string, string | readonly string[]>>): string[] =>
  Object.entries(fields).flatMap(([name, value]) => [value].flat().flatMap((each) => [name, each]));

/**
 * A response to a request that a lane has read: as much of Node's `ServerResponse` as the edge uses, framed by
 * RFC 9112 §6: by Content-Length where it is given, chunked where not, without a body where there can be none.
 */
export class LaneResponse {
  headersSent = false;
  writableFinished = false;
  /** False: the connection is closed after this response. */
  shouldKeepAlive = true;
  readonly #host: Lane;
  readonly #toHead: boolean;
  /** Head that waits for the first bytes of the body, to go out with them. */
  #head = '';
  #silent = false;
  #chunked = false;
  #trailers = '';
  /** Bytes of the announced length that are still to come. */
  #left: number | undefined;
  #events: EventEmitter | undefined;

  constructor(host: Lane, toHead: boolean) {
    this.#host = host;
    this.#toHead = toHead;
  }

  /** The connection that it goes out on. */
  get lane(): Lane {
    return this.#host;
  }
  get destroyed(): boolean {
    return this.#host.socket.destroyed;
  }
  get writableNeedDrain(): boolean {
    return this.#host.socket.writableNeedDrain;
  }

  writeHead(status: number, fields: readonly string[] = []): this {
    if (this.headersSent) throw new Error('The head was sent before');
    let dated = false;
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const name = fields[at]!;
      if (name.length === 4 && name.toLowerCase() === 'date') dated = true;
      else if (name.length === 14 && name.toLowerCase() === 'content-length')
        this.#left = Number(fields[at + 1]);
    }
    this.#silent = this.#toHead || bodiless(status);
    this.#chunked = !this.#silent && this.#left === undefined;
    const persistence = this.shouldKeepAlive ? this.#host.persistence : 'Connection: close\r\n';
    const date = dated ? '' : `Date: ${new Date().toUTCString()}\r\n`;
    const framing = this.#chunked ? 'Transfer-Encoding: chunked\r\n' : '';
    this.#head = `${headText(status, fields, persistence)}${date}${framing}\r\n`;
    this.headersSent = true;
    return this;
  }

  write(bytes: Uint8Array): boolean {
    const { socket } = this.#host;
    if (socket.destroyed || this.writableFinished) return false;
    if (this.#silent || bytes.length === 0) return this.#flush();
    if (this.#left !== undefined) {
      this.#left -= bytes.length;
      if (this.#left < 0) {
        // More than was announced would be taken for the next response.
        socket.destroy();
        return false;
      }
    }
    if (!this.#chunked) {
      if (this.#head === '') return socket.write(bytes);
      if (bytes.length <= JOINED_MAX) {
        const head = Buffer.from(this.#head, 'latin1');
        this.#head = '';
        return this.#host.send(Buffer.concat([head, bytes]));
      }
    }
    socket.cork();
    this.#flush();
    if (this.#chunked) socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1');
    let more = socket.write(bytes);
    if (this.#chunked) more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  end(body?: Uint8Array | string): void {
    const { socket } = this.#host;
    if (this.writableFinished) return;
    if (!this.headersSent)
      this.writeHead(200, ['content-length', String(body === undefined ? 0 : Buffer.byteLength(body))]);
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    if (this.#chunked) {
      socket.cork();
      if (bytes) this.write(bytes);
      this.#flush();
      socket.write(`0\r\n${this.#trailers}\r\n`, 'latin1');
      socket.uncork();
    } else {
      if (bytes) this.write(bytes);
      this.#flush();
    }
    this.writableFinished = true;
    // Less than was announced would leave the client waiting for the rest.
    if (!this.#silent && this.#left !== undefined && this.#left > 0) socket.destroy();
    else this.#host.finished();
  }

  /** Fields to follow the body; left out where it is not chunked, as Node does. */
  addTrailers(trailers: Readonly<Record<string, string | readonly string[]>>): void {
    this.#trailers = fieldLines(flat(trailers));
  }

  /** Cuts the connection, so that nobody takes part of a body for the whole. */
  destroy(): void {
    this.#host.socket.destroy();
  }

  writeProcessing(): void {
    if (!this.headersSent) this.#host.socket.write('HTTP/1.1 102 Processing\r\n\r\n', 'latin1');
  }

  writeEarlyHints(hints: Readonly<Record<string, string | readonly string[]>>): void {
    if (this.headersSent) return;
    this.#host.socket.write(`${headText(103, flat(hints), '')}\r\n`, 'latin1');
  }

  on(event: 'drain' | 'close', listener: () => void): this {
    this.#events ??= new EventEmitter();
    this.#events.on(event, listener);
    return this;
  }
  once(event: 'drain' | 'close', listener: () => void): this {
    this.#events ??= new EventEmitter();
    this.#events.once(event, listener);
    return this;
  }
  off(event: 'drain' | 'close', listener: () => void): this {
    this.#events?.off(event, listener);
    return this;
  }
  emit(event: 'drain' | 'close'): void {
    this.#events?.emit(event);
  }

  #flush(): boolean {
    if (this.#head === '') return !this.#host.socket.writableNeedDrain;
    const head = this.#head;
    this.#head = '';
    if (this.#chunked) return this.#host.socket.write(head, 'latin1');
    return this.#host.send(Buffer.from(head, 'latin1'));
  }
}
