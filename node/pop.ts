import { isIP } from 'node:net';
import type { DemandForecaster, MindHost } from '../actors/forecaster.ts';
import { Intake } from '../actors/intake.ts';
import { Names } from '../actors/names.ts';
import { Puller } from '../actors/puller.ts';
import { RecordBook } from '../actors/record-book.ts';
import type { PopCard } from '../actors/router.ts';
import { supply } from '../actors/supplier.ts';
import { type Actors, startActors } from '../actors/tree.ts';
import type { MindOptions } from '../forecasting/mind.ts';
import type { PresageError } from '../protocol/errors.ts';
import type { CountryLookup } from '../protocol/geography.ts';
import { key16Of, type PopId } from '../protocol/ids.ts';
import type {
  Clock,
  Compressor,
  Database,
  DemandClock,
  Events,
  Gossip,
  Log,
  Metrics,
  Peers,
  Random,
  Streams,
} from '../protocol/ports.ts';
import { purgeVerifier } from '../protocol/purge.ts';
import { RoutingTable } from '../protocol/routing.ts';
import type { Network } from './adapters/libp2p.ts';
import { soloNetwork } from './adapters/solo.ts';
import { agreementMembership } from './agreement-membership.ts';
import { Capacity } from './capacity.ts';
import type { Config } from './config.ts';
import { demandOfEdge } from './demand-source.ts';
import { ZoneList } from './dns/zone-list.ts';
import { edgeOptions } from './edge-options.ts';
import { createEdge, type Edge } from './http/edge.ts';
import type { OriginClient } from './http/origin.ts';
import type { Identity } from './identity.ts';
import { KnownPops } from './known-pops.ts';
import { LiveGeography } from './live-geography.ts';
import { OperatorDocuments } from './operator-documents.ts';
import { OperatorWord } from './operator-word.ts';
import { peerFill } from './peer-fill.ts';
import { resourceHosts } from './resource-hosts.ts';
import { Sites } from './sites.ts';
import { ANNOUNCEMENTS, HISTORY, LEARNED, type OpenBlobs, openStore, type Store } from './store.ts';
import { TEXT_RECORDS } from './text-records.ts';
import { Traffic } from './traffic.ts';

/**
 * Everything that a PoP touches the world through. The daemon gives it libp2p, LevelDB, files, threads and sockets; the
 * simulator gives it a virtual world. Between the two nothing differs.
 */
export interface PopWorld {
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly events: Events;
  readonly database: Database;
  readonly openBlobs: OpenBlobs;
  readonly compressor: Compressor;
  readonly origin: OriginClient;
  readonly countries: CountryLookup | undefined;
  /** Undefined where this PoP is alone. */
  connect(known: KnownPops, operator: OperatorWord): Promise<Network | undefined>;
  /** Starts the thread that forecasts, agrees and plans. */
  startMind(options: MindOptions): MindHost;
  /** Starts what forecasts series, in epochs of so many ms. */
  startPool(epochMs: number): DemandForecaster;
  /** Share of time, 0 … 1, that this PoP has been busy since the last call. */
  utilisation(): number;
  /** Lets what waits for the event loop have a turn. */
  yieldTurn(): Promise<void>;
}

/** A PoP that runs, its doors closed yet. */
export interface Pop {
  /** Charter, founders and revocations, as they change while the PoP runs. */
  readonly operator: OperatorWord;
  readonly sites: Sites;
  readonly geography: LiveGeography;
  readonly names: Names;
  readonly store: Store;
  readonly gossip: Gossip;
  readonly peers: Peers;
  readonly network: Network | undefined;
  readonly actors: Actors;
  readonly zones: ZoneList;
  readonly records: RecordBook;
  readonly capacity: Capacity;
  readonly intake: Intake;
  readonly traffic: Traffic;
  readonly edge: Edge;
  nameOf(pop: PopId): string | undefined;
  table(): RoutingTable;
}

export type PopConfig = Pick<Config, 'storage' | 'mirror' | 'memory' | 'http' | 'cluster' | 'p2p' | 'dns'>;

/** Has something closed in time: what is opened later is closed earlier. */
export type OnClose = (name: string, run: () => Promise<void> | void, deadlineMs?: number) => void;

const SAMPLE_MS = 500;
/** Longest that the other members are given to hear that this PoP leaves. */
const LEAVE_MS = 2_000;

