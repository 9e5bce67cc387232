import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { Key16, PopId } from '../../protocol/ids.ts';
import type { Clock, Log, Metrics, Random } from '../../protocol/ports.ts';
import type { RoutingTable } from '../../protocol/routing.ts';
import type { DnsListener, DnsServer, DnsServerOptions } from './server.ts';
import { Texts } from './texts.ts';
import type { DnsThread, ThreadCharter } from './thread.ts';
import { type ZoneConfig, Zones } from './zone.ts';

const HEAP_MB = 256;
const REPORT_MS = 1000;
/** How long a thread that died is left alone before another takes its place, real ms. */
const RESTART_MS = 500;
const MAX_THREADS = 64;

export interface DnsThreadsOptions extends DnsServerOptions {
  /** Threads that share each address (SO_REUSEPORT), 1 … 64. */
  readonly threads: number;
  readonly geoDatabase?: string | undefined;
}

export interface DnsThreadsDeps {
  readonly charter: ThreadCharter;
  /** PoPs that hold a resource now. */
  readonly holders: (key16: Key16) => readonly PopId[] | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly random: Random;
  /** Starts the thread's program; given by tests that end threads. */
  readonly startWorker?: (() => Worker) | undefined;
}

/** A DNS server on several threads. Routing is sent to it, since threads share nothing. */
export interface DnsThreads extends DnsServer {
  /** Gives every thread the new table. */
  swap(table: RoutingTable): void;
  /** Has every thread place clients by another charter. */
  setCharter(charter: ThreadCharter): void;
}

type Remote = Comlink.Remote<DnsThread>;

interface Lane {
  readonly worker: Worker;
  readonly remote: Remote;
  /** Never resolves; fails when the thread has ended, since calls to it then hang. */
  readonly died: Promise<never>;
}

/**
 * The server of `createDnsServer` on threads of their own, away from the work of the main thread. The system spreads
 * clients over the threads; short-lived records, zones, tables and holders reach them all. A thread that dies is replaced.
 */
