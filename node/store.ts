import { hkdfSync, type KeyObject } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { OwnAnnouncement } from '../actors/announcer.ts';
import { PurgeLedger } from '../actors/purge-ledger.ts';
import { LocalReplicas } from '../actors/replica-index.ts';
import { siteAllows } from '../protocol/charter.ts';
import { codeOf, PresageError } from '../protocol/errors.ts';
import { HybridClock } from '../protocol/hybrid-clock.ts';
import type { ResourceKey, SiteId } from '../protocol/ids.ts';
import { decodeAnnouncements, encodeAnnouncements } from '../protocol/messages/announcement.ts';
import type {
  Blobs,
  Clock,
  Database,
  DemandClock,
  Log,
  Metrics,
  Random,
  TableSpec,
} from '../protocol/ports.ts';
import { purgeSigner } from '../protocol/purge.ts';
import { type BlobDependencies, openBlobs } from './adapters/blobs.ts';
import { openLevel } from './adapters/level.ts';
import { recordTable } from './adapters/level-record.ts';
import type { Config } from './config.ts';
import type { Identity } from './identity.ts';
import type { Sites } from './sites.ts';

/** Demand history, a row a resource, and what was learned from it. */
export const HISTORY: TableSpec<readonly unknown[]> = recordTable('history', 10, v.array(v.unknown()));
export const LEARNED: TableSpec<unknown> = recordTable('learned', 11, v.unknown());

/** Announcements that were made here, with the names that others will ask for. */
export const ANNOUNCEMENTS: TableSpec<OwnAnnouncement> = recordTable(
  'announcements',
  13,
  v.pipe(
    v.strictTuple([v.instance(Uint8Array), v.string(), v.string()]),
    v.transform(([bytes, key, site]): OwnAnnouncement => {
      const [announcement] = decodeAnnouncements(bytes);
      if (!announcement) throw new PresageError('STORE_CORRUPT', 'announcements: an empty row');
      return { announcement, name: { key: key as ResourceKey, site: site as SiteId } };
    }),
  ),
  ({ announcement, name }) => [encodeAnnouncements([announcement]), name.key, name.site],
);

/** What this PoP keeps on disk. Opened before anything that could change it, closed after everything. */
export interface Store {
  readonly database: Database;
  readonly blobs: Blobs;
  readonly hybrid: HybridClock;
  readonly ledger: PurgeLedger;
  readonly replicas: LocalReplicas;
  /** Brings what is stored in line with the sites of the charter that is in force now. */
  obey(): Promise<void>;
}

/** Opens the blob store; it asks for room and tells of losses. */
export type OpenBlobs = (hooks: Required<Pick<BlobDependencies, 'makeRoom' | 'lost'>>) => Promise<Blobs>;

/** Headers, unfinished contents and what awaits deletion take the rest of `storage.budget`. */
const CONTENT_SHARE = 0.95;

/** Makes the data directory and locks it. Fails with `STORE_LOCKED` or `STORE_IO`. */
export async function openDatabase(config: Config, deps: { log: Log; metrics: Metrics }): Promise<Database> {
  try {
    await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new PresageError(
      'STORE_IO',
      `dataDir: ${config.dataDir} cannot be made: ${(error as Error).message}`,
      {},
      error,
    );
  }
  return openLevel(join(config.dataDir, 'db'), deps);
}

/** Blobs in files, under the budgets of the configuration. */
export const openBlobFiles =
  (
    config: Pick<Config, 'dataDir' | 'storage'>,
    { privateKey }: Pick<Identity, 'privateKey'>,
    deps: { readonly log: Log; readonly metrics: Metrics; readonly random: Random },
  ): OpenBlobs =>
  (hooks) =>
    openBlobs(
      {
        directory: join(config.dataDir, 'blobs'),
        budgetBytes: config.storage.budget,
        memoryBytes: config.storage.memory,
        maxObjectBytes: config.storage.maxObject,
        sealingKey: sealingKey(privateKey),
      },
      { ...deps, ...hooks },
    );

/** Opens blobs, purges and replicas, and reads back what was there. */
export async function openStore(
  { storage }: Pick<Config, 'storage'>,
  identity: Identity,
  sites: Sites,
  /** There is no PoP to reconcile purges with. */
  alone: boolean,
  database: Database,
  deps: {
    readonly log: Log;
    readonly metrics: Metrics;
    readonly clock: Clock;
    readonly demand: DemandClock;
    readonly openBlobs: OpenBlobs;
  },
): Promise<Store> {
  const { log, metrics, clock, demand } = deps;
  const { self, privateKey } = identity;
  let replicas: LocalReplicas | undefined;
  const failed = (error: unknown) => log.error('the store could not be tidied', { error: String(error) });
  const blobs = await deps.openBlobs({
    makeRoom: async (bytes) => replicas?.makeRoom(bytes),
    lost: (hash) => void replicas?.lost(hash).catch(failed),
  });
  const hybrid = new HybridClock(self);
  const ledger = await PurgeLedger.open(
    {
      self,
      secretOf: (site) => sites.ofId(site)?.secret,
      sign: purgeSigner(privateKey),
      alone,
    },
    { database, clock, hybrid, log, metrics },
  );
  replicas = await LocalReplicas.open({
    ...{ self, database, blobs, ledger, hybrid, clock, demand, log, metrics },
    budgetBytes: Math.floor(storage.budget * CONTENT_SHARE),
    cutOff: (site: SiteId) => sites.ofId(site)?.cutOff ?? 'revalidate',
  });
  const held = replicas;
  const obey = () => obeyCharter(held, blobs, sites, identity.name, log);
  await obey();
  return { database, blobs, hybrid, ledger, replicas, obey };
}

/** Key under which contents of private sites stand on disk; it lasts as long as the PoP's own. */
function sealingKey(privateKey: KeyObject): Uint8Array {
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  return new Uint8Array(hkdfSync('sha256', seed, '', 'presage/blobs/1', 32));
}

/** Lets go of what this PoP may not hold (any more), and seals what was stored before its site became private. */
async function obeyCharter(
  replicas: LocalReplicas,
  blobs: Blobs,
  sites: Sites,
  name: string,
  log: Log,
): Promise<void> {
  for (const { key16, variant, site: id, content } of [...replicas.catalogue.shelf]) {
    const site = sites.ofId(id);
    try {
      if (site && !siteAllows(site, name)) await replicas.drop(key16, variant);
      else if (site?.private && blobs.has(content)) await blobs.seal(content);
    } catch (error) {
      log.warn('a replica could not be brought in line with the charter; it is dropped', {
        ...{ key16, site: id, code: codeOf(error) },
      });
      await replicas.drop(key16, variant).catch(() => undefined);
    }
  }
}
