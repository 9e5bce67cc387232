import type { Socket } from 'node:net';
import type { Direct, MemoryFile } from './direct.ts';

/** What waits in the stream while the system takes no more, bytes: enough for the stream to say when it is gone. */
const PIECE_BYTES = 64 * 1024;

export interface FileSendHost {
  readonly socket: Socket;
  /** The connection's descriptor, or -1. */
  fd(): number;
  finished(): void;
}

export interface FileSendParts {
  readonly direct: Direct;
  readonly file: MemoryFile;
  /** The bytes of the file. */
  readonly body: Uint8Array;
  /** How long the client may take for one piece, real ms. */
  readonly patienceMs: number;
  /** Hears once how many bytes were handed on. */
  readonly sent: (bytes: number) => void;
}

/**
 * A body that goes out from a file of memory: the system takes what it has room for, then a piece waits in the stream,
 * and when that is gone the system is asked again. A client that reads nothing is cut off.
 */
export class FileSend {
  readonly shouldKeepAlive = true;
  readonly #host: FileSendHost;
  readonly #parts: FileSendParts;
  #at = 0;
  #late: NodeJS.Timeout | undefined;
  #over = false;

  constructor(host: FileSendHost, parts: FileSendParts) {
    this.#host = host;
    this.#parts = parts;
    parts.file.hold();
  }

  go(): void {
    const { socket } = this.#host;
    const { direct, file, body, patienceMs } = this.#parts;
    while (this.#at < file.size && !this.#over) {
      const fd = socket.writableLength === 0 ? this.#host.fd() : -1;
      if (fd >= 0) this.#at += direct.sendFile(fd, file, this.#at);
      if (this.#at >= file.size) break;
      const piece = body.subarray(this.#at, this.#at + PIECE_BYTES);
      this.#at += piece.length;
      if (!socket.write(piece) && this.#at < file.size) {
        this.#late = setTimeout(() => socket.destroy(), patienceMs);
        return;
      }
    }
    this.#end(true);
  }

  emit(event: 'drain' | 'close'): void {
    clearTimeout(this.#late);
    if (event === 'drain') this.go();
    else this.#end(false);
  }

  #end(whole: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.file.release();
    this.#parts.sent(this.#at);
    if (whole) this.#host.finished();
  }
}
