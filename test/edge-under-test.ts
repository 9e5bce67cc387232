import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobs } from '../node/adapters/blobs.ts';
import type { EdgeOptions, PeerFill } from '../node/http/context.ts';
import { createEdge, type Edge } from '../node/http/edge.ts';
import type { Observation } from '../node/http/observation.ts';
import { createOrigin, type OriginOptions } from '../node/http/origin.ts';
import type { Site } from '../protocol/charter.ts';
import type { RegionId, SiteId } from '../protocol/ids.ts';
import type { Blobs, Clock, DemandClock } from '../protocol/ports.ts';
import { seededRandom } from '../protocol/random.ts';
import { MemoryIndex } from './memory-index.ts';
import { CountingMetrics, silentLog } from './step-clock.ts';

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, fn) => {
    const timer = setTimeout(fn, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Demand time that follows the real one, and that a test can push ahead. */
export class PushedDemand implements DemandClock {
  readonly speed = 1;
  #ahead = 0;
  now(): number {
    return this.at(Date.now());
  }
  at(realMs: number): number {
    return realMs + this.#ahead;
  }
  push(ms: number): void {
    this.#ahead += ms;
  }
}

export interface EdgeUnderTest {
  readonly edge: Edge;
  readonly url: string;
  readonly port: number;
  readonly index: MemoryIndex;
  readonly blobs: Blobs;
  readonly demand: PushedDemand;
  readonly metrics: CountingMetrics;
  readonly observations: Observation[];
  /** Where the blobs are. */
  readonly directory: string;
  readonly site: Site;
  close(): Promise<void>;
}

export interface EdgeSetting {
  readonly origin: string;
  readonly site?: Partial<Site>;
  readonly options?: Partial<EdgeOptions>;
  readonly originOptions?: Partial<OriginOptions>;
  readonly blobs?: { readonly budgetBytes?: number; readonly memoryBytes?: number };
  readonly fill?: (under: { readonly index: MemoryIndex; readonly blobs: Blobs }) => PeerFill;
}

/** A real edge on a loopback port, over a real blob store in a directory of its own. */
export async function startEdge(setting: EdgeSetting): Promise<EdgeUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'presage-edge-'));
  const maxObjectBytes = setting.options?.maxObjectBytes ?? 64 * 1024 * 1024;
  const metrics = new CountingMetrics();
  const blobs = await openBlobs(
    {
      directory,
      budgetBytes: setting.blobs?.budgetBytes ?? 1024 ** 3,
      memoryBytes: setting.blobs?.memoryBytes ?? 64 * 1024 * 1024,
      maxObjectBytes,
    },
    { log: silentLog, metrics, random: seededRandom(Date.now()) },
  );
  const index = new MemoryIndex();
  const demand = new PushedDemand();
  const observations: Observation[] = [];
  const site: Site = {
    id: 'test' as SiteId,
    hosts: ['*'],
    origin: setting.origin,
    secret: new Uint8Array(32).fill(7),
    normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
    allow: ['*'],
    private: false,
    shield: 'off',
    cutOff: 'serve-stale',
    ...setting.site,
  };
  const origin = createOrigin(setting.originOptions ?? {}, { clock: realClock, log: silentLog, metrics });
  const edge = createEdge(
    { name: 'pop-1', maxObjectBytes, ...setting.options },
    {
      index,
      blobs,
      site: (host) => (site.hosts.includes('*') || site.hosts.includes(host) ? site : undefined),
      fill: setting.fill?.({ index, blobs }) ?? { fill: async () => undefined },
      origin,
      demand,
      clock: realClock,
      observe: (observation) => {
        if (observations.length < 10_000) observations.push(observation);
      },
      regionOf: () => 'home' as RegionId,
      log: silentLog,
      metrics,
    },
  );
  const { port } = await edge.listen('127.0.0.1', 0);
  return {
    edge,
    url: `http://127.0.0.1:${port}`,
    port,
    index,
    blobs,
    demand,
    metrics,
    observations,
    directory,
    site,
    close: async () => {
      await edge.close();
      await origin.close();
      await blobs.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
