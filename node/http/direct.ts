import {
  AF_UNIX,
  loadSystemCalls,
  MFD_CLOEXEC,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  type SystemCalls,
} from '../adapters/system-calls.ts';

/**
 * Bytes in a file of memory, from which the system sends them without a copy. They never change. Whoever sends from it
 * holds it meanwhile.
 */
export class MemoryFile {
  readonly fd: number;
  readonly size: number;
  readonly #close: () => void;
  #holders = 1;

  constructor(fd: number, size: number, close: () => void) {
    this.fd = fd;
    this.size = size;
    this.#close = close;
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#close();
  }
}

/**
 * Sends on a connection's descriptor past Node's streams: what is ready as it is costs one system call and no more, and
 * a large body no copy (`sendfile`). The connection must have nothing waiting in its stream. Whatever the system does not
 * take at once is for the stream to send, which also learns of a connection that broke.
 */
export class Direct {
  readonly #calls: SystemCalls;
  readonly #offset = Buffer.alloc(8);
  readonly #offsetWords = new BigInt64Array(this.#offset.buffer, this.#offset.byteOffset, 1);

  constructor(calls: SystemCalls) {
    this.#calls = calls;
  }

  /** Bytes that the system took; 0 if none. `more` tells it that others follow at once. */
  send(fd: number, bytes: Uint8Array, more = false): number {
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    return Math.max(0, this.#calls.send(fd, bytes, bytes.length, flags));
  }

  /** The same from a file, from `at` on. The descriptor must not block. */
  sendFile(fd: number, file: MemoryFile, at: number): number {
    this.#offsetWords[0] = BigInt(at);
    return Math.max(0, this.#calls.sendfile(fd, file.fd, this.#offset, file.size - at));
  }

  /** A file of memory with a copy of these bytes, held by the caller; nothing if there is no room for it. */
  file(bytes: Uint8Array): MemoryFile | undefined {
    const calls = this.#calls;
    const fd = calls.memfd_create('presage', MFD_CLOEXEC);
    if (fd < 0) return undefined;
    for (let at = 0; at < bytes.length; ) {
      const rest = bytes.subarray(at);
      const written = calls.pwrite(fd, rest, rest.length, at);
      if (written <= 0) {
        calls.close(fd);
        return undefined;
      }
      at += written;
    }
    return new MemoryFile(fd, bytes.length, () => void calls.close(fd));
  }
}

let opened: Promise<Direct | undefined> | undefined;

/** Nothing where the system or its calls are not to be had, or do other than what this file takes them to do. */
export const openDirect = (): Promise<Direct | undefined> => {
  opened ??= loadSystemCalls().then((calls) => (calls && proves(calls) ? new Direct(calls) : undefined));
  return opened;
};

/** Sends through a pair of sockets, in memory and from a file, and takes back the same. */
export function proves(calls: SystemCalls): boolean {
  const pair = Buffer.alloc(8);
  if (calls.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) !== 0) return false;
  const [near, far] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  const direct = new Direct(calls);
  const body = Buffer.alloc(20_000, 'presage ');
  const file = direct.file(body);
  try {
    if (!file || direct.send(near, body.subarray(0, 100)) !== 100) return false;
    const half = direct.sendFile(near, file, body.length - 5_000);
    if (half !== 5_000) return false;
    const got = Buffer.alloc(10_000);
    let length = 0;
    for (let took = 1; took > 0 && length < 5_100; length += Math.max(0, took))
      took = calls.recv(far, got.subarray(length), got.length - length, MSG_DONTWAIT);
    const expected = Buffer.concat([body.subarray(0, 100), body.subarray(-5_000)]);
    return got.subarray(0, length).equals(expected);
  } finally {
    file?.release();
    calls.close(near);
    calls.close(far);
  }
}
