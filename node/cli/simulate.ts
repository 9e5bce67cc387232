import { PresageError } from '../../protocol/errors.ts';
import { parseRate, parseSize } from '../config-units.ts';
import { addressBytes } from '../dns/address.ts';
import { openGeoip } from '../dns/geoip.ts';
import { readLogFile } from '../ingest/log-reader.ts';
import { readLayout } from '../simulator/layout.ts';
import { type Comparison, comparePolicies } from '../simulator/policies.ts';
import { dealTrace, type RegionBy, type TraceRecord } from '../simulator/trace.ts';
import type { SimulateOptions } from './delegates.ts';
import type { CommandIo } from './io.ts';
import { bytes, percent, table } from './table.ts';

/** What a PoP may store and spend on mirroring where no option says so. */
const STORAGE = '10GiB';
const BANDWIDTH = '50MiB/s';
/** Bytes a second of one fetch. */
const FETCH_RATE = 10 << 20;
/** Requests of logs that are simulated; some 100 bytes each in memory. */
const REQUESTS_MAX = 10_000_000;

/**
 * `presage simulate`: replays logs through Presage and through what else could be done, each with caches of its own.
 * Prints a table, or with `json` one object. Only complete answers to GET (status 200 with a body) are replayed, in
 * order of time. Fails with `CONFIG_INVALID`, `STORE_IO` or `INPUT_MALFORMED`; returns the exit code.
 */
export async function simulate(options: SimulateOptions, io: CommandIo): Promise<number> {
  const layout = await readLayout(options.pops);
  const storage = setting('--storage', options.storage ?? STORAGE, parseSize);
  const bandwidth = setting('--bandwidth', options.bandwidth ?? BANDWIDTH, parseRate);
  const regionBy = await placement(options.regionBy, io);
  let malformed = 0;
  const records: TraceRecord[] = [];
  for (const file of options.log) {
    const reading = { format: options.format, host: 'site', malformed: () => void malformed++ };
    for await (const batch of readLogFile(file, reading)) {
      for (const { at, client, method, host, url, status, bytes: sent } of batch) {
        if (method !== 'GET') continue;
        records.push({ at, client, key: host + url, status, bytes: sent });
      }
      if (records.length > REQUESTS_MAX) {
        throw new PresageError('CONFIG_INVALID', `--log: more than ${REQUESTS_MAX} requests`);
      }
    }
  }
  const trace = dealTrace(records, layout.names.length, regionBy);
  if (trace.requests.length === 0) {
    throw new PresageError(
      'INPUT_MALFORMED',
      `--log: no complete answer to GET; ${malformed} malformed lines`,
    );
  }
  const terminal = (io.stderr as { isTTY?: boolean }).isTTY === true;
  const comparison = comparePolicies(
    trace,
    { ...layout, storage, bandwidth, fetchRate: FETCH_RATE },
    undefined,
    (policy) => {
      if (terminal) io.stderr.write(`\r\u001b[K${policy} …`);
    },
  );
  if (terminal) io.stderr.write('\r\u001b[K');
  const { policies, rules } = comparison;
  const mirrors = mirrorTotals(comparison);
  if (options.json === true) {
    io.stdout.write(
      `${JSON.stringify({
        requests: trace.requests.length,
        bytes: trace.bytes,
        policies,
        pops: layout.names.length,
        resources: trace.resources.size,
        malformedLines: malformed,
        hindsight: rules,
        mirrors,
      })}\n`,
    );
    return 0;
  }
  const rows = policies.map((outcome) => [
    outcome.policy,
    percent(outcome.hitRatio),
    percent(outcome.byteHitRatio),
    outcome.coldMisses,
    outcome.coldMissesAvoided,
    bytes(outcome.originBytes),
    bytes(outcome.peerBytes),
    bytes(outcome.prefetchedBytes),
    percent(outcome.wastedBytes / outcome.prefetchedBytes),
    outcome.latencyMs.mean,
    outcome.latencyMs.p95,
  ]);
  const titles = ['policy', '>hits', '>bytes hit', '>cold', '>avoided', '>origin', '>peers', '>pushed'];
  const { plain, limited } = rules;
  io.stdout.write(
    [
      `${trace.requests.length} requests, ${bytes(trace.bytes)}, ${trace.resources.size} resources, ${layout.names.length} PoPs`,
      '',
      table([...titles, '>wasted', '>mean ms', '>p95 ms'], rows),
      '',
      `In hindsight, at the bytes that presage mirrored: everywhere after ${limited.k} requests up to ` +
        `${bytes(limited.sizeLimit ?? 0)} (${limited.pairs} cold misses avoided), without a limit after ${plain.k} ` +
        `(${plain.pairs}).`,
      `Of what presage mirrored ${bytes(mirrors.usedBytes)} were used, ${bytes(mirrors.unusedBytes)} were not within ` +
        `the horizon, ${bytes(mirrors.openBytes)} are too young to judge; the table counts both as wasted.`,
      ...(malformed > 0 ? [`${malformed} malformed lines were left out.`] : []),
      '',
    ].join('\n'),
  );
  return 0;
}

function setting(option: string, text: string, parse: (text: string) => number): number {
  try {
    return parse(text);
  } catch (error) {
    throw new PresageError('CONFIG_INVALID', `${option}: ${(error as Error).message}`, { option }, error);
  }
}

async function placement(by: SimulateOptions['regionBy'], io: CommandIo): Promise<RegionBy> {
  if (by !== 'geoip') return by;
  const database = io.env.PRESAGE_GEO_DATABASE;
  if (database === undefined) {
    throw new PresageError(
      'CONFIG_INVALID',
      '--region-by geoip: name a country database in PRESAGE_GEO_DATABASE, or use tld or hash',
    );
  }
  const countryOf = await openGeoip(database);
  return (client) => {
    const address = addressBytes(client);
    return address === undefined ? undefined : countryOf(address).country;
  };
}

function mirrorTotals({ presage }: Comparison) {
  let usedBytes = 0;
  let unusedBytes = 0;
  let openBytes = 0;
  for (const { totals } of presage.ledgers) {
    usedBytes += totals.used.bytes;
    unusedBytes += totals.unused.bytes;
    openBytes += totals.open.bytes;
  }
  return { usedBytes, unusedBytes, openBytes };
}
