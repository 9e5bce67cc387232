import { randomBytes } from 'node:crypto';
import type { MindHost } from '../actors/forecaster.ts';
import type { MindOptions } from '../forecasting/mind.ts';
import { ForecastPool } from '../forecasting/pool.ts';
import { codeOf, PresageError } from '../protocol/errors.ts';
import type { Clock, DemandClock, Log, Random } from '../protocol/ports.ts';
import { demandClock, systemClock } from './adapters/clock.ts';
import type { Network } from './adapters/libp2p.ts';
import { zstd } from './adapters/zstd.ts';
import { eventLoopUtilisation } from './capacity.ts';
import type { Config, Explained } from './config.ts';
import { LogDemand } from './demand-source.ts';
import { type Doors, openDoors } from './doors.ts';
import { type Feeds, openFeeds } from './feeds.ts';
import { createOrigin } from './http/origin.ts';
import { type Identity, loadIdentity } from './identity.ts';
import type { KnownPops } from './known-pops.ts';
import { lacksOf } from './lacks.ts';
import type { MetricsRegistry } from './metrics.ts';
import type { OperatorWord } from './operator-word.ts';
import { type OnClose, type Pop, startPop } from './pop.ts';
import type { EventHub } from './rpc/events.ts';
import { type ShutdownPhase, shutdown } from './shutdown.ts';
import { openBlobFiles, openDatabase } from './store.ts';

/** Everything that a running daemon consists of; what the RPC's handlers look at. */
export interface Daemon extends Pop {
  readonly config: Config;
  readonly explained: Explained;
  readonly identity: Identity;
  readonly pool: ForecastPool;
  readonly feeds: Feeds;
  readonly logDemand: LogDemand;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  readonly startedAt: number;
  /** What is missing now, in words with the remedy. */
  lacks(): readonly string[];
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

/** Share of an epoch after which series that are not forecast yet get the cheap answer. */
const FORECAST_SHARE = 0.8;

/** Builds a PoP from its configuration and starts it, the database first and the doors last. */
export async function compose(config: Config, deps: ComposeDeps): Promise<Running> {
  const { log } = deps;
  const clock = systemClock;
  const phases: ShutdownPhase[] = [];
  const close = shutdown(phases, { clock, log });
  /** What is opened later is closed earlier. */
  const onClose: OnClose = (name, run, deadlineMs = 5_000) => void phases.unshift({ name, deadlineMs, run });
  try {
    const { daemon, doors } = await build(config, deps, clock, onClose);
    return { daemon, doors, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(config: Config, deps: ComposeDeps, clock: Clock, onClose: OnClose) {
  const { log, metrics, events: hub } = deps;
  const startedAt = clock.now();
  const random: Random = { float: Math.random, uint32: () => randomBytes(4).readUInt32BE() };
  const database = await openDatabase(config, { log, metrics });
  onClose('database', () => database.close());
  const identity = await loadIdentity(config, clock.now());
  for (const warning of identity.membership?.warnings ?? []) log.warn(warning);
  const demand = demandClock(clock, { offsetMs: config.clock.offset, speed: config.clock.speed });
  const origin = createOrigin({ responseTimeoutMs: config.http.originTimeout }, { clock, log, metrics });
  let pool!: ForecastPool;
  const pop = await startPop(
    config,
    identity,
    {
      ...{ clock, demand, random, log, metrics, database, origin, compressor: zstd },
      events: { emit: (type, data) => hub.publish(type, data) },
      countries: await countries(config),
      openBlobs: openBlobFiles(config, identity, { log, metrics, random }),
      connect: (known, operator) =>
        connect(config, identity, known, operator, { log, metrics, clock, random }),
      startMind: deps.startMind,
      startPool: (epochMs) => {
        pool = new ForecastPool(
          { workers: config.forecast.workers, deadlineMs: FORECAST_SHARE * epochMs },
          { log, metrics, clock },
        );
        onClose('workers', () => pool.close());
        return pool;
      },
      utilisation: eventLoopUtilisation(),
      yieldTurn: () => new Promise((resolve) => setImmediate(resolve)),
    },
    onClose,
    deps.failed,
  );
  const { actors, names, sites, operator, geography } = pop;
  const reread = () => void operator.reread();
  process.on('SIGHUP', reread);
  onClose('charter file', () => void process.off('SIGHUP', reread));
  const feeds = await openFeeds(
    {
      ...{ config, actors, pool, database, sites, names, clock, demand, random, log, metrics },
      ...{ gossip: pop.gossip, nameOf: pop.nameOf, charter: () => operator.charters.current() },
    },
    onClose,
  );
  const daemon: Daemon = {
    ...{ ...pop, config, explained: deps.explained, identity, pool, feeds },
    ...{ clock, demand, metrics, log, startedAt },
    logDemand: new LogDemand({ sites, geography, names }),
    lacks: () => lacksOf(daemon),
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
