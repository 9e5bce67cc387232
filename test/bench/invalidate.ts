import { withDirectory } from '../integration/invalidation/pop.ts';
import { spreadPurges } from '../sim/wide-area/purges.ts';
import { ROUND_TRIPS, readRoundTrips } from '../sim/wide-area/round-trips.ts';
import { absent, dataPath } from './forecast-data.ts';
import { Cluster } from './invalidate-cluster.ts';
import type { Purged } from './invalidate-pops.ts';

/**
 * From the moment at which a purge is asked for until it is in force at the last PoP, and until the last has
 * acknowledged it: 8, 30 and 60 PoPs, real libp2p, LevelDB with fsync, behind proxies that delay what goes into each PoP
 * and comes out of it. The limit is the slowest one-way path, half of the fastest round trip measured over the same
 * connections in the same run. The PoPs live in two processes and more, up to fifteen in each, and share the cores of
 * this machine, so that signatures, TLS and disk of all machines, and the proxies, are in the figure: the more PoPs, the
 * more of it is that. And 300 PoPs all over the world, simulated: the real machines on virtual time, over links with
 * measured delays (see `scale`), against half of the slowest round trip among them.
 */

/**
 * One-way delay of the path into each PoP, ms: across an ocean, a continent, a country; from the ninth PoP on again from
 * the second. Later PoPs dial earlier ones, so that every PoP has the first at the far end of a path of 80 ms.
 */
const DELAYS_MS = [80, 60, 40, 25, 15, 10, 5, 2];
/** A purge each so many ms, each time from the next PoP: slow enough that PoPs that share a core do not queue. */
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
    const cluster = new Cluster(size.pops, directory);
    try {
      await cluster.open((n) => DELAYS_MS[n < 8 ? n : 1 + (n % 7)] ?? 2);
      const oneWayMs = await cluster.slowestPath();
      await round(cluster, 'warm-up', size);
      const inForce: number[] = [];
      const acknowledged: number[] = [];
      const medians: number[] = [];
      for (let i = 0; i < size.runs; i += 1) {
        const times = await round(cluster, String(i), size);
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
      await cluster.close();
    }
  });
}

async function round(
  cluster: Cluster,
  name: string,
  { pops, purges, everyMs }: Size,
): Promise<{ inForce: number[]; acknowledged: number[] }> {
  const all: Promise<Purged>[] = [];
  for (let i = 0; i < purges; i += 1) {
    all.push(cluster.purge(i % pops, `a.example/${name}/${i}`));
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const purged = await Promise.all(all);
  for (const { holders, missing } of purged) {
    if (missing > 0 || holders < pops - 1)
      throw new Error(`a purge was acknowledged by ${holders} of ${pops - 1} PoPs`);
  }
  const times = await cluster.inForce(purged.map((one) => one.name));
  for (const time of times)
    if (time.pops !== pops) throw new Error(`a purge is in force at ${time.pops} PoPs`);
  return {
    inForce: purged.map(({ began }, i) => times[i]!.last - began),
    acknowledged: purged.map(({ began, acknowledged }) => acknowledged - began),
  };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0;
}

const rounded = (value: number, per = 10): number => Math.round(value * per) / per;