/** Starts a PoP in its world, its store first. `failed` hears that the actors have given up. */
export async function startPop(
  config: PopConfig,
  identity: Identity,
  world: PopWorld,
  onClose: OnClose,
  failed: (error: PresageError) => void,
): Promise<Pop> {
  const { clock, demand, random, log, metrics, events, database, compressor } = world;
  const { self } = identity;
  const operator = await OperatorWord.open(config, identity, { database, log, metrics });
  const { charters } = operator;
  const sites = new Sites(charters.current());
  const known = await KnownPops.open(database, { log });
  // The first PoP of a cluster has nobody to reconcile with until another has come.
  const alone = !identity.membership || (config.p2p.bootstrap.length === 0 && known.cards.length === 0);
  const store = await openStore(config, identity, sites, alone, database, world);
  onClose('blobs', () => store.blobs.close());
  onClose('replicas', () => store.replicas.flush());
  const network = await world.connect(known, operator);
  if (network) onClose('network', () => network.close());
  const { gossip, streams, peers }: { gossip: Gossip; streams: Streams; peers: Peers } =
    network ?? soloNetwork(self);
  const documents = new OperatorDocuments({ streams, peers, clock, random, log, metrics });
  onClose('operator documents', () => documents.close());
  operator.connect(documents, (list) => network?.revoke(list));
  const geography = new LiveGeography(charters.current(), world.countries);

  const names = new Names();
  const intake = new Intake(metrics);
  const traffic = new Traffic();
  const capacity = new Capacity(
    { budgetBytes: config.storage.budget, bytesPerSecond: config.mirror.bandwidth },
    store.blobs,
    () => world.utilisation(),
  );
  const nameOf = (pop: PopId) => (pop === self ? identity.name : network?.certificateOf(pop)?.name);
  const puller = new Puller({
    ...{ index: store.replicas, blobs: store.blobs, streams, peers, compressor, clock, demand, log, metrics },
    site: (id) => sites.ofId(id),
    name: identity.name,
    maxObjectBytes: config.storage.maxObject,
  });
  onClose('origin', () => world.origin.close());
  const edge = createEdge(edgeOptions(config, identity.name), {
    ...{ index: store.replicas, blobs: store.blobs, origin: world.origin, demand, clock, log, metrics },
    site: (host) => sites.ofHost(host),
    hostOf: resourceHosts(() => charters.current(), names),
    clientKey: new Uint8Array(Uint32Array.from({ length: 8 }, () => random.uint32()).buffer),
    fill: peerFill({
      ...{ puller, peers, replicas: store.replicas, nameOf, name: identity.name, clock },
      reconciled: () => store.ledger.reconciled,
    }),
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
  const certificateOf = (pop: PopId) => (pop === self ? card : network?.certificateOf(pop));
  const zones = await ZoneList.read(config, () => charters.current());
  const records = await RecordBook.open({
    ...{ table: database.table(TEXT_RECORDS), clock, log, metrics, zones: () => zones.apexes },
    certified: (pop) => certificateOf(pop) !== undefined,
  });
  const fetchIntoStore: Parameters<typeof startActors>[0]['fetch'] = (key, key16, site, source) =>
    edge.fetchIntoStore(store.replicas.begin(key, key16, site.id), site, key, source);
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
      ...{ clock, demand, log, metrics, events, gossip, streams, peers },
      ...{ puller, names, intake, certificateOf, database, records },
      pool: world.startPool(charters.current().epochMs),
      ...{ hybrid: store.hybrid, ledger: store.ledger, replicas: store.replicas },
      // A number above all that were sent before, also after the loss of the disk.
      sequence: Math.floor(clock.now() / 1_000),
      startMind: (options) => world.startMind(options),
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
      yieldTurn: () => world.yieldTurn(),
      capacities: () => capacity.report(),
      siteOf: (key) => sites.ofKey(key),
      siteById: (id) => sites.ofId(id),
      key16Of: (key, site) => key16Of(key, site.secret),
      known: () => network?.known() ?? [],
      privateKey: identity.privateKey,
      fetch: fetchIntoStore,
      place: (content, tier) => {
        // What is not there any more by then needs no place.
        store.blobs.setTier(content, tier).catch(() => undefined);
      },
      swap: (next) => {
        table = next;
      },
    },
    failed,
  );
  onClose('actors', () => actors.stop(), 10_000);
  onClose('leave', () => actors.agreement.ask<void>((reply) => ({ type: 'leave', reply }), LEAVE_MS));
  supply({
    ...{ index: store.replicas, blobs: store.blobs, streams, compressor, demand, metrics, nameOf },
    site: (id) => sites.ofId(id),
    keyOf: (key16) => names.get(key16),
    obtain: (key, key16, site) => {
      names.learn(key16, { key, site: site.id });
      return fetchIntoStore(key, key16, site, 'client');
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
  onClose(
    'sampling',
    sampling(clock, () => {
      capacity.sample();
      actors.mirror.tell({ type: 'client-load', share: capacity.clientShare });
    }),
  );
  return {
    ...{ operator, sites, geography, names, store, gossip, peers, network, actors, zones, records },
    ...{ capacity, intake, traffic, edge, nameOf },
    table: () => table,
  };
}

/** Calls `sample` at regular intervals; the returned function ends that. */
function sampling(clock: Clock, sample: () => void): () => void {
  let cancel: () => void;
  const again = () => {
    cancel = clock.after(SAMPLE_MS, () => {
      again();
      sample();
    });
  };
  again();
  return () => cancel();
}

/** Where DNS sends clients of a PoP alone: to the address that it serves on. */
function loneAddresses(config: Pick<Config, 'http'>, family: 4 | 6): readonly string[] {
  const host = config.http.listen?.host;
  // A wildcard is where to listen, not where to go.
  return host !== undefined && isIP(host) === family && !/^(0\.0\.0\.0|::)$/.test(host) ? [host] : [];
}
