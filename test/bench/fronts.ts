import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Daemon, startDaemon, until } from '../e2e/daemon.ts';
import { freePort } from '../ports.ts';
import type { BenchResult } from './bench.ts';

/** Requests for one resource: the first goes on to Presage, the others the front answers. */
const REQUESTS = 50;
const example = (name: string) =>
  fileURLToPath(new URL(`../../node/examples/fronts/${name}`, import.meta.url));

/**
 * The examples with the real nginx and Varnish before a real daemon: what clients ask the front for is what Presage
 * counts, each request once, and a purge at Presage is felt at the front. `ours` counts, `peer` asked.
 */
export async function run(_options: { json: boolean }): Promise<BenchResult> {
  const runs: number[] = [];
  for (const front of [startNginx, startVarnish]) runs.push(await through(front));
  const ours = runs.reduce((sum, each) => sum + each, 0);
  const peer = runs.length * REQUESTS;
  return { name: 'fronts', unit: 'requests counted', ours, peer, ratio: ours / peer, runs };
}

interface Ports {
  readonly http: number;
  readonly presage: number;
  readonly syslog: number;
}
type Front = (directory: string, ports: Ports) => Promise<ChildProcess[]>;

async function through(front: Front): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'presage-fronts-'));
  let body = 'before';
  const origin = createServer((_request, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=3600', etag: `"${body}"` }).end(body);
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  const ports = { http: await freePort(), presage: await freePort(), syslog: await freePort() };
  const children: ChildProcess[] = [];
  let daemon: Daemon | undefined;
  try {
    daemon = await startDaemon(join(directory, 'data'), [
      ...['--origin', `http://127.0.0.1:${(origin.address() as AddressInfo).port}`, '--epoch-length', '1s'],
      ...['--http', `127.0.0.1:${ports.presage}`, '--syslog', `127.0.0.1:${ports.syslog}`],
    ]);
    children.push(...(await front(directory, ports)));
    const url = `http://127.0.0.1:${ports.http}/film`;
    const get = async () => (await fetch(url).catch(() => undefined))?.text();
    await until('the front answers', async () => (await get()) === body, 20_000);
    const { rpc } = daemon;
    const counted = async () => {
      const { epochs } = await rpc<{ epochs: { requests: number }[] }>('epochs', { limit: 200 });
      return epochs.reduce((sum, { requests }) => sum + requests, 0);
    };
    // The first request may have met a front that was not ready, and so have come more than once: it does not count.
    await until('the first is counted', async () => (await counted()) > 0, 20_000);
    const before = await counted();
    for (let at = 0; at < REQUESTS; at++) if ((await get()) !== body) throw new Error('another answer');
    await until('all are counted', async () => (await counted()) - before >= REQUESTS, 20_000);
    const total = (await counted()) - before;
    body = 'after';
    await rpc('purge', { url: `http://127.0.0.1:${ports.http}/film`, wait: true, timeoutMs: 10_000 });
    await rpc('purge', { url: 'http://127.0.0.1/film', wait: true, timeoutMs: 10_000 });
    await until('the front has felt the purge', async () => (await get()) === body, 40_000);
    return total;
  } finally {
    for (const child of children) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
    }
    await daemon?.stop();
    origin.close();
    origin.closeAllConnections();
    await rm(directory, { recursive: true, force: true });
  }
}

/** The text of an example with the ports of this run. */
async function adapted(name: string, { http, presage, syslog }: Ports): Promise<string> {
  const text = await readFile(example(name), 'utf8');
  return text
    .replace('listen 8000', `listen 127.0.0.1:${http}`)
    .replaceAll('8080', String(presage))
    .replaceAll('5514', String(syslog));
}

async function startNginx(directory: string, ports: Ports): Promise<ChildProcess[]> {
  const file = join(directory, 'nginx.conf');
  const user = process.getuid?.() === 0 ? 'user root;\n' : '';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${name};`)
    .join(' ');
  const text = (await adapted('nginx.conf', ports)).replace('http {', `http { ${temporary}`);
  await writeFile(file, `${user}daemon off;\n${text}`);
  const errors = join(directory, 'error.log');
  return [spawn('nginx', ['-c', file, '-p', directory, '-e', errors], { stdio: 'inherit' })];
}

async function startVarnish(directory: string, ports: Ports): Promise<ChildProcess[]> {
  const file = join(directory, 'varnish.vcl');
  const text = await adapted('varnish.vcl', ports);
  await writeFile(file, text);
  const work = join(directory, 'varnish');
  const listen = ['-a', `127.0.0.1:${ports.http}`];
  // Started by root it would become a user who may not read this directory.
  const jail = process.getuid?.() === 0 ? ['-j', 'none'] : [];
  const varnish = spawn('varnishd', ['-F', ...jail, '-n', work, ...listen, '-f', file, '-s', 'malloc,64m'], {
    stdio: 'ignore',
  });
  await until(
    'varnishd shares its log',
    async () => existsSync(join(work, '_.vsm_child', '_.index')),
    20_000,
  );
  // The feed is the one that the example names, in its own words.
  const [tell, send] = [...text.matchAll(/^# {3}(varnishncsa| {2}logger)(.*?)(?: \|)?$/gm)].map((match) =>
    [...(match[2] ?? '').matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ''),
  );
  if (!tell || !send) throw new Error('the example names no feed');
  const logger = spawn('logger', send, { stdio: ['pipe', 'ignore', 'inherit'] });
  const teller = spawn('varnishncsa', ['-n', work, ...tell], { stdio: ['ignore', 'pipe', 'ignore'] });
  teller.stdout.pipe(logger.stdin);
  return [teller, logger, varnish];
}
