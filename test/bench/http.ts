import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Runs of each server and case, taken in turns so that all see the same machine. */
const ROUNDS = 5;
const SECONDS = 3;
const CONNECTIONS = 64;
/** Of the kernel's clock a second, as `getconf CLK_TCK` says on Linux. */
const CLOCK_TICKS = 100;

/** What is asked for: hits by size, and a hit that the client has already. */
const CASES = [
  { name: '10 KB hits', bytes: 10 * 1024, headers: [] },
  { name: '1 KB hits', bytes: 1024, headers: [] },
  { name: '1 MB hits', bytes: 1024 * 1024, headers: [] },
  { name: 'revalidations', bytes: 10 * 1024, headers: ['If-None-Match: "bench"'] },
] as const;

const run_ = promisify(execFile);
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

interface Loaded {
  readonly rate: number;
  /** Requests a second of the server's own processor time: what the rate would be on a machine with nothing else to do. */
  readonly ratePerCpu: number;
  readonly p99Ms: number;
}

/** What one case brought, by server. */
interface Measured {
  readonly name: string;
  readonly rate: Record<Name, number>;
  readonly ratio: number;
  /** The same for a second of the servers' own processor time. */
  readonly ratioPerCpu: number;
  readonly p99Ms: Record<Name, number>;
  readonly spread: Record<Name, [low: number, high: number]>;
  readonly runs: Record<Name, number[]>;
}
type Name = 'ours' | 'peer' | 'bare';
const NAMES: readonly Name[] = ['peer', 'ours', 'bare'];

/**
 * Hits from memory: requests a second of the edge, in a process of its own, against nginx with one worker and
 * `proxy_cache` before the same origin, and beside them Node's own HTTP server with nothing behind it. Server on one
 * core, wrk on the other where there are two. The result is that of the first case; `cases` has all.
 */
export async function run(_options: { json: boolean }): Promise<
  {
    name: string;
    unit: string;
    ours: number;
    peer: number;
    ratio: number;
    runs: number[];
  } & Record<string, unknown>
