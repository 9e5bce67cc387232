import { parentPort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import type { Charter } from '../../protocol/charter.ts';
import { PresageError } from '../../protocol/errors.ts';
import { type CountryLookup, createGeography, type Geography } from '../../protocol/geography.ts';
import type { SiteId } from '../../protocol/ids.ts';
import type { Fields, Labels, Log, Metrics } from '../../protocol/ports.ts';
import { seededRandom } from '../../protocol/random.ts';
import { type RoutingData, RoutingTable } from '../../protocol/routing.ts';
import { systemClock } from '../adapters/clock.ts';
import { Sites } from '../sites.ts';
import { type AskHolders, HeldByOthers } from './held.ts';
import { createDnsServer, type DnsListener, type DnsServer, type DnsServerOptions } from './server.ts';
import type { ZoneConfig } from './zone.ts';

/** Words of a thread that wait to be taken; beyond them the newest are lost. */
const MAX_LINES = 256;

/** What a thread needs to know of the cluster; no secrets. */
export interface ThreadCharter extends Pick<Charter, 'networks' | 'countries' | 'defaultRegion'> {
  readonly sites: readonly { readonly id: SiteId; readonly hosts: readonly string[] }[];
}

export interface ThreadOptions {
  readonly server: DnsServerOptions;
  readonly charter: ThreadCharter;
  /** Country database, as in `geo.database`. */
  readonly geoDatabase: string | undefined;
  /** 32 random bits. */
  readonly seed: number;
}

/** What a thread had to say since it was last asked. */
export interface ThreadReport {
  readonly counts: readonly (readonly [name: string, labels: Labels, by: number])[];
  readonly lines: readonly (readonly [
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    fields: Fields,
  ])[];
}

/** A DNS server in a worker thread: it owns its sockets, its table is sent whole, its counts are asked for. */
export class DnsThread {
  #server: DnsServer | undefined;
  readonly #listeners = new Set<DnsListener>();
  #table = RoutingTable.empty();
  #held: HeldByOthers | undefined;
  #countryOf: CountryLookup | undefined;
  #geography: Geography | undefined;
  #sites: Sites | undefined;
  readonly #counts = new Map<string, [name: string, labels: Labels, by: number]>();
  #lines: [level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Fields][] = [];

  async start({ server, charter, geoDatabase, seed }: ThreadOptions, holders: AskHolders): Promise<void> {
    this.#held = new HeldByOthers(holders, () => systemClock.monotonic());
    this.#countryOf = geoDatabase ? await (await import('./geoip.ts')).openGeoip(geoDatabase) : undefined;
    this.setCharter(charter);
    this.#server = createDnsServer(
      { ...server, reusePort: true },
      {
        table: () => this.#table,
        regionOf: (address, prefixLength) => this.#geography!.locate(address, prefixLength),
        siteOfName: (name) => this.#sites?.ofHost(name)?.id,
        clock: systemClock,
        log: this.#log(),
        metrics: this.#metrics(),
        random: seededRandom(seed),
      },
    );
  }

  /** Listens; gives the port. A foreseen failure comes back as data, since errors lose their code on the way. */
  async listen(host: string, port: number): Promise<number | { readonly message: string }> {
    try {
      const listener = await this.#running().listen(host, port);
      this.#listeners.add(listener);
      return listener.address.port;
    } catch (error) {
      if (error instanceof PresageError) return { message: error.message };
      throw error;
    }
  }

  /** Stops listening at one address. */
  async silence(host: string, port: number): Promise<void> {
    for (const listener of this.#listeners) {
      if (listener.address.host !== host || listener.address.port !== port) continue;
      this.#listeners.delete(listener);
      await listener.close();
    }
  }

  swap(data: RoutingData): void {
    this.#table = RoutingTable.fromData(data, (key16) => this.#held?.get(key16));
  }

  /** Clients are placed by this charter from now on. */
  setCharter(charter: ThreadCharter): void {
    this.#geography = createGeography(charter, this.#countryOf);
    this.#sites = new Sites(charter as unknown as Charter);
  }

  setText(name: string, value: string, expiresAtMs: number): Promise<void> {
    return this.#running().setText(name, value, expiresAtMs);
  }

  setZones(zones: readonly ZoneConfig[]): void {
    this.#running().setZones(zones);
  }

  report(): ThreadReport {
    const report = { counts: [...this.#counts.values()], lines: this.#lines };
    this.#counts.clear();
    this.#lines = [];
    return report;
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  #running(): DnsServer {
    if (!this.#server) throw new PresageError('ACTOR_STOPPED', 'the DNS thread has not started');
    return this.#server;
  }

  #metrics(): Metrics {
    return {
      count: (name, labels = {}, by = 1) => {
        const key = `${name} ${Object.values(labels).join(' ')}`;
        const entry = this.#counts.get(key);
        if (entry) entry[2] += by;
        else this.#counts.set(key, [name, labels, by]);
      },
      gauge: () => undefined,
      observe: () => undefined,
    };
  }

  #log(): Log {
    const say =
      (level: ThreadReport['lines'][number][0]) =>
      (message: string, fields: Fields = {}) => {
        if (this.#lines.length >= MAX_LINES) return;
        const plain = Object.entries(fields).map(([key, value]) => [
          key,
          value instanceof Error ? value.message : value,
        ]);
        this.#lines.push([level, message, Object.fromEntries(plain)]);
      };
    const log: Log = {
      debug: () => undefined,
      info: say('info'),
      warn: say('warn'),
      error: say('error'),
      child: () => log,
    };
    return log;
  }
}

if (parentPort) Comlink.expose(new DnsThread(), nodeEndpoint(parentPort));
