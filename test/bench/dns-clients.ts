import { createSocket } from 'node:dgram';
import * as packets from 'dns-packet';

/** Questions under way at once, and how long an answer may take, ms: what a loopback lost is asked again, and counted. */
const WINDOW = 64;
const PATIENCE_MS = 500;

export interface Verified {
  /** Answers that were right: the whole packet the same as before the flood, but for its id. */
  readonly right: number;
  readonly wrong: number;
  readonly lost: number;
}

/** Asks for names for some seconds, and holds every answer against the one that was given in peace. */
export class VerifyingClients {
  readonly #port: number;
  readonly #queries: readonly Buffer[];
  #expected: readonly Buffer[] = [];

  constructor(port: number, names: readonly string[]) {
    this.#port = port;
    this.#queries = names.map((name) => packets.encode({ type: 'query', questions: [{ type: 'A', name }] }));
  }

  /** Learns the right answers. */
  async learn(): Promise<void> {
    const answers: Buffer[] = [];
    await this.#run(Number.POSITIVE_INFINITY, this.#queries.length, (at, bytes) => {
      answers[at] = Buffer.from(bytes);
      return true;
    });
    this.#expected = answers;
  }

  verify(seconds: number): Promise<Verified> {
    return this.#run(seconds, Number.POSITIVE_INFINITY, (at, bytes) => this.#expected[at]!.equals(bytes));
  }

  #run(seconds: number, most: number, judge: (at: number, bytes: Buffer) => boolean): Promise<Verified> {
    const { promise, resolve } = Promise.withResolvers<Verified>();
    const socket = createSocket({ type: 'udp4', lookup: (host, _options, found) => found(null, host, 4) });
    const open = new Map<number, { at: number; since: number }>();
    const outcome = { right: 0, wrong: 0, lost: 0 };
    const endAt = performance.now() + seconds * 1000;
    let next = 0;
    let id = 0;
    const ask = (at: number) => {
      id = (id + 1) & 0xffff;
      const query = Buffer.from(this.#queries[at % this.#queries.length]!);
      query.writeUInt16BE(id, 0);
      open.set(id, { at: at % this.#queries.length, since: performance.now() });
      socket.send(query, this.#port, '127.0.0.1');
    };
    const fill = () => {
      while (open.size < WINDOW && next < most && performance.now() < endAt) ask(next++);
      if (open.size > 0) return;
      clearInterval(patience);
      socket.close();
      resolve(outcome);
    };
    const patience = setInterval(() => {
      for (const [one, { at, since }] of open) {
        if (performance.now() - since < PATIENCE_MS) continue;
        open.delete(one);
        outcome.lost += 1;
        if (performance.now() < endAt) ask(at);
      }
      fill();
    }, PATIENCE_MS / 5);
    socket.on('message', (bytes) => {
      const asked = open.get(bytes.readUInt16BE(0));
      if (!asked) return;
      open.delete(bytes.readUInt16BE(0));
      bytes.writeUInt16BE(0, 0);
      if (judge(asked.at, bytes)) outcome.right += 1;
      else outcome.wrong += 1;
      fill();
    });
    socket.bind(0, '127.0.0.1', fill);
    return promise;
  }
}