> {
  const directory = await mkdtemp(join(tmpdir(), 'presage-bench-http-'));
  const origin = await startOrigin();
  const { port } = origin.address() as AddressInfo;
  const children: ChildProcess[] = [];
  const start = (command: readonly string[]) => {
    const child = pinned(command);
    children.push(child);
    return child;
  };
  const program = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  try {
    const nginxPort = await freePort();
    const configuration = join(directory, 'nginx.conf');
    await writeFile(configuration, nginxConf(directory, nginxPort, port));
    const nginx = start(['nginx', '-c', configuration, '-p', directory, '-e', join(directory, 'error.log')]);
    const edge = start([process.execPath, program('./http-edge.ts'), `http://127.0.0.1:${port}`]);
    const edgePort = await firstLine(edge);
    const cases: Measured[] = [];
    for (const each of CASES) {
      const bare = start([process.execPath, program('./http-bare.ts'), String(each.bytes)]);
      const at = (to: number | string) => `http://127.0.0.1:${to}/${each.bytes}`;
      const urls = { ours: at(edgePort), peer: at(nginxPort), bare: at(await firstLine(bare)) };
      const pids = { ours: edge.pid, peer: nginx.pid, bare: bare.pid };
      for (const url of Object.values(urls)) await warm(url, each.bytes);
      cases.push(await measure(each, urls, pids));
      await stop(bare);
    }
    const [first] = cases as [Measured, ...Measured[]];
    return {
      name: 'http',
      unit: `requests/s, ${first.name}, one thread each`,
      ours: first.rate.ours,
      peer: first.rate.peer,
      ratio: first.ratio,
      runs: first.runs.ours,
      bareNodeHttp: first.rate.bare,
      cases,
      rssMiB: { ours: await rssMiB(edge.pid), peer: await rssMiB(nginx.pid) },
      against: 'nginx with proxy_cache',
    };
  } finally {
    for (const child of children) await stop(child);
    origin.close();
    origin.closeAllConnections();
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(
  { name, headers }: (typeof CASES)[number],
  urls: Record<Name, string>,
  pids: Record<Name, number | undefined>,
): Promise<Measured> {
  const loaded: Record<Name, Loaded[]> = { ours: [], peer: [], bare: [] };
  for (let round = 0; round < ROUNDS; round++)
    for (const server of NAMES) loaded[server].push(await load(urls[server], pids[server], headers));
  const each = <T>(of: (runs: readonly Loaded[]) => T): Record<Name, T> => ({
    ours: of(loaded.ours),
    peer: of(loaded.peer),
    bare: of(loaded.bare),
  });
  const rate = each((runs) => median(runs.map((it) => it.rate)));
  const perCpu = each((runs) => median(runs.map((it) => it.ratePerCpu)));
  return {
    name,
    rate,
    ratio: rate.ours / rate.peer,
    ratioPerCpu: perCpu.ours / perCpu.peer,
    p99Ms: each((runs) => median(runs.map((it) => it.p99Ms))),
    spread: each((runs) => spread(runs.map((it) => it.rate))),
    runs: each((runs) => runs.map((it) => it.rate)),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

const spread = (values: readonly number[]): [low: number, high: number] => [
  Math.min(...values),
  Math.max(...values),
];

async function startOrigin(): Promise<Server> {
  const server = createServer((request, response) => {
    const body = Buffer.alloc(Number(request.url?.slice(1)), 'presage ');
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'cache-control': 'max-age=86400',
      etag: '"bench"',
      'content-length': body.length,
    });
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** On the first core; wrk gets the second. */
function pinned(command: readonly string[]): ChildProcess {
  const whole = availableParallelism() > 1 ? ['taskset', '-c', '0', ...command] : command;
  return spawn(whole[0]!, whole.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('no output to read');
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error('the edge did not start');
}

/** Asks until the answer comes from the cache. */
async function warm(url: string, bytes: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await fetch(url).catch(() => undefined);
    const length = (await answer?.arrayBuffer())?.byteLength;
    if (answer?.status === 200 && length === bytes && attempt > 5) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} does not answer`);
}

async function load(url: string, pid: number | undefined, headers: readonly string[]): Promise<Loaded> {
  const before = await cpuSeconds(pid);
  const fields = headers.flatMap((header) => ['-H', header]);
  const limits = ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency', '--timeout', '30s'];
  const command = ['wrk', ...limits, ...fields, url];
  const whole = availableParallelism() > 1 ? ['taskset', '-c', '1', ...command] : command;
  const { stdout } = await run_(whole[0]!, whole.slice(1));
  const errors = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(stdout);
  if (errors) throw new Error(`wrk reports ${errors[0]}`);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const latency = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout);
  const scale = { us: 0.001, ms: 1, s: 1000 }[latency?.[2] ?? 'ms'] ?? 1;
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  const ratePerCpu = requests / ((await cpuSeconds(pid)) - before);
  return { rate, ratePerCpu, p99Ms: Number(latency?.[1]) * scale };
}

/** Processor time of a process and its children (nginx's worker), seconds. */
async function cpuSeconds(pid: number | undefined): Promise<number> {
  const { stdout } = await run_('pgrep', ['-P', String(pid)]).catch(() => ({ stdout: '' }));
  let ticks = 0;
  for (const each of [String(pid), ...stdout.split('\n').filter((line) => line !== '')]) {
    const stat = await readFile(`/proc/${each}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICKS;
}

async function rssMiB(pid: number | undefined): Promise<number> {
  const { stdout } = await run_('ps', ['-o', 'rss=', '--pid', String(pid), '--ppid', String(pid)]);
  const kib = stdout
    .split('\n')
    .map(Number)
    .reduce((sum, value) => sum + value, 0);
  return Math.round(kib / 1024);
}

const nginxConf = (directory: string, port: number, origin: number): string => `
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${directory}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  proxy_cache_path ${directory}/cache keys_zone=bench:10m max_size=1g;
  open_file_cache max=1000;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${origin};
      proxy_cache bench;
    }
  }
}
`;

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(`${JSON.stringify(await run({ json: true }))}\n`);
