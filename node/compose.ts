import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { MindHost } from '../actors/forecaster.ts';
import { Intake } from '../actors/intake.ts';
import { Names } from '../actors/names.ts';
import { Puller } from '../actors/puller.ts';
import { RecordBook } from '../actors/record-book.ts';
import type { PopCard } from '../actors/router.ts';
import { supply } from '../actors/supplier.ts';
import { type Actors, startActors } from '../actors/tree.ts';
import type { MindOptions } from '../forecasting/mind.ts';
import { ForecastPool } from '../forecasting/pool.ts';
import { codeOf, PresageError } from '../protocol/errors.ts';
import { key16Of, type PopId } from '../protocol/ids.ts';
import type { Clock, Events, Gossip, Log, Peers, Random, Streams } from '../protocol/ports.ts';
import { purgeVerifier } from '../protocol/purge.ts';
import { RoutingTable } from '../protocol/routing.ts';
import { demandClock, systemClock } from './adapters/clock.ts';
import type { Network } from './adapters/libp2p.ts';
import { soloNetwork } from './adapters/solo.ts';
import { zstd } from './adapters/zstd.ts';
import { agreementMembership } from './agreement-membership.ts';
import { Capacity } from './capacity.ts';
import type { Config, Explained } from './config.ts';
import { demandOfEdge, LogDemand } from './demand-source.ts';
import { ZoneList } from './dns/zone-list.ts';
import { type Doors, openDoors } from './doors.ts';
import { edgeOptions } from './edge-options.ts';
import { type Feeds, openFeeds } from './feeds.ts';
import { createEdge, type Edge } from './http/edge.ts';
import { createOrigin } from './http/origin.ts';
import { type Identity, loadIdentity } from './identity.ts';
import { KnownPops } from './known-pops.ts';
import { lacksOf } from './lacks.ts';
import { LiveGeography } from './live-geography.ts';
import type { MetricsRegistry } from './metrics.ts';
import { OperatorDocuments } from './operator-documents.ts';
import { OperatorWord } from './operator-word.ts';
import { peerFill } from './peer-fill.ts';
import { resourceHosts } from './resource-hosts.ts';
import type { EventHub } from './rpc/events.ts';
import { type ShutdownPhase, shutdown } from './shutdown.ts';
import { Sites } from './sites.ts';
import { ANNOUNCEMENTS, HISTORY, LEARNED, openDatabase, openStore, type Store } from './store.ts';
import { TEXT_RECORDS } from './text-records.ts';
import { Traffic } from './traffic.ts';

/** Everything that a running daemon consists of; what the RPC's handlers look at. */
export interface Daemon {
  readonly config: Config;
  readonly explained: Explained;
  readonly identity: Identity;
  /** Charter, founders and revocations, as they change while the daemon runs. */
  readonly operator: OperatorWord;
  readonly sites: Sites;
  readonly names: Names;
  readonly store: Store;
  readonly peers: Peers;
  readonly network: Network | undefined;
  readonly actors: Actors;
  readonly pool: ForecastPool;
  readonly feeds: Feeds;
  readonly zones: ZoneList;
  readonly records: RecordBook;
  readonly capacity: Capacity;
  readonly intake: Intake;
  readonly traffic: Traffic;
  readonly logDemand: LogDemand;
  readonly edge: Edge;
  readonly clock: Clock;
  readonly demand: ReturnType<typeof demandClock>;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  readonly startedAt: number;
  /** What is missing now, in words with the remedy. */
  lacks(): readonly string[];
  table(): RoutingTable;
}

export interface ComposeDeps {
  readonly log: Log;
  readonly metrics: MetricsRegistry;
  readonly events: EventHub;
  readonly explained: Explained;
  /** Starts the thread that forecasts, agrees and plans. */
  readonly startMind: (options: MindOptions) => MindHost;
  /** Hears that the actors have given up; the process should end with a non-zero code. */
  readonly failed: (error: PresageError) => void;
}

