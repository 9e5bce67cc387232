import { request } from 'node:http';
import { join } from 'node:path';
import { type RpcClient, rpcClient } from '../rpc/client.ts';
import { Daemon } from './daemon.ts';
import { EventFeed, type FeedEvent } from './event-feed.ts';

/** A PoP of the demo and where it stands. */
export interface PopOptions {
  readonly name: string;
  /** Position in `PLACES`. */
  readonly region: number;
  /** Loopback address on which it serves HTTP and DNS and hears its peers. */
  readonly address: string;
  /** Directory with its configuration, its data and its log. */
  readonly directory: string;
  /** Proposes nonsense, to show what that comes to. */
  readonly wild?: boolean;
}

/** What a PoP says of itself, as far as the demo needs it. */
export interface PopState {
  readonly peersConnected: number;
  /** Whether it is connected to peers and its purge digest equals that of every one of them. */
  readonly purgesInStep: boolean;
  readonly purgesApplied: number;
  /** Series in its demand history. */
  readonly series: number;
  readonly replicas: number;
  readonly epoch: number;
}

/** Longest wait for the acknowledgements of a purge, ms. */
const PURGE_MS = 10_000;
const REPLICA_PAGE = 1000;
/** An RPC that takes longer than this on one machine has failed, ms. */
const CALL_MS = 10_000;

/** A PoP of the demo: its daemon, its RPC and its events. */
export class Pop {
  readonly options: PopOptions;
  readonly #daemon: Daemon;
  readonly #rpc: RpcClient;
  readonly #feed: EventFeed;

  constructor(
    options: PopOptions,
    dependencies: {
      readonly crashed: (reason: string) => void;
      readonly heard: (pop: Pop, event: FeedEvent) => void;
    },
  ) {
    this.options = options;
    const dataDir = join(options.directory, 'data');
    this.#daemon = new Daemon(options, { crashed: dependencies.crashed });
    this.#rpc = rpcClient(dataDir);
    this.#feed = new EventFeed(
      { socket: this.#socket, types: ['mirror', 'rising', 'decision', 'epoch', 'wild'] },
      { heard: (event) => dependencies.heard(this, event) },
    );
  }

  get name(): string {
    return this.options.name;
  }

  get address(): string {
    return this.options.address;
  }

  get up(): boolean {
    return this.#daemon.up;
  }

  /** Starts the daemon; resolves when it is ready. */
  async start(): Promise<void> {
    await this.#daemon.start();
    this.#feed.open();
  }

  async kill(): Promise<void> {
    this.#feed.close();
    await this.#daemon.kill();
  }

  /** Stops its process where it stands; `thaw` lets it go on. */
  freeze(): void {
    this.#daemon.freeze();
  }

  thaw(): void {
    this.#daemon.thaw();
  }

  /** Kills it without waiting, for the last moments of the demo's own process. */
  abandon(): void {
    this.#daemon.abandon();
  }

  /** Ends it in order; its exit code, `null` if it had to be killed. */
  async stop(): Promise<number | null> {
    this.#feed.close();
    return this.#daemon.stop();
  }

  async state(): Promise<PopState> {
    const [status, { peers }] = await Promise.all([
      this.#rpc.call('status', {}, { timeoutMs: CALL_MS }),
      this.#rpc.call('peers', {}, { timeoutMs: CALL_MS }),
    ]);
    const connected = peers.filter(({ state }) => state === 'connected');
    return {
      peersConnected: status.peers.connected,
      purgesInStep: connected.length > 0 && connected.every(({ purgesInStep }) => purgesInStep === true),
      purgesApplied: status.purges.applied,
      series: status.demand.series,
      replicas: status.storage.replicas,
      epoch: status.epoch.number,
    };
  }

  /** What the forecasts of each PoP count for, 0 … 1, by name, as this one has decided with the others. */
  async weights(): Promise<Readonly<Record<string, number>>> {
    const { peers } = await this.#rpc.call('peers', {}, { timeoutMs: CALL_MS });
    return Object.fromEntries(
      peers.flatMap(({ name, weight }) => (weight === null ? [] : [[name, weight] as const])),
    );
  }

  /** Purges and waits for the acknowledgements; the names of the PoPs that did not send theirs. */
  async purge(what: { readonly url: string } | { readonly tag: string }): Promise<readonly string[]> {
    const result = await this.#rpc.call(
      'purge',
      { ...what, wait: true, timeoutMs: PURGE_MS },
      { timeoutMs: PURGE_MS + CALL_MS },
    );
    return result.missing.map(({ name, code }) => `${name} (${code})`);
  }

  /** All replicas that it holds without a client of its own having asked first: canonical key and size. */
  async mirrored(
    source: 'plan' | 'speculative',
  ): Promise<readonly { readonly key: string; readonly size: number }[]> {
    const found: { key: string; size: number }[] = [];
    let after: string | undefined;
    do {
      const page = await this.#rpc.call(
        'replicas',
        { source, limit: REPLICA_PAGE, ...(after !== undefined && { after }) },
        { timeoutMs: CALL_MS },
      );
      found.push(...page.replicas.map(({ key, size }) => ({ key, size })));
      after = page.next ?? undefined;
    } while (after !== undefined);
    return found;
  }

  /** A metric's values by their labels as they stand in `GET /metrics`; empty before its first use. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const text = await this.#get('/metrics');
    const values = new Map<string, number>();
    for (const line of text.split('\n')) {
      const match = /^([a-z0-9_]+)(\{[^}]*\})? ([0-9.e+-]+)$/.exec(line);
      if (match?.[1] === name) values.set(match[2] ?? '', Number(match[3]));
    }
    return values;
  }

  get #socket(): string {
    return join(this.options.directory, 'data', 'rpc.sock');
  }

  #get(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        { socketPath: this.#socket, path, headers: { host: 'localhost' }, timeout: CALL_MS },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (piece: string) => {
            text += piece;
          });
          response.on('end', () => resolve(text));
          response.on('error', reject);
        },
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
      outgoing.on('error', reject);
      outgoing.end();
    });
  }
}
