import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { readHead } from './head.ts';
import { type LaneHost, LaneResponse } from './lane-response.ts';
import { HEADER_BYTES_MAX, HEADERS_TIMEOUT_MS } from './limits.ts';

export interface LaneDeps {
  readonly handle: (message: IncomingMessage, response: ServerResponse) => void;
  /** Gives the connection to Node's server for good; it has read nothing of what it is given again. */
  readonly handOver: (bytes: Buffer) => void;
  /** A client that neither reads nor sends for this long is cut off, real ms. */
  readonly clientTimeoutMs: number;
}

/**
 * A connection of HTTP/1.1 on which plain GET and HEAD requests are read and answered without Node's parser and
 * response objects, which cost more than all the rest of a hit. At the first request of any other kind the connection
 * goes to Node's server. One request at a time; what a client sends ahead waits.
 */
export class Lane implements LaneHost {
  readonly socket: Socket;
  readonly persistence: string;
  readonly #deps: LaneDeps;
  /** The response under way. */
  #response: LaneResponse | undefined;
  /** Received and not read yet. */
  #rest: Buffer | undefined;
  #reading = false;
  #halfClosed = false;
  #closing = false;
  #begun = false;

  constructor(socket: Socket, deps: LaneDeps) {
    this.socket = socket;
    this.#deps = deps;
    this.persistence = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(deps.clientTimeoutMs / 1000)}\r\n`;
    socket.setTimeout(Math.min(HEADERS_TIMEOUT_MS, deps.clientTimeoutMs));
    socket.on('data', this.#received);
    socket.on('end', this.#ended);
    socket.on('drain', this.#drained);
    socket.on('timeout', this.#late);
    socket.on('error', ignore);
    socket.on('close', this.#gone);
  }

  /** Closes the connection, after the response that is under way. */
  close(): void {
    this.#closing = true;
    if (!this.#response) this.socket.destroy();
  }

  finished(): void {
    const { socket } = this;
    const last = this.#response?.shouldKeepAlive === false;
    this.#response = undefined;
    if (last || this.#closing) socket.destroySoon();
    else if (this.#halfClosed && !this.#rest) socket.end();
    // Who does not read what was asked for is not read from either.
    else if (!this.#reading && !socket.writableNeedDrain) this.#goOn();
  }

  readonly #received = (chunk: Buffer): void => {
    this.#rest = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    if (!this.#response && !this.socket.writableNeedDrain) this.#read();
    else if (this.#rest.length > HEADER_BYTES_MAX) this.socket.pause();
  };

  #goOn(): void {
    if (this.socket.isPaused()) this.socket.resume();
    if (this.#rest) this.#read();
  }

  /** Answers what has come, until a response takes its time or Node's server takes over. */
  #read(): void {
    this.#reading = true;
    while (this.#rest && !this.#response && !this.socket.writableNeedDrain && !this.socket.writableEnded) {
      const bytes = this.#rest;
      const head = readHead(bytes);
      if (!head) {
        this.#leave(bytes);
        return;
      }
      this.#rest = head.length === bytes.length ? undefined : bytes.subarray(head.length);
      if (!this.#begun) {
        this.#begun = true;
        this.socket.setTimeout(this.#deps.clientTimeoutMs);
      }
      const response = new LaneResponse(this, head.method === 'HEAD');
      this.#response = response;
      const message = {
        method: head.method,
        url: head.target,
        rawHeaders: head.raw,
        httpVersion: '1.1',
        httpVersionMajor: 1,
        complete: true,
        readableEnded: true,
        socket: this.socket,
      };
      this.#deps.handle(message as unknown as IncomingMessage, response as unknown as ServerResponse);
    }
    this.#reading = false;
  }

  #leave(bytes: Buffer): void {
    const { socket } = this;
    this.#rest = undefined;
    socket.off('data', this.#received);
    socket.off('end', this.#ended);
    socket.off('drain', this.#drained);
    socket.off('timeout', this.#late);
    socket.off('error', ignore);
    socket.off('close', this.#gone);
    // The end of the stream was heard here: Node's server would wait for it.
    if (this.#halfClosed) socket.destroy();
    else this.#deps.handOver(bytes);
  }

  readonly #ended = (): void => {
    this.#halfClosed = true;
    if (!this.#response && !this.#rest) this.socket.end();
  };

  readonly #drained = (): void => {
    if (this.#response) this.#response.emit('drain');
    else this.#goOn();
  };

  readonly #late = (): void => void this.socket.destroy();

  readonly #gone = (): void => {
    const response = this.#response;
    this.#response = undefined;
    this.#rest = undefined;
    response?.emit('close');
  };
}

const ignore = (): void => undefined;
