import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Network, type NetworkOptions, startNetwork } from '../../../node/adapters/libp2p.ts';
import { type Certificate, issue } from '../../../protocol/certificate.ts';
import { type Cluster, type Genesis, genesisOf } from '../../../protocol/genesis.ts';
import type { RegionId } from '../../../protocol/ids.ts';
import { popIdOf, rawPublicKey } from '../../../protocol/pop-key.ts';
import type { Clock, Log, Metrics, Random } from '../../../protocol/ports.ts';

/** An operator with a key, who founds clusters and certifies PoPs. */
export interface Operator {
  readonly key: KeyObject;
  readonly cluster: Cluster;
  readonly genesis: Genesis;
}

export function createOperator(name = 'test'): Operator {
  const { privateKey } = generateKeyPairSync('ed25519');
  const cluster = { operatorKey: rawPublicKey(privateKey), name, generation: 1 };
  return { key: privateKey, cluster, genesis: genesisOf(cluster) };
}

export const newKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;

export function certify(operator: Operator, key: KeyObject, fields: Partial<Certificate> = {}): Uint8Array {
  return issue(
    {
      genesis: operator.genesis,
      pop: popIdOf(key),
      name: popIdOf(key).slice(-8).toLowerCase(),
      region: 'here' as RegionId,
      addressesV4: ['127.0.0.1'],
      addressesV6: ['::1'],
      ports: { http: 8080, https: 0, dns: 5353 },
      storageCeilingMiB: 1024,
      fillCeilingKiBps: 10_240,
      notBefore: Date.now() - 1000,
      expiry: Date.now() + 3_600_000,
      ...fields,
    },
    operator.key,
  );
}

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, fn) {
    const timer = setTimeout(fn, delayMs);
    return () => clearTimeout(timer);
  },
};
export const systemRandom: Random = {
  float: () => Math.random(),
  uint32: () => Math.floor(Math.random() * 2 ** 32),
};

export interface Recorder extends Metrics {
  readonly counts: Map<string, number>;
  /** Sum of a counter over all label sets that contain `labels`. */
  total(name: string, labels?: Record<string, string>): number;
}
export function recorder(): Recorder {
  const counts = new Map<string, number>();
  return {
    counts,
    count(name, labels = {}, by = 1) {
      const key = JSON.stringify([name, labels]);
      counts.set(key, (counts.get(key) ?? 0) + by);
    },
    gauge: () => undefined,
    observe: () => undefined,
    total(name, labels = {}) {
      let sum = 0;
      for (const [key, value] of counts) {
        const [found, has] = JSON.parse(key) as [string, Record<string, string>];
        if (found === name && Object.entries(labels).every(([k, v]) => has[k] === v)) sum += value;
      }
      return sum;
    },
  };
}

const verbose = process.env.NETWORK_LOG !== undefined;
export function testLog(fields: Record<string, unknown> = {}): Log {
  const write = (level: string) => (message: string, more?: object) => {
    if (verbose)
      process.stderr.write(
        `${performance.now().toFixed(0)} ${level} ${message} ${JSON.stringify({ ...fields, ...more })}\n`,
      );
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (more) => testLog({ ...fields, ...more }),
  };
}

export interface TestPop extends Network {
  readonly key: KeyObject;
  readonly metrics: Recorder;
}

export async function startPop(
  operator: Operator,
  options: Partial<NetworkOptions> & { readonly privateKey?: KeyObject } = {},
): Promise<TestPop> {
  const key = options.privateKey ?? newKey();
  const metrics = recorder();
  const network = await startNetwork(
    {
      certificate: certify(operator, key),
      operatorKey: operator.cluster.operatorKey,
      genesis: operator.genesis,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      ...options,
      privateKey: key,
    },
    { log: testLog({ pop: popIdOf(key).slice(-4) }), metrics, clock: realClock, random: systemRandom },
  );
  return Object.assign(network, { key, metrics });
}

/** Waits until `condition` holds; fails naming what was waited for. The deadline is for a slow machine under load. */
export async function until(what: string, condition: () => boolean, withinMs = 60_000): Promise<number> {
  const began = performance.now();
  while (!condition()) {
    if (performance.now() - began > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(10);
  }
  return performance.now() - began;
}
export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
