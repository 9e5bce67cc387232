import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { Located } from '../../protocol/geography.ts';
import type { SiteId } from '../../protocol/ids.ts';
import type { Clock, Log, Metrics, Random } from '../../protocol/ports.ts';
import type { RoutingTable } from '../../protocol/routing.ts';
import { Cookies } from './cookie.ts';
import { RCODE } from './query.ts';
import { RateLimit, type RateLimitOptions } from './rate-limit.ts';
import { Resolution } from './resolution.ts';
import { Responder, TALLY } from './responder.ts';
import { listenTcp, type TcpOptions } from './tcp.ts';
import { Texts } from './texts.ts';
import { type Batching, listenUdp } from './udp.ts';
import { type ZoneConfig, Zones } from './zone.ts';

/** How often counts go to the metrics: a call per packet would cost more than the answer. */
const FLUSH_MS = 1000;
/** Tries to find a port that is free by UDP and TCP when the system chooses. */
const PORT_TRIES = 16;

export interface DnsServerOptions {
  readonly zones: readonly ZoneConfig[];
  /** TTL of answers that name a PoP, seconds; 30 by default: how soon clients follow a change. */
  readonly ttlSeconds?: number | undefined;
  /** Largest answer by UDP; 1232 by default, which no path fragments (DNS Flag Day 2020). */
  readonly maxUdpBytes?: number | undefined;
  /** Name of this server for who asks (RFC 5001), usually the PoP's name. */
  readonly nsid?: string | undefined;
  /** 16 bytes that servers of one address share (RFC 9018); by default drawn at start. */
  readonly cookieSecret?: Uint8Array | undefined;
  readonly rateLimit?: Partial<RateLimitOptions> | undefined;
  readonly tcp?: Partial<TcpOptions> | undefined;
  /** Whether several sockets, also of other threads, may share a port (SO_REUSEPORT). */
  readonly reusePort?: boolean | undefined;
  /** Whether datagrams go through the system many at a time (64-bit Linux, package `koffi`); `auto` by default. */
  readonly batch?: Batching | undefined;
}

export interface DnsServerDeps {
  /** The routing table of now. Swapped in whole: the next packet sees the new one. */
  readonly table: () => RoutingTable;
  readonly regionOf: (address: Uint8Array, prefixLength: number) => Pick<Located, 'region' | 'scope'>;
  /** The site of a host name in lower case without the final dot, if any. What it gives is remembered until the table changes. */
  readonly siteOfName: (name: string) => SiteId | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly random: Random;
}

export interface DnsListener {
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

export interface DnsServer {
  /**
   * Listens by UDP and TCP. Port 0 takes one that is free for both. A wildcard host answers from whichever address
   * the system picks: on a machine with several, listen on each.
   */
  listen(host: string, port: number): Promise<DnsListener>;
  /** A TXT record until a time, Unix ms; see `Texts.put`. Resolves when every thread answers with it. */
  setText(name: string, value: string, expiresAtMs: number): Promise<void>;
  /** Other zones, whole. Fails with `CONFIG_INVALID` and then keeps the old ones. */
  setZones(zones: readonly ZoneConfig[]): void;
  /** Stops listening everywhere. */
  close(): Promise<void>;
}

/** An authoritative DNS server (RFC 1034, 1035, 2181, 2308, 6891, 7766, 7871, 7873, 8482) over the routing table. */
export function createDnsServer(options: DnsServerOptions, deps: DnsServerDeps): DnsServer {
  const texts = new Texts();
  const secret = options.cookieSecret ?? randomBytes(16);
  const cookies = new Cookies(secret);
  const limits: RateLimitOptions = {
    answersPerSecond: 20_000,
    errorsPerSecond: 200,
    slip: 2,
    ...options.rateLimit,
  };
  const rateLimit = new RateLimit(limits, deps.random.uint32());
  const tcp: TcpOptions = { connections: 1024, connectionsPerClient: 64, idleMs: 10_000, ...options.tcp };
  let zones = new Zones(options.zones);
  const responderOf = () =>
    new Responder(
      {
        ttlSeconds: options.ttlSeconds ?? 30,
        maxUdpBytes: Math.max(512, Math.min(4096, options.maxUdpBytes ?? 1232)),
        nsid: options.nsid,
        tcpIdleMs: tcp.idleMs,
      },
      {
        zones,
        resolution: new Resolution(zones, texts, deps.siteOfName),
        table: deps.table,
        regionOf: deps.regionOf,
        cookies,
        rateLimit,
        now: () => deps.clock.now(),
      },
    );
  let responder = responderOf();
  const counts = { udp: 0, tcp: 0 };
  const respond = (bytes: Uint8Array, client: Uint8Array, transport: 'udp' | 'tcp') => {
    counts[transport] += 1;
    try {
      return responder.respond(bytes, client, transport);
    } catch (error) {
      // A defect, not the client's doing; the next packet must be answered all the same.
      deps.metrics.count('presage_errors_total', { code: 'INTERNAL' });
      deps.log.error('dns: answering failed', { error });
      return undefined;
    }
  };

  const flush = () => {
    const { metrics } = deps;
    const { tally } = responder;
    for (const [name, rcode] of Object.entries(RCODE)) {
      if (tally[rcode]! > 0) metrics.count('presage_dns_answers_total', { rcode: name }, tally[rcode]);
    }
    for (const transport of ['udp', 'tcp'] as const) {
      if (counts[transport] > 0) metrics.count('presage_dns_queries_total', { transport }, counts[transport]);
      counts[transport] = 0;
    }
    const malformed = tally[TALLY.malformed]!;
    if (malformed > 0) metrics.count('presage_errors_total', { code: 'DNS_MALFORMED' }, malformed);
    if (tally[TALLY.limited]! > 0) metrics.count('presage_dns_limited_total', {}, tally[TALLY.limited]);
    if (tally[TALLY.truncated]! > 0) metrics.count('presage_dns_truncated_total', {}, tally[TALLY.truncated]);
    tally.fill(0);
  };
  let cancelFlush: (() => void) | undefined;
  const scheduleFlush = () => {
    cancelFlush = deps.clock.after(FLUSH_MS, () => {
      flush();
      scheduleFlush();
    });
  };

  const listeners = new Set<DnsListener>();
  return {
    async listen(host, port) {
      const family = isIP(host) === 6 ? 6 : 4;
      const { reusePort = false, batch = 'auto' } = options;
      for (let attempt = 1; ; attempt += 1) {
        const udp = await listenUdp({ host, port, family, reusePort, batch }, respond, deps);
        try {
          const stream = await listenTcp({ host, port: udp.port, reusePort, ...tcp }, respond, deps);
          if (listeners.size === 0) scheduleFlush();
          const listener: DnsListener = {
            address: { host, port: udp.port },
            async close() {
              if (!listeners.delete(listener)) return;
              if (listeners.size === 0) cancelFlush?.();
              await Promise.all([udp.close(), stream.close()]);
              flush();
            },
          };
          listeners.add(listener);
          deps.log.info('dns: listening', { host, port: udp.port });
          return listener;
        } catch (error) {
          await udp.close();
          if (port !== 0 || attempt >= PORT_TRIES) throw error;
        }
      }
    },
    setText: async (name, value, expiresAtMs) => texts.put(name, value, expiresAtMs, zones, deps.clock.now()),
    setZones(configs) {
      zones = new Zones(configs);
      flush();
      responder = responderOf();
    },
    async close() {
      await Promise.all([...listeners].map((listener) => listener.close()));
    },
  };
}