export async function createDnsThreads(
  options: DnsThreadsOptions,
  deps: DnsThreadsDeps,
): Promise<DnsThreads> {
  const { threads, geoDatabase, ...rest } = options;
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new PresageError('CONFIG_INVALID', `dns: ${threads} threads, expected 1 to ${MAX_THREADS}`);
  }
  let charter = withoutSecrets(deps.charter);
  const holders = (keys: readonly Key16[]) => keys.map((key) => [key, [...(deps.holders(key) ?? [])]]);
  // One secret, so that a cookie of one thread is good at the others.
  const cookieSecret = rest.cookieSecret ?? Uint8Array.from(randomBytes(16));
  let zones = new Zones(rest.zones);
  let zoneConfigs = rest.zones;
  let table: RoutingTable | undefined;
  const texts = new Texts();
  let closed = false;
  const listeners = new Set<DnsListener>();
  const lanes = new Map<number, Lane>();

  const start = async (at: number): Promise<void> => {
    const worker = (deps.startWorker ?? startWorker)();
    const remote = Comlink.wrap<DnsThread>(nodeEndpoint(worker));
    const died = new Promise<never>((_, reject) => {
      worker.once('error', (error) =>
        reject(new PresageError('WORKER_FAILED', `dns: ${String(error)}`, {}, error)),
      );
      worker.once('exit', () => reject(new PresageError('WORKER_FAILED', 'dns: a thread ended')));
    });
    died.catch(() => undefined);
    const server: DnsServerOptions = { ...rest, zones: zoneConfigs, cookieSecret };
    const options = { server, charter, geoDatabase, seed: deps.random.uint32() };
    const ready = remote.start(options, Comlink.proxy(holders) as never);
    try {
      await Promise.race([ready, died]);
    } catch (error) {
      await worker.terminate();
      throw coded(error, 'WORKER_FAILED');
    }
    const lane = { worker, remote, died };
    // From here on it hears what all hear; what was said before is said to it now.
    lanes.set(at, lane);
    died.catch((error: unknown) => {
      lanes.delete(at);
      if (closed) return;
      deps.metrics.count('presage_errors_total', { code: 'WORKER_FAILED' });
      deps.log.error('dns: a thread died and is replaced', { error: coded(error).message });
      revive(at);
    });
    const told = async () => {
      await remote.setCharter(charter);
      if (table) await remote.swap(table.toData());
      for (const { name, value, expiresAtMs } of texts.living(deps.clock.now())) {
        await remote.setText(name, value, expiresAtMs);
      }
      for (const { address } of listeners) await listenOn(lane, address.host, address.port);
    };
    await Promise.race([told(), died]);
  };
  const revive = (at: number): void => {
    deps.clock.after(RESTART_MS, () => {
      if (closed) return;
      start(at).catch((error: unknown) => {
        deps.log.error('dns: a thread does not start', { error: coded(error).message });
        if (!lanes.has(at)) revive(at);
      });
    });
  };

  /** To every thread; one that dies meanwhile hears of it when it is replaced. */
  const tell = (what: (remote: Remote) => Promise<unknown>): Promise<void> =>
    Promise.all([...lanes.values()].map((lane) => Promise.race([what(lane.remote), lane.died]))).then(
      () => undefined,
      (error: unknown) => deps.log.debug('dns: a thread did not hear', { error: coded(error).message }),
    );

  let cancelReport: (() => void) | undefined;
  const collect = () =>
    tell(async (remote) => {
      const { counts, lines } = await remote.report();
      for (const [name, labels, by] of counts) deps.metrics.count(name, labels, by);
      for (const [level, message, fields] of lines) deps.log[level](message, fields);
    });
  const schedule = () => {
    cancelReport = deps.clock.after(REPORT_MS, () => {
      void collect().then(() => {
        if (!closed) schedule();
      });
    });
  };

  await Promise.all(Array.from({ length: threads }, (_, at) => start(at)));
  schedule();
  return {
    async listen(host, port) {
      let taken = port;
      for (const lane of lanes.values()) taken = await listenOn(lane, host, taken);
      const listener: DnsListener = {
        address: { host, port: taken },
        async close() {
          listeners.delete(listener);
          await tell((remote) => remote.silence(host, taken));
        },
      };
      listeners.add(listener);
      return listener;
    },
    swap(next) {
      table = next;
      const data = next.toData();
      void tell((remote) => remote.swap(data));
    },
    setCharter(next) {
      charter = withoutSecrets(next);
      void tell((remote) => remote.setCharter(charter));
    },
    async setText(name, value, expiresAtMs) {
      texts.put(name, value, expiresAtMs, zones, deps.clock.now());
      await tell((remote) => remote.setText(name, value, expiresAtMs));
    },
    setZones(configs: readonly ZoneConfig[]) {
      zones = new Zones(configs);
      zoneConfigs = configs;
      void tell((remote) => remote.setZones(configs));
    },
    async close() {
      closed = true;
      cancelReport?.();
      await collect();
      await tell((remote) => remote.close());
      await Promise.all([...lanes.values()].map(({ worker }) => worker.terminate()));
    },
  };
}

/** What is sent to a thread of the charter: sites have secrets. */
function withoutSecrets({ networks, countries, defaultRegion, sites }: ThreadCharter): ThreadCharter {
  return {
    ...{ networks, countries, defaultRegion },
    sites: sites.map(({ id, hosts }) => ({ id, hosts })),
  };
}

async function listenOn({ remote, died }: Lane, host: string, port: number): Promise<number> {
  const outcome = await Promise.race([remote.listen(host, port), died]);
  if (typeof outcome === 'number') return outcome;
  throw new PresageError('CONFIG_INVALID', outcome.message);
}

/** Starts `thread.ts` beside this file; after the build it is `thread.js`. */
export function startWorker(): Worker {
  const script = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js';
  return new Worker(new URL(script, import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
}
