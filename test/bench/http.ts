import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { underFlood } from './http-flood.ts';
import { byH2load, byWrk, CONNECTIONS, type Loaded, warm } from './http-load.ts';
import {
  type Served,
  startBare,
  startEdge,
  startNginx,
  startOrigin,
  startPresage,
  startVarnish,
  stop,
} from './http-servers.ts';
import { median, say, spread } from './processes.ts';

/** Runs of each server and case, taken in turns so that all see the same machine. */
const ROUNDS = Number(process.env.HTTP_ROUNDS ?? 5);

interface Case {
  readonly name: string;
  readonly bytes: number;
  /** Hits, hits that the client has already, hits over HTTP/2 and TLS, or new resources that all ask for at once. */
  readonly kind: 'hit' | 'revalidation' | 'h2' | 'miss';
}
/** The first is the one that the result is of. */
const CASES: readonly Case[] = [
  { name: '10 KB hits', bytes: 10 * 1024, kind: 'hit' },
  { name: '1 KB hits', bytes: 1024, kind: 'hit' },
  { name: '1 MB hits', bytes: 1024 * 1024, kind: 'hit' },
  { name: 'revalidations', bytes: 10 * 1024, kind: 'revalidation' },
  { name: 'coalesced misses', bytes: 10 * 1024, kind: 'miss' },
  { name: '1 KB hits, HTTP/2', bytes: 1024, kind: 'h2' },
  { name: '10 KB hits, HTTP/2', bytes: 10 * 1024, kind: 'h2' },
];

/** `ours` is the daemon, `edge` its HTTP edge alone, `peer` nginx, `bare` Node's own server with nothing behind it. */
type Name = 'ours' | 'peer' | 'varnish' | 'edge' | 'bare';
type ByName<T> = Partial<Record<Name, T>>;

/** What one case brought, by server. */
interface Measured {
  readonly name: string;
  readonly rate: ByName<number>;
  /** Ours to nginx's. */
  readonly ratio: number;
  /** The same for a second of the servers' own processor time. */
  readonly ratioPerCpu: number;
  readonly varnishRatio?: number;
  readonly varnishRatioPerCpu?: number;
  readonly p99Ms: ByName<number | undefined>;
  readonly spread: ByName<[low: number, high: number]>;
  readonly runs: ByName<number[]>;
  readonly rssMiB: ByName<[low: number, high: number]>;
  /** Requests that the origin got for each resource that clients wanted. */
  readonly originRequests?: ByName<number>;
}

/**
 * Requests a second of a daemon, in a process of its own, against nginx with one worker and `proxy_cache`, and Varnish,
 * before the same origin; beside them the edge alone and Node's own HTTP server with nothing behind it. Servers on one
 * core, load and origin on the other where there are two. The result is that of the first case; `cases` has all.
 * At the end real clients verify every answer of the daemon in peace and under a flood of malformed requests (`flood`).
 * `HTTP_CASES` (words of their names, and `flood`) and `HTTP_ROUNDS` choose less. Needs Debian's nginx-light, varnish, wrk and
 * nghttp2-client.
 */
