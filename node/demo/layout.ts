import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import {
  createCharter,
  createFounders,
  createOperator,
  createPop,
  type PopFiles,
} from '../cli/keys-issue.ts';
import type { DemandTime } from './demand-time.ts';
import { DEMO_HOST } from './load.ts';
import type { PopOptions } from './pop.ts';
import { clientNetwork, distanceTable, places } from './world.ts';

/** Ports that are the same at every PoP, each on its own address, as DNS answers hold addresses alone. */
export interface Ports {
  readonly http: number;
  readonly dns: number;
  readonly p2p: number;
}

/** What the files of a cluster follow from. */
export interface LayoutOptions {
  readonly pops: readonly PopOptions[];
  readonly ports: Ports;
  readonly originPort: number;
  readonly time: DemandTime;
  readonly epochMs: number;
  /** Whether the PoPs are told whom they agree with; by default they are. */
  readonly founders?: boolean;
}

const CLUSTER = 'demo';
/** Zone of the site; its host lies in it. */
const ZONE = 'demo.test';
const HORIZON = '2h';
const STORAGE = '2GiB';
const MIRROR_BANDWIDTH = '20MiB/s';
/** PoPs that the others look for first. */
const BOOTSTRAP_POPS = 2;

/**
 * Writes what an operator would write: operator's key, charter, founders, and for each PoP a directory with key, certificate
 * and `presage.toml`.
 */
export async function layOut(directory: string, options: LayoutOptions): Promise<void> {
  const operator = await createOperator({ directory, name: CLUSTER });
  const charter = await createCharter(operator, charterToml(options));
  const files = new Map<PopOptions, PopFiles>();
  for (const pop of options.pops) {
    await mkdir(pop.directory, { mode: 0o700 });
    const fields = {
      name: pop.name,
      region: places(options.pops.length)[pop.region]!.region,
      addressesV4: [pop.address],
      http: options.ports.http,
      dns: options.ports.dns,
    };
    files.set(pop, await createPop(operator, fields, { directory: pop.directory, now: Date.now() }));
  }
  const certificates = [...files.values()].map(({ certificatePath }) => certificatePath);
  const founders = options.founders === false ? undefined : await createFounders(operator, certificates);
  const bootstrap = [...files]
    .slice(0, BOOTSTRAP_POPS)
    .map(([pop, { pop: id }]) => `/ip4/${pop.address}/tcp/${options.ports.p2p}/p2p/${id}`);
  for (const [pop, file] of files) {
    const documents = { charter: charter.path, ...(founders && { founders: founders.path }) };
    const config = stringify(configOf(pop, file, documents, bootstrap, options));
    await writeFile(join(pop.directory, 'presage.toml'), config);
  }
}

function configOf(
  pop: PopOptions,
  files: PopFiles,
  documents: { readonly charter: string; readonly founders?: string },
  bootstrap: readonly string[],
  { ports, time, pops }: LayoutOptions,
) {
  return {
    name: pop.name,
    region: places(pops.length)[pop.region]!.region,
    dataDir: join(pop.directory, 'data'),
    http: { listen: `${pop.address}:${ports.http}` },
    dns: { listen: `${pop.address}:${ports.dns}` },
    p2p: {
      listen: [`/ip4/${pop.address}/tcp/${ports.p2p}`],
      bootstrap: bootstrap.filter((address) => !address.endsWith(files.pop)),
    },
    cluster: { certificate: files.certificatePath, key: files.keyPath, ...documents },
    storage: { budget: STORAGE },
    mirror: { bandwidth: MIRROR_BANDWIDTH },
    clock: { offset: `${time.offset}ms`, speed: time.speed },
    // The daemons share the machine's cores among them.
    forecast: { workers: 1 },
    log: { level: 'info' },
  };
}

/** The charter of the demo: one site, its clients' networks, and how far the regions are from each other. */
function charterToml({ pops, originPort, epochMs }: LayoutOptions): string {
  const regions = places(pops.length);
  return stringify({
    version: 1,
    epoch: `${epochMs}ms`,
    horizon: HORIZON,
    regions: regions.map(({ region }) => region),
    distances: distanceTable(pops.length),
    networks: regions.map(({ region }, index) => ({ cidr: clientNetwork(index), region })),
    sites: [
      {
        id: 'demo',
        hosts: [DEMO_HOST],
        origin: `http://127.0.0.1:${originPort}`,
        // A PoP that was away asks the origin before it serves what could have been purged meanwhile.
        cutOff: 'revalidate',
        zone: ZONE,
      },
    ],
  });
}
