import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ONE } from '../integration/http/certificates.ts';
import { freePort } from '../ports.ts';

/** Memory for contents, MB: those of a bench that makes new ones all the time. */
const MEMORY_MB = 256;

/** A server under load, on the first core. */
export interface Served {
  readonly process: ChildProcess;
  /** Where it is asked, without a path. */
  readonly url: string;
}

const program = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

/** On the first core; the load and the origin get the second. */
export function pinned(command: readonly string[], core: 0 | 1 = 0): string[] {
  return availableParallelism() > 1 ? ['taskset', '-c', String(core), ...command] : [...command];
}

function start(
  command: readonly string[],
  core: 0 | 1 = 0,
  errors: 'inherit' | 'ignore' = 'inherit',
): ChildProcess {
  const [file = '', ...rest] = pinned(command, core);
  return spawn(file, rest, { cwd: root, stdio: ['ignore', 'pipe', errors] });
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('no output to read');
  for await (const line of createInterface({ input: child.stdout })) {
    child.stdout.resume();
    return line;
  }
  throw new Error(`${child.spawnargs.join(' ')} did not start`);
}

/** A program of this directory that prints its port. */
async function printing(name: string, args: readonly string[], core: 0 | 1 = 0): Promise<Served> {
  const child = start([process.execPath, program(name), ...args], core);
  return { process: child, url: `http://127.0.0.1:${await firstLine(child)}` };
}

export const startOrigin = () => printing('./http-origin.ts', [], 1);
/** The edge alone, with nothing that learns from what it sees. */
export const startEdge = (origin: string) => printing('./http-edge.ts', [origin]);
/** Node's own HTTP server with a body in memory and nothing behind it. */
export const startBare = (bytes: number) => printing('./http-bare.ts', [String(bytes)]);

/** The daemon as an operator starts it; over TLS, HTTP/2 as well. */
export async function startPresage(directory: string, origin: string, secure = false): Promise<Served> {
  const tls = secure ? await certificates(directory) : undefined;
  const child = start([
    ...[
      process.execPath,
      'node/presage.ts',
      'start',
      '--data-dir',
      join(directory, secure ? 'tls' : 'plain'),
    ],
    ...['--origin', origin, '--http', '127.0.0.1:0', '--dns', 'off', '--log-level', 'warn'],
    ...['--storage-memory', `${MEMORY_MB}MiB`],
    ...(tls ? ['--http-tls-certificate', tls.certificate, '--http-tls-key', tls.key] : []),
  ]);
  const url = /\bhttp=(\S+)/.exec(await firstLine(child))?.[1];
  if (url === undefined) throw new Error('the daemon serves no HTTP');
  return { process: child, url };
}

/** nginx with one worker, `proxy_cache` on disk, open files remembered, misses for one resource one at a time. */
export async function startNginx(directory: string, origin: string): Promise<Served & { secure: string }> {
  const [port, securePort] = [await freePort(), await freePort()];
  const { certificate, key } = await certificates(directory);
  const file = join(directory, 'nginx.conf');
  await writeFile(
    file,
    `daemon off;
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
  upstream origin { server ${new URL(origin).host}; keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    listen 127.0.0.1:${securePort} ssl http2;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache bench;
      proxy_cache_lock on;
    }
  }
}
`,
  );
  const child = start(['nginx', '-c', file, '-p', directory, '-e', join(directory, 'nginx.log')]);
  const url = (scheme: string, at: number) => `${scheme}://127.0.0.1:${at}`;
  return { process: child, url: url('http', port), secure: url('https', securePort) };
}

/** Varnish with its defaults, contents in memory, its shared log as it stands. */
export async function startVarnish(directory: string, origin: string): Promise<Served> {
  const port = await freePort();
  // Started by root it would become a user who may not read this directory.
  const jail = process.getuid?.() === 0 ? ['-j', 'none'] : [];
  const command = [
    ...['varnishd', '-F', ...jail, '-n', join(directory, 'varnish'), '-T', 'none'],
    ...['-a', `127.0.0.1:${port}`, '-b', new URL(origin).host, '-s', `malloc,${MEMORY_MB}m`],
  ];
  // It tells of its own start there.
  const child = start(command, 0, 'ignore');
  child.stdout?.resume();
  return { process: child, url: `http://127.0.0.1:${port}` };
}

async function certificates(directory: string): Promise<{ certificate: string; key: string }> {
  const at = { certificate: join(directory, 'certificate.pem'), key: join(directory, 'key.pem') };
  await writeFile(at.certificate, ONE.certificate);
  await writeFile(at.key, ONE.key, { mode: 0o600 });
  return at;
}

export async function stop({ process: child }: Served): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
