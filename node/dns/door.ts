import type { PopId } from '../../protocol/ids.ts';
import type { Daemon } from '../compose.ts';
import type { DoorsDeps } from '../doors.ts';
import { type CheckTarget, ServiceChecks } from './checks.ts';
import { createDnsServer, type DnsServer } from './server.ts';
import { createDnsThreads, type DnsThreads, type DnsThreadsOptions } from './threads.ts';

/** Longest that opening the door waits for the first round of checks, real ms: many PoPs may be out of reach. */
const FIRST_CHECKS_MS = 5_000;

/** Longest that it waits for the first peer, real ms; alone it answers all the same. */
const FIRST_PEER_MS = 2_000;
/** How often threads are sent the newest table, ms: about as often as there is one. */
const TABLE_MS = 500;

type OnClose = (name: string, run: () => Promise<void> | void) => void;

/** The DNS server of a daemon, which does not listen yet: its zones are read, and the PoPs checked that it will name. */
export async function openDns(
  daemon: Daemon,
  { geography, random }: Pick<DoorsDeps, 'geography' | 'random'>,
  onClose: OnClose,
): Promise<DnsServer> {
  const { config, identity, operator, sites, clock, log, metrics, zones, records } = daemon;
  const { threads, batch } = config.dns;
  const options = { zones: zones.zones, nsid: identity.name, batch };
  const server =
    threads > 1
      ? await openThreads(daemon, { ...options, threads }, random, onClose)
      : createDnsServer(options, {
          ...{ clock, log, metrics, random },
          table: daemon.table,
          regionOf: (address, prefixLength) => geography.locate(address, prefixLength),
          siteOfName: (name) => sites.ofHost(name)?.id,
        });
  for (const { name, keys } of zones.zones)
    if (keys) log.info('dns: answers of a zone are signed', { zone: name, keys: keys.length });
  const unwatch = records.watch(({ name, value, expiresAt }) =>
    server
      .setText(name, value, expiresAt)
      .catch((error: unknown) => log.warn('dns: a short-lived record is not answered here', { error })),
  );
  const renew = () => void renewZones(daemon, server);
  process.on('SIGHUP', renew);
  const unwatchCharters = operator.charters.watch(renew);
  onClose('zones', () => {
    process.off('SIGHUP', renew);
    unwatchCharters();
    unwatch();
  });
  await somePeer(daemon);
  await startChecks(daemon, onClose);
  return server;
}

/** Waits until a peer is connected, for a while: who knows nobody would send the clients of all regions to itself. */
async function somePeer({ config, network, peers, clock }: Daemon): Promise<void> {
  const expected = config.p2p.bootstrap.length > 0 || (network?.known().length ?? 0) > 0;
  if (!network || !expected || peers.connected().length > 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const unwatch = peers.watch((_, up) => up && resolve());
  const cancel = clock.after(FIRST_PEER_MS, resolve);
  await promise;
  cancel();
  unwatch();
}

/** On SIGHUP and with a new charter: zones as they are now; files that are wrong are left alone. */
async function renewZones({ log, zones }: Daemon, server: DnsServer): Promise<void> {
  try {
    server.setZones(await zones.renew());
    log.info('dns: the zones have been read anew');
  } catch (error) {
    log.error('dns: the zones stay as they were, as they cannot be read', { error });
  }
}

/** Answers on threads of their own, which are sent every table, and each charter that comes into force. */
async function openThreads(
  daemon: Daemon,
  options: DnsThreadsOptions,
  random: DoorsDeps['random'],
  onClose: OnClose,
): Promise<DnsThreads> {
  const { config, operator, clock, log, metrics } = daemon;
  const threads = await createDnsThreads(
    { ...options, geoDatabase: config.geo.database },
    {
      ...{ clock, log, metrics, random, charter: operator.charters.current() },
      holders: (key16) => daemon.table().holders(key16),
    },
  );
  threads.swap(daemon.table());
  let last = daemon.table();
  const telling = setInterval(() => {
    if (daemon.table() === last) return;
    last = daemon.table();
    threads.swap(last);
  }, TABLE_MS);
  const unwatch = operator.charters.watch((charter) => threads.setCharter(charter));
  onClose('tables of the DNS threads', () => {
    clearInterval(telling);
    unwatch();
  });
  return threads;
}

async function startChecks(daemon: Daemon, onClose: OnClose): Promise<void> {
  const { config, identity, network, actors, clock, log, metrics } = daemon;
  const { check } = config.dns;
  const own = identity.membership?.own;
  if (check === 'off' || !own) return;
  const certificateOf = (pop: PopId): CheckTarget[] => {
    const certificate = network?.certificateOf(pop);
    return certificate ? [certificate] : [];
  };
  const checks = new ServiceChecks(
    { kind: check },
    {
      targets: () => [own, ...(network?.known() ?? []).flatMap(certificateOf)],
      checked: (answered) => void actors.router.tell({ type: 'checked', answered }),
      ...{ clock, log, metrics },
    },
  );
  onClose('service checks', () => checks.close());
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(FIRST_CHECKS_MS, resolve);
  await Promise.race([checks.start(), late]);
  cancel();
}