/** A daemon that runs, its doors open. */
export interface Running {
  readonly daemon: Daemon;
  readonly doors: Doors;
  /** Closes in order: doors first, the database last. True if all went cleanly. */
  close(): Promise<boolean>;
}

const SAMPLE_MS = 500;
/** Longest that the other members are given to hear that this PoP leaves. */
const LEAVE_MS = 2_000;
/** Share of an epoch after which series that are not forecast yet get the cheap answer. */
const FORECAST_SHARE = 0.8;

/** Builds a PoP from its configuration and starts it, the database first and the doors last. */
export async function compose(config: Config, deps: ComposeDeps): Promise<Running> {
  const { log } = deps;
  const clock = systemClock;
  const phases: ShutdownPhase[] = [];
  const close = shutdown(phases, { clock, log });
  /** What is opened later is closed earlier. */
  const onClose = (name: string, run: () => Promise<void> | void, deadlineMs = 5_000) =>
    void phases.unshift({ name, deadlineMs, run });
  try {
    const { daemon, doors } = await build(config, deps, clock, onClose);
    return { daemon, doors, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type OnClose = (name: string, run: () => Promise<void> | void, deadlineMs?: number) => void;

async function build(config: Config, deps: ComposeDeps, clock: Clock, onClose: OnClose) {
  const { log, metrics, events: hub } = deps;
  const startedAt = clock.now();
  const events: Events = { emit: (type, data) => hub.publish(type, data) };
  const random: Random = { float: Math.random, uint32: () => randomBytes(4).readUInt32BE() };
  const database = await openDatabase(config, { log, metrics });
  onClose('database', () => database.close());
  const identity = await loadIdentity(config, clock.now());
  for (const warning of identity.membership?.warnings ?? []) log.warn(warning);
  const { self } = identity;
  const operator = await OperatorWord.open(config, identity, { database, log, metrics });
  const { charters } = operator;
  const sites = new Sites(charters.current());
  const demand = demandClock(clock, { offsetMs: config.clock.offset, speed: config.clock.speed });
  const known = await KnownPops.open(database, { log });
  // The first PoP of a cluster has nobody to reconcile with until another has come.
  const alone = !identity.membership || (config.p2p.bootstrap.length === 0 && known.cards.length === 0);
  const store = await openStore(config, identity, sites, alone, database, {
    log,
    metrics,
    clock,
    demand,
    random,
  });
  onClose('blobs', () => store.blobs.close());
  onClose('replicas', () => store.replicas.flush());
  const network = await connect(config, identity, known, operator, { log, metrics, clock, random });
  if (network) onClose('network', () => network.close());
  const { gossip, streams, peers }: { gossip: Gossip; streams: Streams; peers: Peers } =
    network ?? soloNetwork(self);
  const documents = new OperatorDocuments({ streams, peers, clock, random, log, metrics });
  onClose('operator documents', () => documents.close());
  operator.connect(documents, (list) => network?.revoke(list));
  const geography = new LiveGeography(charters.current(), await countries(config));

  const names = new Names();
  const intake = new Intake(metrics);
  const traffic = new Traffic();
  const capacity = new Capacity(
    { budgetBytes: config.storage.budget, bytesPerSecond: config.mirror.bandwidth },
    store.blobs,
  );
  const nameOf = (pop: PopId) => (pop === self ? identity.name : network?.certificateOf(pop)?.name);
  const puller = new Puller({
    ...{
      index: store.replicas,
      blobs: store.blobs,
      streams,
      peers,
      compressor: zstd,
      clock,
      demand,
      log,
      metrics,
    },
    site: (id) => sites.ofId(id),
    name: identity.name,
    maxObjectBytes: config.storage.maxObject,
  });
  const origin = createOrigin({ responseTimeoutMs: config.http.originTimeout }, { clock, log, metrics });
  onClose('origin', () => origin.close());
  const edge = createEdge(edgeOptions(config, identity.name), {
    ...{ index: store.replicas, blobs: store.blobs, origin, demand, clock, log, metrics },
    site: (host) => sites.ofHost(host),
    hostOf: resourceHosts(() => charters.current(), names),
    fill: peerFill({ puller, peers, replicas: store.replicas, nameOf, name: identity.name, clock }),
    observe: (seen) => {
      traffic.count(seen, clock.monotonic());
      intake.push(demandOfEdge(seen, names));
    },
    regionOf: (address) => {
      const { by, region } = geography.locateText(address);
      // Whom nothing places is near whom they came to, as far as anybody can tell.
      return by === 'default' ? identity.region : region;
    },
  });
  let table = RoutingTable.empty();
  const card: PopCard = identity.membership?.own ?? {
    ...{ pop: self, name: identity.name, region: identity.region },
    ...{ addressesV4: loneAddresses(config, 4), addressesV6: loneAddresses(config, 6) },
  };
  const pool = new ForecastPool(
    { workers: config.forecast.workers, deadlineMs: FORECAST_SHARE * charters.current().epochMs },
    { log, metrics, clock },
  );
  onClose('workers', () => pool.close());
  const certificateOf = (pop: PopId) => (pop === self ? card : network?.certificateOf(pop));
  const zones = await ZoneList.read(config, () => charters.current());
  const records = await RecordBook.open({
    ...{ table: database.table(TEXT_RECORDS), clock, log, metrics, zones: () => zones.apexes },
    certified: (pop) => certificateOf(pop) !== undefined,
  });
  const actors = await startActors(
    {
      ...{ self, name: identity.name, region: identity.region, alone, card },
      get charter() {
        return charters.current();
      },
      get charterHash() {
        return charters.terms().hash;
      },
      ...{ historyBytes: config.memory.history, bytesPerSecond: config.mirror.bandwidth },
      ...{
        clock,
        demand,
        log,
        metrics,
        events,
        gossip,
        streams,
        peers,
        puller,
        names,
        intake,
        certificateOf,
      },
      ...{ hybrid: store.hybrid, ledger: store.ledger, replicas: store.replicas, pool },
      // A number above all that were sent before, also after the loss of the disk.
      sequence: Math.floor(clock.now() / 1_000),
      ...{ database, startMind: deps.startMind },
      agreement: () =>
        agreementMembership(identity, {
          origin: operator.founders.origin(),
          ...{ random, epochMs: charters.current().epochMs },
          decided: (decision) => operator.decided(decision),
        }),
      verify: purgeVerifier(() => true),
      history: database.table(HISTORY),
      learned: database.table(LEARNED),
      announcements: database.table(ANNOUNCEMENTS),
      yieldTurn: () => new Promise((resolve) => setImmediate(resolve)),
      capacities: () => capacity.report(),
      siteOf: (key) => sites.ofKey(key),
      siteById: (id) => sites.ofId(id),
      key16Of: (key, site) => key16Of(key, site.secret),
      known: () => network?.known() ?? [],
      ...{ records, privateKey: identity.privateKey },
      fetch: (key, key16, site, source) =>
        edge.fetchIntoStore(store.replicas.begin(key, key16, site.id), site, key, source),
      place: (content, tier) => {
        // What is not there any more by then needs no place.
        store.blobs.setTier(content, tier).catch(() => undefined);
      },
      swap: (next) => {
        table = next;
      },
    },
    deps.failed,
  );
  onClose('actors', () => actors.stop(), 10_000);
  onClose('leave', () => actors.agreement.ask<void>((reply) => ({ type: 'leave', reply }), LEAVE_MS));
  supply({
    ...{ index: store.replicas, blobs: store.blobs, streams, compressor: zstd, demand, metrics, nameOf },
    site: (id) => sites.ofId(id),
    keyOf: (key16) => names.get(key16),
    obtain: (key, key16, site) => {
      names.learn(key16, { key, site: site.id });
      return edge.fetchIntoStore(store.replicas.begin(key, key16, site.id), site, key, 'client');
    },
  });
  operator.proposeTo((operation) => void actors.agreement.tell({ type: 'operation', ...operation }));
  const enter = () => void actors.agreement.tell({ type: 'enter' });
  operator.founders.watch(enter);
  const follow = () => {
    const charter = charters.current();
    sites.replace(charter);
    geography.replace(charter);
    void store.obey();
    actors.router.tell({ type: 'rebuild' });
    actors.forecaster.tell({ type: 'charter', charter, hash: charters.terms().hash });
  };
  charters.watch((_, { version, hash }) => {
    follow();
    events.emit('charter', { version, hash });
  });
  // Either may have come while the actors started.
  follow();
  enter();
  const reread = () => void operator.reread();
  process.on('SIGHUP', reread);
  onClose('charter file', () => void process.off('SIGHUP', reread));
  const sampling = setInterval(() => {
    capacity.sample();
    actors.mirror.tell({ type: 'client-load', share: capacity.clientShare });
  }, SAMPLE_MS);
  onClose('sampling', () => clearInterval(sampling));

  const feeds = await openFeeds(
    {
      ...{ config, actors, pool, database, sites, names, clock, demand, random, log, metrics },
      ...{ gossip, nameOf, charter: () => charters.current() },
    },
    onClose,
  );
  const daemon: Daemon = {
    ...{
      config,
      explained: deps.explained,
      identity,
      operator,
      sites,
      names,
      store,
      peers,
      network,
      actors,
      pool,
    },
    ...{ capacity, intake, traffic, edge, clock, demand, metrics, log },
    ...{ zones, records, feeds },
    startedAt,
    logDemand: new LogDemand({ sites, geography, names }),
    lacks: () => lacksOf(daemon),
    table: () => table,
  };
  const doors = await openDoors(daemon, { geography, random, hub }, onClose);
  return { daemon, doors };
}

async function connect(
  config: Config,
  identity: Identity,
  known: KnownPops,
  operator: OperatorWord,
  deps: { log: Log; metrics: MetricsRegistry; clock: Clock; random: Random },
): Promise<Network | undefined> {
  const { membership } = identity;
  if (!membership) {
    if (config.p2p.bootstrap.length > 0) {
      throw new PresageError(
        'CONFIG_INVALID',
        'p2p.bootstrap is set, but cluster.certificate is not: see `presage keys --help`',
      );
    }
    return undefined;
  }
  // libp2p takes its time and some 40 MB: a PoP alone does without.
  const { startNetwork } = await import('./adapters/libp2p.ts');
  const { listen, announce, bootstrap } = config.p2p;
  const network = await startNetwork(
    { ...membership, listen, announce, bootstrap, known: known.cards },
    {
      ...deps,
      onCard: (pop, card) => known.put(pop, card),
      onRevocations: (list) => {
        known.putRevocations(list);
        operator.revocations.learned(list);
      },
    },
  );
  // The newest list that any peer told before the restart holds at once; an older one changes nothing.
  if (known.revocations) {
    try {
      network.revoke(known.revocations);
    } catch (error) {
      deps.metrics.count('errors_total', { code: codeOf(error) });
      deps.log.warn('the revocations on disk are not of this cluster, or damaged', { code: codeOf(error) });
    }
  }
  return network;
}

async function countries(config: Config) {
  if (config.geo.database === undefined) return undefined;
  const { openGeoip } = await import('./dns/geoip.ts');
  return openGeoip(config.geo.database);
}

/** Where DNS sends clients of a PoP alone: to the address that it serves on. */
function loneAddresses(config: Config, family: 4 | 6): readonly string[] {
  const host = config.http.listen?.host;
  // A wildcard is where to listen, not where to go.
  return host !== undefined && isIP(host) === family && !/^(0\.0\.0\.0|::)$/.test(host) ? [host] : [];
}
