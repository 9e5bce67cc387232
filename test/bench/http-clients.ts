import { connect, type Socket } from 'node:net';

/** Connections at a time. */
const CONNECTIONS = 32;

export interface Verified {
  /** Whole answers with the very bytes that belong to what was asked. */
  readonly right: number;
  readonly wrong: number;
  /** Connections that ended before their answer. */
  readonly lost: number;
}

/** What is asked for, and the body that it has. */
export interface Expected {
  readonly path: string;
  readonly body: Buffer;
}

/** Asks for some seconds on kept connections, and holds every answer against what it must be. */
export async function verify(
  port: number,
  resources: readonly Expected[],
  seconds: number,
): Promise<Verified> {
  const outcome = { right: 0, wrong: 0, lost: 0 };
  const endAt = performance.now() + seconds * 1000;
  const client = async (id: number) => {
    let connection: Connection | undefined;
    for (let n = id; performance.now() < endAt; n += CONNECTIONS + 1) {
      const { path, body } = resources[n % resources.length]!;
      connection ??= new Connection(port);
      const answer = await connection.get(path);
      if (answer === undefined) {
        outcome.lost += 1;
        connection = undefined;
      } else if (answer.equals(body)) outcome.right += 1;
      else outcome.wrong += 1;
    }
    connection?.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, id) => client(id)));
  return outcome;
}

/** A kept connection, with no more of HTTP than it takes to tell where an answer ends. */
class Connection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #answered: ((body: Buffer | undefined) => void) | undefined;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#read();
    });
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => this.#answered?.(undefined));
  }

  /** The body of a 200; of any other answer its head, which is no body of ours; `undefined` if there is none. */
  get(path: string): Promise<Buffer | undefined> {
    if (this.#socket.destroyed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: www.example\r\n\r\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(): void {
    const end = this.#received.indexOf('\r\n\r\n') + 4;
    if (end < 4) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) this.#socket.destroy();
    if (this.#received.length < end + length) return;
    const right = head.startsWith('HTTP/1.1 200 ');
    const body = this.#received.subarray(right ? end : 0, end + length);
    this.#received = this.#received.subarray(end + length);
    this.#answered?.(body);
  }
}
