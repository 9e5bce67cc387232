import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { openPop, type Pop, withDirectory } from '../integration/invalidation/pop.ts';
import { createOperator, startPop, type TestPop, until } from '../integration/network/cluster.ts';
import { freePort } from '../ports.ts';
import { spreadPurges } from '../sim/wide-area/purges.ts';
import { ROUND_TRIPS, readRoundTrips } from '../sim/wide-area/round-trips.ts';
import { keyOf, url } from '../unit/invalidation/pops.ts';
import { absent, dataPath } from './forecast-data.ts';

/**
 * From the moment at which a purge is asked for until it is in force at the last PoP, and until the last has
 * acknowledged it: 8, 30 and 60 PoPs in one process, real libp2p, LevelDB with fsync, behind proxies that delay what goes
 * into each PoP and comes out of it. The limit is the slowest one-way path, half of the fastest round trip measured over
 * the same connections in the same run. All PoPs share one thread, so that signatures, TLS and disk of all machines, and
 * the proxies, are in the figure: the more PoPs, the more of it is that thread. And 300 PoPs all over the world,
 * simulated: the real machines on virtual time, over links with measured delays (see `scale`), against half of the
 * slowest round trip among them.
 */

/**
 * One-way delay of the path into each PoP, ms: across an ocean, a continent, a country; from the ninth PoP on again from
 * the second. Later PoPs dial earlier ones, so that every PoP has the first at the far end of a path of 80 ms.
 */
const DELAYS_MS = [80, 60, 40, 25, 15, 10, 5, 2];
/** A purge each so many ms, each time from the next PoP: slow enough that PoPs on one thread do not queue. */
const CLUSTERS = [
  { pops: 8, runs: 5, purges: 40, everyMs: 200 },
  { pops: 30, runs: 3, purges: 20, everyMs: 600 },
  { pops: 60, runs: 3, purges: 12, everyMs: 1_500 },
];
const SIMULATED = { pops: 300, purges: 100 };
/** What one thread takes for a message and for a further copy of one, ms. */
const SERVICE = { firstMs: 0.4, copyMs: 0.1 };
/** `INVALIDATE_POPS=8` measures that cluster alone. */
const ONLY = process.env.INVALIDATE_POPS?.split(',').map(Number);
const ECHOES = 5;
/** Longest wait for a cluster to come together. */
const TOGETHER_MS = 300_000;
/** Pairs whose round trips are measured: all of a small cluster, the slowest among them in any. */
const PAIRS_MAX = 400;

type Size = (typeof CLUSTERS)[number];

export async function run(_options: { json: boolean }) {
  const sizes = [];
  for (const size of CLUSTERS.filter(({ pops }) => ONLY?.includes(pops) ?? true)) {
    const result = await measure(size);
    process.stderr.write(`${JSON.stringify(result)}\n`);
    sizes.push(result);
  }
  if (ONLY?.includes(SIMULATED.pops) ?? true) {
    const result = simulate();
    process.stderr.write(`${JSON.stringify(result)}\n`);
    if (typeof result !== 'string') sizes.push(result);
    else if (sizes.length === 0) throw new Error(result);
  }
  const [{ runs, ...first }] = sizes as [(typeof sizes)[number]];
  return {
    name: 'invalidate',
    unit: `ms (p99, purge in force at the last of ${first.pops} PoPs)`,
    ours: first.p99Ms,
    peer: first.oneWayMs,
    ratio: first.ratio,
    runs,
    sizes,
  };
}

function simulate() {
  const path = dataPath(ROUND_TRIPS);
  if (path === undefined) return absent(ROUND_TRIPS);
  const { pops, purges } = SIMULATED;
  const { inForce, acknowledged, slowestPathMs } = spreadPurges({
    ...{ trips: readRoundTrips(path), pops, purges, seed: 1, service: SERVICE },
  });
  const p99 = quantile(inForce, 0.99);
  return {
    ...{ pops, simulated: true, purges },
    p99Ms: rounded(p99),
    oneWayMs: rounded(slowestPathMs),
    ratio: rounded(p99 / slowestPathMs, 100),
    medianMs: rounded(quantile(inForce, 0.5)),
    acknowledgedMs: rounded(quantile(acknowledged, 0.99)),
    runs: [rounded(p99)],
  };
}

async function measure(size: Size) {
  return withDirectory(async (directory) => {
    const bed = await start(directory, size.pops);
    try {
      const oneWayMs = await slowestPath(bed.networks);
      await round(bed, 'warm-up', size);
      const inForce: number[] = [];
      const acknowledged: number[] = [];
      const medians: number[] = [];
      for (let i = 0; i < size.runs; i += 1) {
        const times = await round(bed, String(i), size);
        inForce.push(quantile(times.inForce, 0.99));
        medians.push(quantile(times.inForce, 0.5));
        acknowledged.push(quantile(times.acknowledged, 0.99));
      }
      const p99 = quantile(inForce, 0.5);
      return {
        pops: size.pops,
        p99Ms: rounded(p99),
        oneWayMs: rounded(oneWayMs),
        ratio: rounded(p99 / oneWayMs, 100),
        medianMs: rounded(quantile(medians, 0.5)),
        acknowledgedMs: rounded(quantile(acknowledged, 0.5)),
        purges: size.runs * size.purges,
        runs: inForce.map((ms) => rounded(ms)),
      };
    } finally {
      await bed.end();
    }
  });
}

