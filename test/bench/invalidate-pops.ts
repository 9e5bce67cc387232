import { createPrivateKey } from 'node:crypto';
import { join } from 'node:path';
import { genesisOf } from '../../protocol/genesis.ts';
import type { PopId } from '../../protocol/ids.ts';
import { rawPublicKey } from '../../protocol/pop-key.ts';
import { openPop, type Pop } from '../integration/invalidation/pop.ts';
import { type Operator, startPop, type TestPop, until } from '../integration/network/cluster.ts';
import { freePort } from '../ports.ts';
import { keyOf, url } from '../unit/invalidation/pops.ts';
import { Delay } from './invalidate-delay.ts';

/** Longest wait for a PoP to be connected, and for a cluster to come together. */
const TOGETHER_MS = 300_000;
const ECHOES = 5;
/** Peers that one PoP measures at once: with more of them answers would wait for each other. */
const PATHS_AT_ONCE = 4;
const ECHO_MS = 5_000;

/** One PoP that lives here. */
interface Member {
  readonly pop: Pop;
  readonly network: TestPop;
  readonly proxy: Delay;
}

/** What a purge came to, at the PoP that has issued it; times are those of `monotonicMs`. */
export interface Purged {
  readonly name: string;
  readonly began: number;
  readonly acknowledged: number;
  /** PoPs that hold it durably, and those that have not said so. */
  readonly holders: number;
  readonly missing: number;
}

/** At how many PoPs of this process a purge is in force, and since when at the last. */
export interface InForce {
  readonly pops: number;
  readonly last: number;
}

/** The machine's monotonic clock, which its processes share. */
const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** Some PoPs of a cluster, each behind its proxy, in one process. */
export class Pops {
  readonly #members = new Map<number, Member>();
  readonly #applied = new Map<string, InForce>();
  #operator: Operator | undefined;

  /** Opens a PoP that goes on to connect to others; returns under which address it is reached. */
  async open(n: number, options: OpenOptions): Promise<string> {
    this.#operator ??= operatorOf(options.operator);
    const target = await freePort();
    const proxy = new Delay(options.delayMs, target);
    const port = await proxy.listen();
    const network = await startPop(this.#operator, {
      privateKey: keyOf(n),
      listen: [`/ip4/127.0.0.1/tcp/${target}`],
      announce: [`/ip4/127.0.0.1/tcp/${port}`],
      bootstrap: options.bootstrap,
    });
    network.streams.handle('lease', async (_from, bytes) => bytes);
    const pop = await openPop(n, {
      directory: join(options.directory, String(n)),
      metrics: network.metrics,
      network: () => network,
      roster: () => network.known(),
      applied: (purges) => {
        for (const { issuer, seq } of purges) {
          const name = nameOf(issuer, seq);
          this.#applied.set(name, { pops: 1 + (this.#applied.get(name)?.pops ?? 0), last: monotonicMs() });
        }
      },
    });
    this.#members.set(n, { pop, network, proxy });
    return network.addresses()[0]!;
  }

  /** Resolves when a PoP is connected to so many others. */
  async joined(n: number, others: number): Promise<void> {
    const { peers } = this.#member(n).network;
    await until(`PoP ${n} has joined`, () => peers.connected().length >= others, TOGETHER_MS);
  }

  /** Resolves when each PoP here is connected to so many others and knows their purges. */
  async together(others: number): Promise<void> {
    const members = [...this.#members.values()];
    await until(
      'all connected',
      () => members.every(({ network }) => network.peers.connected().length === others),
      TOGETHER_MS,
    );
    await until('all reconciled', () => members.every(({ pop }) => pop.ledger.reconciled), TOGETHER_MS);
  }

  /** From a PoP, half of the fastest of some round trips for the slowest of its peers, ms. */
  async slowestPath(n: number): Promise<number> {
    const { network } = this.#member(n);
    const peers = [...network.peers.connected()];
    const echo = async (peer: PopId): Promise<number> => {
      const began = performance.now();
      await network.streams.call(peer, 'lease', new Uint8Array(8), { deadlineMs: ECHO_MS });
      return performance.now() - began;
    };
    let slowest = 0;
    const measure = async () => {
      for (let peer = peers.pop(); peer !== undefined; peer = peers.pop()) {
        const trips: number[] = [];
        for (let i = 0; i < ECHOES; i += 1) trips.push(await echo(peer));
        slowest = Math.max(slowest, Math.min(...trips) / 2);
      }
    };
    await Promise.all(Array.from({ length: PATHS_AT_ONCE }, measure));
    return slowest;
  }

  /** Has a PoP purge a URL; resolves when every peer has acknowledged it. */
  async purge(n: number, path: string): Promise<Purged> {
    const { pop } = this.#member(n);
    const began = monotonicMs();
    const { issuer, seq, acknowledged, missing } = await pop.purge(url(path));
    return {
      ...{ name: nameOf(issuer, seq), began, acknowledged: monotonicMs() },
      ...{ holders: acknowledged.length, missing: missing.length },
    };
  }

  async inForce(names: readonly string[]): Promise<InForce[]> {
    return names.map((name) => this.#applied.get(name) ?? { pops: 0, last: Number.NEGATIVE_INFINITY });
  }

  async close(): Promise<void> {
    const members = [...this.#members.values()];
    await Promise.allSettled(members.map(({ network }) => network.close()));
    await Promise.allSettled(members.map(({ pop }) => pop.close()));
    for (const { proxy } of members) proxy.close();
  }

  #member(n: number): Member {
    const member = this.#members.get(n);
    if (!member) throw new Error(`PoP ${n} does not live here`);
    return member;
  }
}

export interface OpenOptions {
  /** The operator's key, PKCS #8 in base64. */
  readonly operator: string;
  readonly directory: string;
  /** One way, of the path into this PoP. */
  readonly delayMs: number;
  readonly bootstrap: readonly string[];
}

const nameOf = (issuer: PopId, seq: number): string => `${issuer} ${seq}`;

function operatorOf(pkcs8: string): Operator {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' });
  const cluster = { operatorKey: rawPublicKey(key), name: 'bench', generation: 1 };
  return { key, cluster, genesis: genesisOf(cluster) };
}

/** What the bench asks of such a process: any method of `Pops`. Each question gets one answer. */
export interface Question {
  readonly id: number;
  readonly method: keyof Pops;
  readonly args: readonly unknown[];
}
export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

if (process.send) {
  const pops = new Pops();
  process.on('message', async ({ id, method, args }: Question) => {
    const answer = (what: Omit<Answer, 'id'>) => void process.send?.({ id, ...what } satisfies Answer);
    try {
      answer({
        value: await (pops[method] as (...args: readonly unknown[]) => Promise<unknown>).call(pops, ...args),
      });
    } catch (error) {
      answer({ error: (error as Error).message });
    }
  });
  process.on('disconnect', () => process.exit(0));
}
