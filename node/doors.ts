import type { Geography } from '../protocol/geography.ts';
import type { Random } from '../protocol/ports.ts';
import type { Daemon } from './compose.ts';
import { printEndpoint } from './config-units.ts';
import { openDns } from './dns/door.ts';
import { handlersOf } from './handlers/handlers.ts';
import type { Listening } from './http/door.ts';
import { listenSyslog } from './ingest/syslog.ts';
import { bind } from './rpc/dispatch.ts';
import type { EventHub } from './rpc/events.ts';
import { createRpc, type RpcServer } from './rpc/server.ts';
import { readTls } from './tls-files.ts';
import { VERSION } from './version.ts';

/** Where the daemon can be reached, as it turned out. */
export interface Doors {
  /** `http://HOST:PORT`, if HTTP is served. */
  readonly http: string | undefined;
  /** `HOST:PORT`, if DNS is answered. */
  readonly dns: string | undefined;
  readonly rpc: RpcServer;
}

export interface DoorsDeps {
  readonly geography: Geography;
  readonly random: Random;
  readonly hub: EventHub;
}

/** Opens RPC, HTTP and DNS, in this order: a client is let in when everything behind the door works. */
export async function openDoors(
  daemon: Daemon,
  { geography, random, hub }: DoorsDeps,
  onClose: (name: string, run: () => Promise<void> | void) => void,
): Promise<Doors> {
  const { config, clock, log, metrics, edge, logDemand, intake, operator } = daemon;
  const addresses: { http?: string; dns?: string; rpc: string[] } = { rpc: [] };
  const rpc = await createRpc(
    {
      methods: bind(handlersOf(daemon, { addresses })),
      ...{ events: hub, metrics, log },
      health: () => {
        const lacks = daemon.lacks();
        return { ready: addresses.http !== undefined || config.http.listen === undefined, lacks };
      },
    },
    { dataDir: config.dataDir, listen: config.rpc.listen, version: VERSION },
  );
  onClose('rpc', () => rpc.close());
  addresses.rpc.push(rpc.socket, ...(rpc.url === undefined ? [] : [rpc.url]));
  if (config.ingest.syslog) {
    const syslog = await listenSyslog(
      { listen: config.ingest.syslog, host: config.ingest.host },
      {
        ...{ clock, log, metrics },
        receive: (batch) => {
          for (const seen of batch) {
            const demand = logDemand.of(seen, config.ingest.host);
            if (typeof demand === 'string') metrics.count('ingest_refused_total', { code: demand });
            else intake.push(demand);
          }
        },
      },
    );
    onClose('syslog', () => syslog.close());
  }
  if (config.http.listen) {
    const tls = await readTls(config);
    const door = await edge.listen(config.http.listen.host, config.http.listen.port, tls);
    onClose('http', () => edge.close());
    addresses.http = `${tls ? 'https' : 'http'}://${door.address}`;
    if (tls) {
      const renew = () => void renewTls(daemon, door);
      process.on('SIGHUP', renew);
      onClose('certificate renewal', () => void process.off('SIGHUP', renew));
    }
  }
  // Last, because it sends clients to the others.
  if (config.dns.listen.length > 0) {
    const dns = await openDns(daemon, { geography, random }, onClose);
    onClose('dns', () => dns.close());
    const opened: string[] = [];
    for (const { host, port } of config.dns.listen) {
      const { address } = await dns.listen(host, port);
      opened.push(printEndpoint(address));
    }
    addresses.dns = opened.join(',');
  }
  if (operator.charters.current().sites.length === 0)
    log.warn('no site is configured: start with --origin URL, or give a charter');
  return { http: addresses.http, dns: addresses.dns, rpc };
}

/** On SIGHUP: takes renewed files for the connections to come; files that do not fit are left alone. */
async function renewTls({ config, log }: Daemon, door: Listening): Promise<void> {
  try {
    const tls = await readTls(config);
    if (tls) door.renew(tls);
    log.info('the certificates of the HTTP edge have been read anew');
  } catch (error) {
    log.error('the renewed certificates do not serve; those before stay', { error });
  }
}
