import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PresageError } from '../../protocol/errors.ts';
import type { DemandTime } from './demand-time.ts';
import type { FeedEvent } from './event-feed.ts';
import { layOut, type Ports } from './layout.ts';
import { Pop, type PopOptions } from './pop.ts';
import { places, popAddress } from './world.ts';

export interface ClusterOptions {
  readonly pops: number;
  readonly originPort: number;
  readonly time: DemandTime;
  readonly epochMs: number;
  /** Whether the PoPs decide together; else each plans from its own forecasts. */
  readonly agree: boolean;
  /** Index of the PoP that proposes nonsense, if one does. */
  readonly wild?: number;
}

/** The cluster has failed if its PoPs have not all found each other by then, ms. */
const MESH_MS = 60_000;
const POLL_MS = 200;

/** The demo's PoPs: keys, certificates, charter and configuration in a directory of their own, then the daemons. */
export class Cluster {
  readonly directory: string;
  readonly pops: readonly Pop[];
  readonly ports: Ports;
  /** Why daemons ended that nobody had asked to. */
  readonly crashes: string[] = [];

  private constructor(directory: string, pops: readonly PopOptions[], ports: Ports, heard: Heard) {
    this.directory = directory;
    this.ports = ports;
    this.pops = pops.map(
      (place) => new Pop(place, { crashed: (reason) => this.crashes.push(reason), heard }),
    );
  }

  /** Lays everything out on disk; starts nothing yet. */
  static async prepare(options: ClusterOptions, dependencies: { readonly heard: Heard }): Promise<Cluster> {
    const directory = await mkdtemp(join(tmpdir(), 'presage-demo-'));
    const regions = places(options.pops);
    const pops: PopOptions[] = Array.from({ length: options.pops }, (_, index) => {
      const region = index % regions.length;
      const turn = Math.floor(index / regions.length);
      const name = turn === 0 ? regions[region]!.region : `${regions[region]!.region}-${turn + 1}`;
      return {
        ...{ name, region, address: popAddress(index), directory: join(directory, name) },
        wild: index === options.wild,
      };
    });
    const addresses = pops.map(({ address }) => address);
    const http = await freePort(addresses, []);
    const dns = await freePort(addresses, [http]);
    const ports = { http, dns, p2p: await freePort(addresses, [http, dns]) };
    await layOut(directory, { ...options, founders: options.agree, pops, ports });
    return new Cluster(directory, pops, ports, dependencies.heard);
  }

  /** Starts all daemons at once and waits until each is connected to all others. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.race([Promise.all(this.pops.map((pop) => pop.start())), rejectOn(signal)]);
    const began = performance.now();
    for (;;) {
      const states = await Promise.all(this.pops.map((pop) => pop.state()));
      if (states.every(({ peersConnected }) => peersConnected >= this.pops.length - 1)) return;
      if (signal.aborted) throw new PresageError('CANCELLED');
      if (performance.now() - began > MESH_MS) {
        const counts = states.map(({ peersConnected }, i) => `${this.pops[i]!.name} ${peersConnected}`);
        throw new PresageError('PEER_TIMEOUT', `the PoPs did not all find each other: ${counts.join(', ')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Ends all daemons in order; their exit codes by name. */
  async stop(): Promise<Record<string, number | null>> {
    const codes = await Promise.all(
      this.pops.map(async (pop): Promise<[string, number | null]> => [pop.name, await pop.stop()]),
    );
    return Object.fromEntries(codes);
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

type Heard = (pop: Pop, event: FeedEvent) => void;
const rejectOn = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const cancelled = () => reject(new PresageError('CANCELLED'));
    if (signal.aborted) cancelled();
    else signal.addEventListener('abort', cancelled, { once: true });
  });

/** A TCP and UDP port that is free on every address and not among `taken`. */
async function freePort(addresses: readonly string[], taken: readonly number[]): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = await tryPort(addresses[0]!, 0);
    if (port === undefined || taken.includes(port)) continue;
    const others = await Promise.all(addresses.slice(1).map((address) => tryPort(address, port)));
    if (others.every((found) => found === port)) return port;
  }
  throw new PresageError('CONFIG_INVALID', `no port is free on all of ${addresses.join(', ')}`);
}

function tryPort(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, host, () => {
      const address = server.address();
      const found = typeof address === 'object' ? address?.port : undefined;
      server.close(() => resolve(found));
    });
  });
}
