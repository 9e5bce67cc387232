import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import { type Adopted, adopt } from './adopt.ts';
import type { Direct } from './direct.ts';
import { FileSend, type FileSendParts } from './file-send.ts';
import { readHead } from './head.ts';
import { LaneResponse } from './lane-response.ts';
import { HEADER_BYTES_MAX, HEADERS_TIMEOUT_MS } from './limits.ts';

/** A longer request is read anew each time, so that the memory of those that are known stays small. */
const KNOWN_BYTES_MAX = 1024;

/** A request as a lane gives it on: as much of Node's `IncomingMessage` as the edge uses. */
export interface LaneMessage
  extends Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders' | 'httpVersion' | 'httpVersionMajor'> {
  readonly complete: true;
  readonly readableEnded: true;
  readonly socket: Socket;
  /** All of it, as it came, if it is short and came by itself. */
  readonly text: string | undefined;
}

export interface LaneDeps {
  readonly handle: (message: IncomingMessage, response: ServerResponse) => void;
  /** Answers a request that has been answered before, if it knows this very text and the answer stands ready. */
  readonly again: (text: string, lane: Lane) => boolean;
  /** Sends past the stream, where it can be had. */
  readonly direct: Direct | undefined;
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
export class Lane {
  readonly socket: Socket;
  /** Lines that say that the connection stays, and for how long. */
  readonly persistence: string;
  readonly #deps: LaneDeps;
  readonly #adopted: Adopted;
  /** The response under way. */
  #response: LaneResponse | FileSend | undefined;
  /** Received and not read yet. */
  #rest: Buffer | undefined;
  #reading = false;
  #halfClosed = false;
  #closing = false;
  #begun = false;

  constructor(accepted: Socket, server: Server, deps: LaneDeps) {
    this.#deps = deps;
    this.#adopted = adopt(accepted, server, this.#received);
    const { socket } = this.#adopted;
    this.socket = socket;
    this.persistence = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(deps.clientTimeoutMs / 1000)}\r\n`;
    socket.setTimeout(Math.min(HEADERS_TIMEOUT_MS, deps.clientTimeoutMs));
    socket.on('end', this.#ended);
    socket.on('drain', this.#drained);
    socket.on('timeout', this.#late);
    socket.on('error', ignore);
    socket.on('close', this.#gone);
    socket.resume();
  }

  get direct(): Direct | undefined {
    return this.#deps.direct;
  }

  /** Closes the connection, after the response that is under way. */
  close(): void {
    this.#closing = true;
    if (!this.#response) this.socket.destroy();
  }

  /** The connection's descriptor, or -1 where it is not known or not open any more. */
  fd(): number {
    return this.#adopted.fd();
  }

  /** A whole response, head and body, that has been put together before. */
  sendWhole(wire: Buffer): void {
    this.send(wire);
    this.finished();
  }

  /** A response whose body is a file. */
  sendFile(head: Buffer, parts: FileSendParts): void {
    const sending = new FileSend(this, parts);
    this.#response = sending;
    this.send(head, true);
    sending.go();
  }

  /** The response is complete, and the next request may be read. */
  finished(): void {
    const { socket } = this;
    const last = this.#response?.shouldKeepAlive === false;
    this.#response = undefined;
    if (last || this.#closing) socket.destroySoon();
    else if (this.#halfClosed && !this.#rest) socket.end();
    // Who does not read what was asked for is not read from either.
    else if (!this.#reading && !socket.writableNeedDrain) this.#goOn();
  }

  /** To the system itself, if nothing waits before it, and what is left to the stream, whose word on room it gives. */
  send(bytes: Buffer, more = false): boolean {
    const { socket } = this;
    const { direct } = this.#deps;
    const fd = direct && socket.writableLength === 0 && !socket.writableEnded ? this.#adopted.fd() : -1;
    const taken = direct && fd >= 0 ? direct.send(fd, bytes, more) : 0;
    return taken === bytes.length || socket.write(taken === 0 ? bytes : bytes.subarray(taken));
  }

  readonly #received = (inbox: Buffer, length: number): void => {
    if (!this.#rest && !this.#response && !this.socket.writableNeedDrain) {
      const known = this.#begun && length <= KNOWN_BYTES_MAX && !this.socket.writableEnded;
      if (known && this.#again(inbox.toString('latin1', 0, length))) return;
      this.#rest = Buffer.from(inbox.subarray(0, length));
      this.#read();
      return;
    }
    const chunk = inbox.subarray(0, length);
    this.#rest = this.#rest ? Buffer.concat([this.#rest, chunk]) : Buffer.from(chunk);
    if (!this.#response && !this.socket.writableNeedDrain) this.#read();
    else if (this.#rest.length > HEADER_BYTES_MAX) this.socket.pause();
  };

  #again(text: string): boolean {
    this.#reading = true;
    const answered = this.#deps.again(text, this);
    this.#reading = false;
    return answered;
  }

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
      const whole = head.length === bytes.length;
      this.#rest = whole ? undefined : bytes.subarray(head.length);
      if (!this.#begun) {
        this.#begun = true;
        this.socket.setTimeout(this.#deps.clientTimeoutMs);
      }
      const response = new LaneResponse(this, head.method === 'HEAD');
      this.#response = response;
      const message: LaneMessage = {
        method: head.method,
        url: head.target,
        rawHeaders: head.raw,
        httpVersion: '1.1',
        httpVersionMajor: 1,
        complete: true,
        readableEnded: true,
        socket: this.socket,
        text: whole && bytes.length <= KNOWN_BYTES_MAX ? bytes.toString('latin1') : undefined,
      };
      this.#deps.handle(message as unknown as IncomingMessage, response as unknown as ServerResponse);
    }
    this.#reading = false;
  }

  #leave(bytes: Buffer): void {
    const { socket } = this;
    this.#rest = undefined;
    this.#adopted.leave();
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
