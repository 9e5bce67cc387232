import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type CatalogueMessage, catalogueSpec } from '../../../actors/catalogue.ts';
import { type InvalidatorMessage, invalidatorSpec } from '../../../actors/invalidator.ts';
import type { ActorRef } from '../../../actors/kernel/actor.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { PurgeLedger } from '../../../actors/purge-ledger.ts';
import { LocalReplicas } from '../../../actors/replica-index.ts';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import { systemClock } from '../../../node/adapters/clock.ts';
import { openLevel } from '../../../node/adapters/level.ts';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { Purgeable } from '../../../protocol/invalidation.ts';
import type { Blobs, Database, Gossip, Log, Metrics, Peers, Streams } from '../../../protocol/ports.ts';
import { type PurgeScope, purgeSigner, purgeVerifier, type SignedPurge } from '../../../protocol/purge.ts';
import type { PurgeResult } from '../../../protocol/purge-waiters.ts';
import type { FetchTicket, Replica, Standing } from '../../../protocol/replica.ts';
import { keyOf, popOf, SITE, secretOf } from '../../unit/invalidation/pops.ts';
import { systemRandom, testLog } from '../network/cluster.ts';

export interface NetworkPorts {
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
}

export interface PopOptions {
  readonly directory: string;
  readonly metrics: Metrics;
  readonly network: (self: PopId) => NetworkPorts;
  readonly alone?: boolean;
  readonly roster?: () => readonly PopId[];
  readonly cutOff?: 'serve-stale' | 'revalidate';
  readonly budgetBytes?: number;
  /** Hears of purges that have just come into force. */
  readonly applied?: (purges: readonly SignedPurge[]) => void;
}

/** What this part of a PoP is made of, for real: level, blobs, actors. */
export interface Pop {
  readonly self: PopId;
  readonly database: Database;
  readonly blobs: Blobs;
  readonly ledger: PurgeLedger;
  readonly replicas: LocalReplicas;
  readonly invalidator: ActorRef<InvalidatorMessage>;
  purge(
    scope: PurgeScope,
    options?: { soft?: boolean; wait?: boolean; waitMs?: number },
  ): Promise<PurgeResult>;
  begin(resource: Purgeable): FetchTicket;
  /** Stores `body` as what the origin has just served. */
  fetched(resource: Purgeable, body: string, ticket?: FetchTicket): Promise<Replica | undefined>;
  standing(resource: Purgeable): Standing | 'absent';
  close(): Promise<void>;
}

export const quiet: Log = testLog();

/** Opens PoP `n` on a directory; what an earlier life has left there is read back. */
export async function openPop(n: number, options: PopOptions): Promise<Pop> {
  const self = popOf(n);
  const { directory, metrics, alone = false } = options;
  const log = quiet;
  const clock = systemClock;
  const demand = { speed: 1, now: () => clock.now(), at: (real: number) => real };
  const database = await openLevel(join(directory, 'db'), { log, metrics });
  let replicas: LocalReplicas | undefined;
  const blobs = await openBlobs(
    {
      directory: join(directory, 'blobs'),
      budgetBytes: 2 * (options.budgetBytes ?? 10_000_000),
      memoryBytes: 1_000_000,
      maxObjectBytes: 1_000_000,
    },
    { log, metrics, random: systemRandom, lost: (hash) => void replicas?.lost(hash) },
  );
  const hybrid = new HybridClock(self);
  const ledger = await PurgeLedger.open(
    { self, secretOf, sign: purgeSigner(keyOf(n)), alone },
    { database, clock, hybrid, log, metrics },
  );
  const index = await LocalReplicas.open({
    ...{ self, database, blobs, ledger, hybrid, clock, demand, log, metrics },
    budgetBytes: options.budgetBytes ?? 10_000_000,
    cutOff: () => options.cutOff ?? 'serve-stale',
  });
  replicas = index;
  const network = options.network(self);
  const system = new ActorSystem({ clock, log, metrics, yieldTurn: () => setImmediate() });
  const catalogue: ActorRef<CatalogueMessage> = system.actor(catalogueSpec({ ...network, index, demand }));
  const invalidator: ActorRef<InvalidatorMessage> = system.actor(
    invalidatorSpec({
      ...{ ...network, ledger, hybrid, alone, verify: purgeVerifier(() => true) },
      roster: options.roster ?? (() => []),
      applied: (purges) => {
        options.applied?.(purges);
        catalogue.tell({ type: 'purged', purges });
      },
    }),
  );
  const intensity = { restarts: 0, withinMs: 1_000 };
  const root = system.group('root', 'one-for-one', intensity, [catalogue, invalidator]);
  await system.start(root, (error) => {
    throw error;
  });
  return {
    ...{ self, database, blobs, ledger, replicas: index, invalidator },
    purge: (scope, { soft = false, wait = true, waitMs = 60_000 } = {}) =>
      invalidator.ask<PurgeResult>(
        (reply) => ({ type: 'issue', order: { site: SITE, scope, soft, wait, waitMs }, reply }),
        70_000,
      ),
    begin: ({ key, key16, site }) => index.begin(key, key16, site),
    async fetched(resource, body, ticket = index.begin(resource.key, resource.key16, resource.site)) {
      const bytes = Buffer.from(body);
      const content = await blobs.put(bytes);
      return index.store(ticket, {
        ...{ variant: '', status: 200, content, size: bytes.length, tags: resource.tags },
        headers: [['etag', `"${content.slice(0, 8)}"`]],
        ...{ requestedAt: clock.now(), receivedAt: clock.now(), source: 'client' },
      });
    },
    standing({ key16 }) {
      const held = index.get(key16)[0];
      return held ? index.standing(held) : 'absent';
    },
    async close() {
      await system.stop(5_000);
      await blobs.close();
      await database.close();
    },
  };
}

/** A directory that is gone when `run` has ended. */
export async function withDirectory<T>(run: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'presage-invalidation-'));
  try {
    return await run(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
