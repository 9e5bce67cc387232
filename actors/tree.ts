import type { KeyObject } from 'node:crypto';
import type { AgreementSetup } from '../forecasting/agreed-forecast.ts';
import { BurstDetector, FAST_BURSTS } from '../forecasting/bursts.ts';
import type { Member } from '../forecasting/foresight.ts';
import type { MindOptions } from '../forecasting/mind.ts';
import type { Charter, Site } from '../protocol/charter.ts';
import { siteAllows } from '../protocol/charter.ts';
import type { Decision } from '../protocol/decision.ts';
import { PresageError } from '../protocol/errors.ts';
import type { HistoryRow } from '../protocol/history.ts';
import type { HybridClock } from '../protocol/hybrid-clock.ts';
import type { ContentHash, Key16, PopId, RegionId, ResourceKey } from '../protocol/ids.ts';
import type {
  Clock,
  Database,
  DemandClock,
  Events,
  Gossip,
  Log,
  Metrics,
  Peers,
  Streams,
  Table,
  Tier,
} from '../protocol/ports.ts';
import type { Verify } from '../protocol/purge.ts';
import type { Replica, ReplicaSource } from '../protocol/replica.ts';
import type { RoutingTable } from '../protocol/routing.ts';
import type { Capacities } from '../protocol/summary.ts';
import { ACCURACY } from './accuracy-table.ts';
import type { AgreementMessage } from './agreement.ts';
import { agreementEntrySpec } from './agreement-entry.ts';
import { type AnnouncerMessage, announcerSpec, type OwnAnnouncement } from './announcer.ts';
import { type CatalogueMessage, catalogueSpec } from './catalogue.ts';
import {
  type DemandForecaster,
  type ForecasterMessage,
  forecasterSpec,
  type MindHost,
} from './forecaster.ts';
import type { Intake } from './intake.ts';
import { type InvalidatorMessage, invalidatorSpec } from './invalidator.ts';
import type { ActorRef } from './kernel/actor.ts';
import { ActorSystem } from './kernel/system.ts';
import { type MirrorMessage, mirrorSpec } from './mirror.ts';
import type { Names } from './names.ts';
import { type ObserverMessage, observerSpec } from './observer.ts';
import type { Puller } from './puller.ts';
import type { PurgeLedger } from './purge-ledger.ts';
import type { RecordBook } from './record-book.ts';
import { type RecordsMessage, recordsSpec } from './records.ts';
import type { LocalReplicas } from './replica-index.ts';
import { type PopCard, preferredKey, type RouterMessage, routerSpec } from './router.ts';
import { type SentinelMessage, sentinelSpec } from './sentinel.ts';
import { newestReplica } from './supplier.ts';

/** The world of one PoP's actors. */
export interface ActorsDeps {
  readonly self: PopId;
  readonly name: string;
  readonly region: RegionId;
  /** The one in force: read anew wherever it is used, as it changes. */
  readonly charter: Charter;
  /** SHA-256 of its document, as decisions name it. */
  readonly charterHash: string;
  readonly alone: boolean;
  /** `memory.history` and `mirror.bandwidth`. */
  readonly historyBytes: number;
  readonly bytesPerSecond: number;
  /** Number of the first window. */
  readonly sequence: number;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly events: Events;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  readonly verify: Verify;
  readonly hybrid: HybridClock;
  readonly ledger: PurgeLedger;
  readonly replicas: LocalReplicas;
  readonly puller: Puller;
  readonly names: Names;
  readonly intake: Intake;
  readonly pool: DemandForecaster;
  readonly database: Database;
  readonly history: Table<HistoryRow[1]>;
  readonly learned: Table<unknown>;
  readonly announcements: Table<OwnAnnouncement>;
  readonly card: PopCard;
  readonly records: RecordBook;
  /** Signs what is set here for all PoPs. */
  readonly privateKey: KeyObject;
  /** Undefined until founders are known to agree with: this PoP then plans alone. */
  agreement(): AgreementMembership | undefined;
  yieldTurn(): Promise<void>;
  startMind(options: MindOptions): MindHost;
  capacities(): Capacities;
  siteOf(key: ResourceKey): Site | undefined;
  siteById(id: Site['id']): Site | undefined;
  key16Of(key: ResourceKey, site: Site): Key16;
  certificateOf(pop: PopId): PopCard | undefined;
  /** PoPs with a valid certificate, connected or not, without this one. */
  known(): readonly PopId[];
  fetch(key: ResourceKey, key16: Key16, site: Site, source: ReplicaSource): Promise<Replica | undefined>;
  /** Moves a content to or from the memory tier. */
  place(content: ContentHash, tier: Tier): void;
  swap(table: RoutingTable): void;
}

/** This PoP's part in the agreement. */
export interface AgreementMembership {
  readonly setup: Omit<AgreementSetup, 'records'>;
  /** What it asks to be let in with while it is no member. */
  readonly joining: Uint8Array | undefined;
  /** Its word that it goes, good for heights `from` to `to`. */
  leave(from: number, to: number): Uint8Array;
  decided(decision: Decision): void;
}