interface Bed {
  readonly pops: readonly Pop[];
  readonly networks: readonly TestPop[];
  /** When each purge came into force, by issuer and number. */
  readonly applied: Map<string, number[]>;
  end(): Promise<void>;
}

async function start(directory: string, count: number): Promise<Bed> {
  const operator = createOperator('bench');
  const applied = new Map<string, number[]>();
  const networks: TestPop[] = [];
  const pops: Pop[] = [];
  const proxies: Delay[] = [];
  for (let n = 0; n < count; n += 1) {
    const delayMs = DELAYS_MS[n < 8 ? n : 1 + (n % 7)] ?? 2;
    const target = await freePort();
    const proxy = new Delay(delayMs, target);
    const port = await proxy.listen();
    proxies.push(proxy);
    const network = await startPop(operator, {
      privateKey: keyOf(n),
      listen: [`/ip4/127.0.0.1/tcp/${target}`],
      announce: [`/ip4/127.0.0.1/tcp/${port}`],
      bootstrap: networks.flatMap((other) => other.addresses().slice(0, 1)),
    });
    networks.push(network);
    network.streams.handle('lease', async (_from, bytes) => bytes);
    pops.push(
      await openPop(n, {
        directory: join(directory, String(n)),
        metrics: network.metrics,
        network: () => network,
        applied: (purges) => {
          for (const { issuer, seq } of purges) {
            const name = `${issuer} ${seq}`;
            applied.set(name, [...(applied.get(name) ?? []), performance.now()]);
          }
        },
      }),
    );
  }
  await until(
    'all connected',
    () => networks.every(({ peers }) => peers.connected().length === networks.length - 1),
    TOGETHER_MS,
  );
  await until('all reconciled', () => pops.every(({ ledger }) => ledger.reconciled), TOGETHER_MS);
  return {
    ...{ pops, networks, applied },
    async end() {
      for (const network of networks) await network.close();
      for (const pop of pops) await pop.close();
      for (const proxy of proxies) proxy.close();
    },
  };
}

async function round(
  { pops, applied }: Bed,
  name: string,
  { purges, everyMs }: Size,
): Promise<{ inForce: number[]; acknowledged: number[] }> {
  const inForce: number[] = [];
  const acknowledged: number[] = [];
  const one = async (i: number) => {
    const began = performance.now();
    const { issuer, seq, missing } = await pops[i % pops.length]!.purge(url(`a.example/${name}/${i}`));
    acknowledged.push(performance.now() - began);
    if (missing.length > 0) throw new Error(`a purge was not acknowledged by ${missing.length} PoPs`);
    const times = applied.get(`${issuer} ${seq}`) ?? [];
    if (times.length !== pops.length) throw new Error(`a purge is in force at ${times.length} PoPs`);
    inForce.push(Math.max(...times) - began);
  };
  const all: Promise<void>[] = [];
  for (let i = 0; i < purges; i += 1) {
    all.push(one(i));
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  await Promise.all(all);
  return { inForce, acknowledged };
}

/** Half of the fastest of some round trips, for the slowest pair of PoPs, ms. */
async function slowestPath(networks: readonly TestPop[]): Promise<number> {
  let slowest = 0;
  let pairs = 0;
  // From the first: the slowest path is one of its own.
  for (const network of networks) {
    if (pairs > PAIRS_MAX) break;
    for (const peer of network.peers.connected()) {
      pairs += 1;
      let fastest = Number.POSITIVE_INFINITY;
      for (let i = 0; i < ECHOES; i += 1) {
        const began = performance.now();
        await network.streams.call(peer, 'lease', new Uint8Array(8), { deadlineMs: 5_000 });
        fastest = Math.min(fastest, performance.now() - began);
      }
      slowest = Math.max(slowest, fastest / 2);
    }
  }
  return slowest;
}

/** Forwards connections, each byte late by the same time in either direction. */
class Delay {
  readonly #delayMs: number;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((inner) => this.#join(inner, connect(this.#target, '127.0.0.1')));

  constructor(delayMs: number, target: number) {
    this.#delayMs = delayMs;
    this.#target = target;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  #join(a: Socket, b: Socket): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), this.#delayMs));
      from.on('close', () => {
        this.#sockets.delete(from);
        setTimeout(() => to.destroy(), this.#delayMs);
      });
      from.on('error', () => from.destroy());
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0;
}

const rounded = (value: number, per = 10): number => Math.round(value * per) / per;
