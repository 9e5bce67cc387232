import { ColdStarts } from '../../forecasting/class-profiles.ts';
import { forecastDemand } from '../../forecasting/demand.ts';
import { readLogFile } from '../../node/ingest/log-reader.ts';
import { dealTrace, type RegionBy, type Trace, type TraceRecord } from '../../node/simulator/trace.ts';
import { History } from '../../protocol/history.ts';
import type { Key16, PopId, SiteId } from '../../protocol/ids.ts';
import type { Summary, SummaryResource } from '../../protocol/summary.ts';
import { absent, dataPath } from './forecast-data.ts';

const WINDOW_MS = 60_000;
const HORIZON_MS = 7_200_000;
const EVERY_MS = 900_000;
const WARM_UP_MS = 7_200_000;
/** A forecast of nothing is taken for this many requests, so that its deviance is finite. */
const LEAST = 0.02;

export interface ColdScore {
  readonly forecasts: number;
  readonly requests: number;
  /** Mean Poisson deviance of the requests of the horizon, without the class's prior and with it. */
  readonly without: number;
  readonly with: number;
  readonly biasWithout: number;
  readonly biasWith: number;
}

/** Young series of a log, every quarter of an hour, against what came within two hours. */
export function scoreColdStarts(trace: Trace): ColdScore {
  const { requests, regions } = trace;
  const start = requests[0]!.at;
  const end = requests.at(-1)!.at;
  const times = new Map<string, number[]>();
  for (const { key16, pop, at } of requests) {
    const id = key16 + regions[pop];
    const known = times.get(id);
    if (known) known.push(at);
    else times.set(id, [at]);
  }
  const history = new History();
  const cold = new ColdStarts(history);
  const sum = { forecasts: 0, requests: 0, without: 0, with: 0, biasWithout: 0, biasWith: 0 };
  let at = 0;
  for (let now = start + WINDOW_MS; now + HORIZON_MS <= end; now += WINDOW_MS) {
    at = fold(history, trace, at, now);
    if (now - start < WARM_UP_MS || (now - start) % EVERY_MS !== 0) continue;
    for (const series of cold.series(now, Number.POSITIVE_INFINITY)) {
      const request = { now, windowMs: WINDOW_MS, horizonMs: HORIZON_MS, level: 0.9 };
      const { prior: _, ...alone } = series;
      const without = forecastDemand(alone, request).mean / 1000;
      const borrowed = forecastDemand(series, request).mean / 1000;
      const came = times.get(series.id)!.filter((time) => time >= now && time < now + HORIZON_MS).length;
      sum.forecasts += 1;
      sum.requests += came;
      sum.without += deviance(came, without);
      sum.with += deviance(came, borrowed);
      sum.biasWithout += without - came;
      sum.biasWith += borrowed - came;
    }
  }
  return {
    forecasts: sum.forecasts,
    requests: sum.requests,
    without: sum.without / sum.forecasts,
    with: sum.with / sum.forecasts,
    biasWithout: sum.biasWithout / sum.requests,
    biasWith: sum.biasWith / sum.requests,
  };
}

/** One window of each PoP; returns how far the requests were read. */
function fold(history: History, { requests, regions }: Trace, from: number, now: number): number {
  const pops = regions.map(() => new Map<Key16, SummaryResource>());
  let at = from;
  for (; at < requests.length && requests[at]!.at < now; at += 1) {
    const { pop, key16, resource } = requests[at]!;
    const { size, kind, group } = resource;
    const count = (pops[pop]!.get(key16)?.regions[0]?.count ?? 0) + 1;
    pops[pop]!.set(key16, {
      ...{ key16, site: 'site' as SiteId, size, kind, group, clients: [0, 0] },
      regions: [{ region: regions[pop]!, count, bytes: 0 }],
    });
  }
  pops.forEach((resources, pop) => {
    const summary: Summary = {
      ...{ pop: `pop ${pop}` as PopId, sequence: now, from: now - WINDOW_MS, to: now, requests: 0, bytes: 0 },
      tail: { requests: 0, bytes: 0 },
      capacities: { storageBudgetMiB: 1, storageFreeMiB: 1, fillKiBps: 1, load: 0, state: 'up' },
      worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
      ...{ resources: [...resources.values()], companions: [] },
    };
    history.fold(summary);
  });
  return at;
}

function deviance(came: number, forecast: number): number {
  const mean = Math.max(LEAST, forecast);
  return 2 * ((came > 0 ? came * Math.log(came / mean) : 0) - came + mean);
}

/** A request log of the data folder, dealt out to PoPs. */
export async function traceOf(name: string, pops: number, by: RegionBy): Promise<Trace | undefined> {
  const path = dataPath(name);
  if (path === undefined) return undefined;
  const records: TraceRecord[] = [];
  for await (const batch of readLogFile(path, { host: 'site' })) {
    for (const { at, client, method, host, url, status, bytes } of batch) {
      if (method === 'GET') records.push({ at, client, key: host + url, status, bytes });
    }
  }
  return dealTrace(records, pops, by);
}

const LOGS = [
  ['nasa-http-1995-08-01.tsv', 5, 'tld'],
  ['nasa-http-1995-08-01.tsv', 3, 'hash'],
  ['apache-combined-2015-05.log', 5, 'hash'],
] as const;

/** `node test/bench/forecast-cold.ts`: what borrowing from a class is worth to series with next to no history. */
if (import.meta.main) {
  for (const [name, pops, by] of LOGS) {
    const trace = await traceOf(name, pops, by);
    if (trace === undefined) {
      process.stdout.write(`${absent(name)}\n`);
      continue;
    }
    const score = scoreColdStarts(trace);
    const gain = (100 * (score.without - score.with)) / score.without;
    process.stdout.write(
      `${name}, ${pops} regions by ${by}: ${score.forecasts} forecasts of young series for two hours, ` +
        `deviance ${score.without.toFixed(3)} alone, ${score.with.toFixed(3)} with their class's prior ` +
        `(${gain.toFixed(1)} % less); bias ${score.biasWithout.toFixed(2)}, ${score.biasWith.toFixed(2)}\n`,
    );
  }
}
