import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { createOperator } from '../integration/network/cluster.ts';
import type { Answer, InForce, Pops, Purged, Question } from './invalidate-pops.ts';

/** PoPs in one process: with more, collecting garbage is most of what it does. At least one process a core. */
const POPS_A_PROCESS = 15;
const PROCESSES_MIN = 2;
/** Pairs whose round trips are measured: all of a small cluster, the slowest among them in any. */
const PAIRS_MAX = 400;
/** What follows new connections comes to rest: first round trips, gossip's meshes. */
const SETTLE_MS = 5_000;
const CLOSE_MS = 20_000;

/** Real PoPs, spread over processes, and what the bench wants of them. */
export class Cluster {
  readonly #pops: number;
  readonly #directory: string;
  readonly #children: Child[];

  constructor(pops: number, directory: string) {
    [this.#pops, this.#directory] = [pops, directory];
    const processes = Math.max(PROCESSES_MIN, Math.ceil(pops / POPS_A_PROCESS));
    this.#children = Array.from({ length: processes }, () => new Child());
  }

  /**
   * PoPs come one after another and dial all who were there before, so that each pair has one connection and the
   * later of the two has dialled. One a process at a time, the next as soon as the one before listens: if all were
   * opened at once, handshakes would time out and be made again.
   */
  async open(delayOf: (pop: number) => number): Promise<void> {
    const { key } = createOperator('bench');
    const operator = key.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    const bootstrap: string[] = [];
    const joining: Promise<void>[] = [];
    for (let pop = 0; pop < this.#pops; pop += 1) {
      await joining[pop - this.#children.length];
      const options = { operator, directory: this.#directory, delayMs: delayOf(pop), bootstrap };
      bootstrap.push(await this.#home(pop).ask('open', pop, options));
      joining.push(this.#home(pop).ask('joined', pop, pop));
    }
    await Promise.all(joining);
    await this.#all((child) => child.ask('together', this.#pops - 1));
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }

  /** Half of the fastest of some round trips, for the slowest pair of PoPs, ms. */
  async slowestPath(): Promise<number> {
    let slowest = 0;
    // From the first: the slowest path is one of its own.
    for (let pop = 0; pop < this.#pops && pop * (this.#pops - 1) <= PAIRS_MAX; pop += 1)
      slowest = Math.max(slowest, await this.#home(pop).ask('slowestPath', pop));
    return slowest;
  }

  purge(pop: number, path: string): Promise<Purged> {
    return this.#home(pop).ask('purge', pop, path);
  }

  /** At how many PoPs each of some purges is in force, and since when at the last. */
  async inForce(names: readonly string[]): Promise<InForce[]> {
    const parts = await this.#all((child) => child.ask('inForce', names));
    return names.map((_, i) => ({
      pops: parts.reduce((sum, part) => sum + part[i]!.pops, 0),
      last: Math.max(...parts.map((part) => part[i]!.last)),
    }));
  }

  async close(): Promise<void> {
    const closing = this.#all((child) => child.ask('close')).catch(() => undefined);
    await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
    for (const child of this.#children) child.end();
  }

  #home(pop: number): Child {
    return this.#children[pop % this.#children.length]!;
  }

  #all<T>(ask: (child: Child) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#children.map(ask));
  }
}

/** A process with some of the PoPs. */
class Child {
  readonly #process: ChildProcess;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #id = 0;
  #gone: Error | undefined;

  constructor() {
    this.#process = fork(join(import.meta.dirname, 'invalidate-pops.ts'), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process.on('message', ({ id, value, error }: Answer) => {
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error === undefined) asked?.resolve(value);
      else asked?.reject(new Error(error));
    });
    this.#process.on('exit', (code, signal) => {
      this.#gone = new Error(`a process with PoPs has ended: ${signal ?? code}`);
      for (const asked of this.#asked.values()) asked.reject(this.#gone);
      this.#asked.clear();
    });
    process.on('exit', this.end);
  }

  ask<M extends keyof Pops>(method: M, ...args: Parameters<Pops[M]>): ReturnType<Pops[M]> {
    const asked = Promise.withResolvers<unknown>();
    if (this.#gone) asked.reject(this.#gone);
    else {
      this.#id += 1;
      this.#asked.set(this.#id, asked);
      this.#process.send({ id: this.#id, method, args } satisfies Question);
    }
    return asked.promise as ReturnType<Pops[M]>;
  }

  readonly end = (): void => {
    process.off('exit', this.end);
    this.#process.kill('SIGKILL');
  };
}