export async function run(_options: { json: boolean }) {
  const directory = await mkdtemp(join(tmpdir(), 'presage-bench-http-'));
  const started: Served[] = [];
  const begin = async <S extends Served>(starting: Promise<S>): Promise<S> => {
    const server = await starting;
    started.push(server);
    return server;
  };
  try {
    const origin = await begin(startOrigin());
    const nginx = await begin(startNginx(directory, origin.url));
    const varnish = await begin(startVarnish(directory, origin.url));
    const ours = await begin(startPresage(directory, origin.url));
    const edge = await begin(startEdge(origin.url));
    const script = join(directory, 'miss.lua');
    await writeFile(script, MISS_SCRIPT);
    const cases: Measured[] = [];
    const wanted = process.env.HTTP_CASES?.split(',');
    for (const each of CASES) {
      if (wanted && !wanted.some((word) => each.name.includes(word))) continue;
      const own: Served[] = [];
      let servers: ByName<Served>;
      if (each.kind === 'h2') {
        own.push(await startPresage(directory, origin.url, true));
        servers = { peer: { ...nginx, url: nginx.secure }, ours: own[0]! };
      } else if (each.kind === 'miss') servers = { peer: nginx, varnish, ours, edge };
      else {
        own.push(await startBare(each.bytes));
        servers = { peer: nginx, varnish, ours, edge, bare: own[0]! };
      }
      cases.push(await measure(each, servers, origin.url, script));
      for (const server of own) await stop(server);
    }
    const flood = !wanted || wanted.includes('flood') ? await underFlood(ours.url) : undefined;
    const [first] = cases;
    if (!first) throw new Error(`No case is named ${wanted}`);
    return {
      name: 'http',
      unit: `requests/s, ${first.name}, one thread each`,
      ours: first.rate.ours ?? Number.NaN,
      peer: first.rate.peer ?? Number.NaN,
      ratio: first.ratio,
      runs: first.runs.ours ?? [],
      bareNodeHttp: first.rate.bare,
      cases,
      ...(flood && { flood }),
      rssMiB: first.rssMiB,
      against: 'nginx with proxy_cache',
    };
  } finally {
    for (const server of started) await stop(server);
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(
  { name, bytes, kind }: Case,
  servers: ByName<Served>,
  origin: string,
  script: string,
): Promise<Measured> {
  const names = Object.keys(servers) as Name[];
  const lists = <T>(): ByName<T[]> => Object.fromEntries(names.map((server) => [server, []]));
  const runs = lists<Loaded>();
  const originRequests = lists<number>();
  for (const server of names) await warm(`${servers[server]!.url}/${bytes}`, bytes);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const server of names) {
      const at = servers[server]!;
      const before = kind === 'miss' ? await asked(origin) : 0;
      const loaded =
        kind === 'h2'
          ? await byH2load(at, `/${bytes}`)
          : kind === 'miss'
            ? await byWrk(at, `/${bytes}/${round}`, [], script)
            : await byWrk(at, `/${bytes}`, kind === 'revalidation' ? ['If-None-Match: "bench"'] : []);
      runs[server]?.push(loaded);
      if (kind === 'miss')
        originRequests[server]?.push((CONNECTIONS * ((await asked(origin)) - before)) / loaded.requests);
      const { rate, ratePerCpu, rssMiB } = loaded;
      say(
        `${name}, ${server}, run ${round + 1} of ${ROUNDS}: ${Math.round(rate)} requests/s, ` +
          `${Math.round(ratePerCpu)} a second of its CPU, ${rssMiB} MiB`,
      );
    }
  }
  const each = <T>(of: (runs: readonly Loaded[]) => T): ByName<T> =>
    Object.fromEntries(names.map((server) => [server, of(runs[server]!)]));
  const rate = each((list) => median(list.map((it) => it.rate)));
  const perCpu = each((list) => median(list.map((it) => it.ratePerCpu)));
  const against = (values: ByName<number>, peer: Name) => values.ours! / values[peer]!;
  return {
    name,
    rate,
    ratio: against(rate, 'peer'),
    ratioPerCpu: against(perCpu, 'peer'),
    ...(servers.varnish && {
      varnishRatio: against(rate, 'varnish'),
      varnishRatioPerCpu: against(perCpu, 'varnish'),
    }),
    p99Ms: each((list) => {
      const known = list.map((it) => it.p99Ms).filter((it) => it !== undefined);
      return known.length > 0 ? median(known) : undefined;
    }),
    spread: each((list) => spread(list.map((it) => it.rate))),
    runs: each((list) => list.map((it) => it.rate)),
    rssMiB: each((list) => spread(list.map((it) => it.rssMiB))),
    ...(kind === 'miss' && {
      originRequests: Object.fromEntries(names.map((server) => [server, median(originRequests[server]!)])),
    }),
  };
}

/** Requests that the origin has had so far. */
const asked = async (origin: string): Promise<number> =>
  Number(await (await fetch(`${origin}/requests`)).text());

/** Every connection asks for the same new resource, then all for the next. */
const MISS_SCRIPT = `
local count = 0
request = function()
  local name = math.floor(count / ${CONNECTIONS})
  count = count + 1
  return wrk.format("GET", wrk.path .. "/" .. name)
end
`;
