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

/** Runs of each server, taken in turns so that both see the same machine. */
const ROUNDS = 5;
const SECONDS = 3;
const CONNECTIONS = 64;
const BODY_BYTES = 10 * 1024;
/** Of the kernel's clock a second, as `getconf CLK_TCK` says on Linux. */
const CLOCK_TICKS = 100;

const run_ = promisify(execFile);
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

interface Loaded {
  readonly rate: number;
  /** Requests a second of the server's own processor time: what the rate would be on a machine with nothing else to do. */
  readonly ratePerCpu: number;
  readonly p99Ms: number;
}

/**
 * Hits of 10 KB from memory: requests a second of the edge, in a process of its own, against nginx with one worker
 * and `proxy_cache` before the same origin. Server on one core, wrk on the other where there are two.
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
  try {
    const nginxPort = await freePort();
    await writeFile(join(directory, 'nginx.conf'), nginxConf(directory, nginxPort, port));
    const nginx = pinned([
      'nginx',
      '-c',
      join(directory, 'nginx.conf'),
      '-p',
      directory,
      '-e',
      join(directory, 'error.log'),
    ]);
    children.push(nginx);
    const program = fileURLToPath(new URL('./http-edge.ts', import.meta.url));
    const edge = pinned([process.execPath, program, `http://127.0.0.1:${port}`]);
    children.push(edge);
    const edgePort = await firstLine(edge);
    const urls = { ours: `http://127.0.0.1:${edgePort}/x`, peer: `http://127.0.0.1:${nginxPort}/x` };
    for (const url of Object.values(urls)) await warm(url);
    const ours: Loaded[] = [];
    const peer: Loaded[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      peer.push(await load(urls.peer, nginx.pid));
      ours.push(await load(urls.ours, edge.pid));
    }
    const rates = { ours: ours.map(({ rate }) => rate), peer: peer.map(({ rate }) => rate) };
    const result = { ours: median(rates.ours), peer: median(rates.peer) };
    const perCpu = {
      ours: median(ours.map(({ ratePerCpu }) => ratePerCpu)),
      peer: median(peer.map(({ ratePerCpu }) => ratePerCpu)),
    };
    return {
      name: 'http',
      unit: 'requests/s, 10 KB hits, one thread each',
      ...result,
      ratio: result.ours / result.peer,
      runs: rates.ours,
      peerRuns: rates.peer,
      spread: { ours: spread(rates.ours), peer: spread(rates.peer) },
      perCpuSecond: perCpu,
      p99Ms: { ours: median(ours.map(({ p99Ms }) => p99Ms)), peer: median(peer.map(({ p99Ms }) => p99Ms)) },
      rssMiB: { ours: await rssMiB(edge.pid), peer: await rssMiB(nginx.pid) },
      against: 'nginx with proxy_cache',
    };
  } finally {
    for (const child of children) {
      if (child.exitCode !== null) continue;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    origin.close();
    origin.closeAllConnections();
    await rm(directory, { recursive: true, force: true });
  }
}

const spread = (values: readonly number[]): [low: number, high: number] => [
  Math.min(...values),
  Math.max(...values),
];

async function startOrigin(): Promise<Server> {
  const body = Buffer.alloc(BODY_BYTES, 'presage ');
  const server = createServer((_request, response) => {
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
async function warm(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await fetch(url).catch(() => undefined);
    const length = (await answer?.arrayBuffer())?.byteLength;
    if (answer?.status === 200 && length === BODY_BYTES && attempt > 5) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} does not answer`);
}

async function load(url: string, pid: number | undefined): Promise<Loaded> {
  const before = await cpuSeconds(pid);
  const command = ['wrk', '-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency', '--timeout', '30s', url];
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
