import type { Names } from '../actors/names.ts';
import type { Actors } from '../actors/tree.ts';
import type { ForecastPool } from '../forecasting/pool.ts';
import { RecurrentKeeper } from '../forecasting/recurrent-keeper.ts';
import type { Series } from '../forecasting/series.ts';
import type { Signal } from '../forecasting/signals.ts';
import type { Charter } from '../protocol/charter.ts';
import type { PopId } from '../protocol/ids.ts';
import type { Clock, Database, DemandClock, Gossip, Log, Metrics, Random } from '../protocol/ports.ts';
import type { Config } from './config.ts';
import { SignalRelay } from './signals/signal-relay.ts';
import { SignalSources } from './signals/signal-sources.ts';
import type { Sites } from './sites.ts';
import { LEARNED } from './store.ts';

/** What feeds the forecasts beside demand: the network that is trained across series, and signals from outside. */
export interface Feeds {
  readonly network: RecurrentKeeper;
  readonly signals: SignalSources;
}

export interface FeedsDeps {
  readonly config: Config;
  readonly actors: Pick<Actors, 'forecaster'>;
  readonly pool: ForecastPool;
  readonly database: Database;
  readonly sites: Sites;
  readonly names: Names;
  readonly gossip: Gossip;
  readonly charter: () => Charter;
  readonly nameOf: (pop: PopId) => string | undefined;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** How often it is seen whether a training is due, real ms. */
const CONSIDER_MS = 30_000;
/** Longest that the mind is given to hand over its series. */
const SERIES_MS = 30_000;

/** Opens them, and has them closed in time. Fails with `CONFIG_INVALID`. */
export async function openFeeds(
  deps: FeedsDeps,
  onClose: (name: string, run: () => Promise<void> | void) => void,
): Promise<Feeds> {
  const { config, actors, pool, database, charter, clock, demand, random, log, metrics } = deps;
  const network = await RecurrentKeeper.open({
    ...{ pool, clock, random, log, metrics },
    table: database.table(LEARNED),
    series: () =>
      actors.forecaster.ask<readonly Series[]>((reply) => ({ type: 'training-series', reply }), SERIES_MS),
  });
  const considering = setInterval(() => network.consider(demand.now()), CONSIDER_MS);
  onClose('training', () => {
    clearInterval(considering);
    return network.close();
  });
  const { sites, names, gossip, nameOf } = deps;
  const terms = { regions: () => charter().regions, horizonMs: () => charter().horizonMs };
  const deliver = (signals: readonly Signal[]) => void actors.forecaster.tell({ type: 'signals', signals });
  const relay = new SignalRelay({
    ...{ ...terms, gossip, clock, demand, metrics, deliver },
    nameOf: (pop) => nameOf(pop) ?? pop,
    shareable: (key16) => {
      const site = names.get(key16)?.site;
      return site !== undefined && sites.ofId(site)?.private === false;
    },
  });
  const signals = await SignalSources.open(config.signals, {
    ...{ ...terms, sites, names, clock, demand, random, log, metrics },
    deliver: (list) => {
      deliver(list);
      void relay.tell(list);
    },
  });
  onClose('signals', () => signals.close());
  return { network, signals };
}