/** The running actors, by role. */
export interface Actors {
  readonly system: ActorSystem;
  readonly invalidator: ActorRef<InvalidatorMessage>;
  readonly catalogue: ActorRef<CatalogueMessage>;
  readonly observer: ActorRef<ObserverMessage>;
  readonly sentinel: ActorRef<SentinelMessage>;
  readonly forecaster: ActorRef<ForecasterMessage>;
  readonly agreement: ActorRef<AgreementMessage>;
  readonly mirror: ActorRef<MirrorMessage>;
  readonly router: ActorRef<RouterMessage>;
  readonly announcer: ActorRef<AnnouncerMessage>;
  readonly records: ActorRef<RecordsMessage>;
  stop(): Promise<void>;
}

/** Restarts within a minute that a concern may need before the daemon as a whole is in doubt. */
const INTENSITY = { restarts: 5, withinMs: 60_000 };
const STOP_DEADLINE_MS = 5_000;
/** Level of the upper quantile of forecasts. */
const LEVEL = 0.9;

/**
 * The supervision tree, in start order. What is stored comes first: purges, then replicas. Demand follows as a
 * chain, each link of which starts anew with those behind it: forecasts and plans, mirrors, the fast path, windows.
 * Routing stands apart.
 */
export async function startActors(deps: ActorsDeps, failed: (error: PresageError) => void): Promise<Actors> {
  const { self, clock, demand, log, metrics, events, gossip, streams, peers, replicas, names } = deps;
  const system = new ActorSystem({ clock, log, metrics, yieldTurn: () => deps.yieldTurn() });
  const members = (): Member[] =>
    [deps.card, ...deps.known().flatMap((pop) => deps.certificateOf(pop) ?? [])].map(
      ({ pop, name, region }) => ({ id: pop, name, region }),
    );
  let host: MindHost | undefined;
  const startMind = () => {
    host = deps.startMind({
      ...{
        self,
        region: deps.region,
        charter: deps.charter,
        charterHash: deps.charterHash,
        members: members(),
        historyBytes: deps.historyBytes,
      },
    });
    return host;
  };
  /** The mind starts with the forecaster, before whatever else asks it. */
  const mind = () => {
    if (!host) throw new PresageError('ACTOR_STOPPED', 'the mind has not started');
    return host.remote;
  };
  const held = (key16: Key16) => newestReplica(replicas, key16, undefined);
  const nameOf = (pop: PopId) => (pop === self ? deps.name : deps.certificateOf(pop)?.name);
  const holders = (key16: Key16) => [
    ...new Set(replicas.holders(key16, peers.connected()).map(({ pop }) => pop)),
  ];
  let worth = { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 };

  const catalogue: ActorRef<CatalogueMessage> = system.actor(
    catalogueSpec({ index: replicas, gossip, streams, peers, demand }),
  );
  const invalidator: ActorRef<InvalidatorMessage> = system.actor(
    invalidatorSpec({
      ...{
        ledger: deps.ledger,
        hybrid: deps.hybrid,
        gossip,
        streams,
        peers,
        verify: deps.verify,
        alone: deps.alone,
      },
      certified: (pop) => pop === self || deps.certificateOf(pop) !== undefined,
      roster: () => deps.known(),
      applied: (purges) => {
        catalogue.tell({ type: 'purged', purges });
        for (const { issuer, seq, target, soft } of purges)
          events.emit('purge', { issuer, seq, kind: target.kind, soft });
      },
    }),
  );
  const mirror: ActorRef<MirrorMessage> = system.actor(
    mirrorSpec({
      ...{ index: replicas, puller: deps.puller, streams, peers, events, name: deps.name },
      ...{ bytesPerSecond: deps.bytesPerSecond, speed: demand.speed, holders, nameOf },
      site: (id) => deps.siteById(id),
      keyOf: (key16) => names.get(key16),
      learnKey: (key16, key) => {
        const site = deps.siteOf(key);
        if (!site || !siteAllows(site, deps.name) || deps.key16Of(key, site) !== key16) return undefined;
        const name = { key, site: site.id };
        names.learn(key16, name);
        return name;
      },
      fenceOf: (key16) => held(key16)?.fence ?? new Map(),
      roomFor: (bytes, source) => replicas.roomFor(bytes, source),
      fetch: (key, key16, site, source) => deps.fetch(key, key16, site, source),
      mirrored: ({ key16, key, site, size, content }, source, { tier, region = null }) => {
        names.learn(key16, { key, site });
        forecaster.tell({ type: 'mirrored', key16, size, source });
        deps.place(content, tier);
        events.emit('mirror', { key16, key, size, source, region, at: clock.now() });
      },
      tag: (key16, status, priority) =>
        void catalogue.tell({ type: 'note', key16, change: { pulling: status === 'pulling', priority } }),
    }),
  );
  const router: ActorRef<RouterMessage> = system.actor(
    routerSpec({
      ...{ self: deps.card, peers },
      get charter() {
        return deps.charter;
      },
      certificateOf: (pop) => deps.certificateOf(pop),
      holders: (key16) => (held(key16) ? [self, ...holders(key16)] : holders(key16)),
      swap: (table) => deps.swap(table),
    }),
  );
  const sentinel: ActorRef<SentinelMessage> = system.actor(
    sentinelSpec({
      ...{ bursts: new BurstDetector(FAST_BURSTS), gossip, peers, events, demand, held },
      capacities: () => deps.capacities(),
      speculate: (wanted, holder) => void mirror.tell({ type: 'speculate', wanted, holder }),
      release: (key16) => {
        for (const replica of replicas.get(key16)) {
          if (replica.source !== 'speculative' || replica.uses > 0) continue;
          forecaster.tell({ type: 'released', key16 });
          void replicas
            .drop(key16, replica.variant)
            .catch(() => metrics.count('errors_total', { code: 'STORE_IO' }));
        }
      },
    }),
  );
  const forecaster: ActorRef<ForecasterMessage> = system.actor(
    forecasterSpec({
      ...{ mind: startMind, pool: deps.pool, demand, events, members },
      ...{ history: deps.history, learned: deps.learned },
      accuracy: deps.database.table(ACCURACY),
      ...{ epochMs: deps.charter.epochMs, level: LEVEL },
      horizonMs: () => deps.charter.horizonMs,
      capacities: () => deps.capacities(),
      ready: () => void agreement.tell({ type: 'propose' }),
      worth: (taken) => {
        worth = taken;
      },
      planned: (wanted, epoch) => {
        mirror.tell({ type: 'plan', wanted });
        sentinel.tell({ type: 'planned', epoch, listed: new Set(wanted.map(({ key16 }) => key16)) });
      },
      prefer: (preferred) =>
        void router.tell({
          type: 'preferred',
          preferred: new Map(preferred.map(([site, region, pop]) => [preferredKey(site, region), pop])),
        }),
    }),
  );
  const agreement: ActorRef<AgreementMessage> = system.actor(
    agreementEntrySpec(() => {
      const membership = deps.agreement();
      return (
        membership && {
          ...{ self, database: deps.database, gossip, streams, peers },
          ...{ genesis: membership.setup.genesis, joining: membership.joining },
          machine: {
            join: (records) => mind().join({ ...membership.setup, records }),
            step: (input, now, at) => mind().step(input, now, at),
            heard: (from, bytes, now, at) => mind().heard(from, bytes, now, at),
          },
          leave: (from, to) => membership.leave(from, to),
          decided: (decision) => {
            forecaster.tell({ type: 'decided', decision });
            membership.decided(decision);
          },
          degraded: (degraded) => events.emit('degraded', { degraded }),
        }
      );
    }),
  );
  const observer: ActorRef<ObserverMessage> = system.actor(
    observerSpec({
      ...{
        intake: deps.intake,
        gossip,
        peers,
        demand,
        epochMs: deps.charter.epochMs,
        sequence: deps.sequence,
      },
      capacities: () => deps.capacities(),
      takeWorth: () => {
        const taken = worth;
        worth = { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 };
        return taken;
      },
      seen: (batch) => {
        sentinel.tell({ type: 'seen', batch });
        // Once each: that it was asked for is all that is told, and to another thread.
        forecaster.tell({ type: 'requested', keys: [...new Set(batch.map(({ key16 }) => key16))] });
      },
      shared: (summary) => {
        forecaster.tell({ type: 'summary', summary });
        router.tell({ type: 'capacities', pop: summary.pop, capacities: summary.capacities });
      },
      closed: (epoch) => void forecaster.tell({ type: 'closed', epoch }),
    }),
  );

  const announcer: ActorRef<AnnouncerMessage> = system.actor(
    announcerSpec({
      ...{ gossip, demand, names, table: deps.announcements },
      horizonMs: () => deps.charter.horizonMs,
      serves: (region) => region === deps.region,
      held: (key16) => held(key16) !== undefined,
      mirror: (wanted) => void mirror.tell({ type: 'order', wanted }),
    }),
  );

  const records: ActorRef<RecordsMessage> = system.actor(
    recordsSpec({
      ...{ book: deps.records, key: deps.privateKey, gossip, streams, peers },
      known: () => deps.known(),
    }),
  );

  const root = system.group('pop', 'one-for-one', INTENSITY, [
    system.group('store', 'rest-for-one', INTENSITY, [catalogue, invalidator]),
    system.group('demand', 'rest-for-one', INTENSITY, [mirror, forecaster, agreement, sentinel, observer]),
    router,
    announcer,
    records,
  ]);
  await system.start(root, failed);
  return {
    ...{
      system,
      invalidator,
      catalogue,
      observer,
      sentinel,
      forecaster,
      agreement,
      mirror,
      router,
      announcer,
      records,
    },
    stop: () => system.stop(STOP_DEADLINE_MS),
  };
}
