import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const root = resolve(import.meta.dirname, '../..');

/** Daemons that run: none outlives the tests, however these end. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A real daemon in a process of its own. */
export interface Daemon {
  readonly process: ChildProcess;
  readonly dataDir: string;
  /** What the ready line said: name, id, http, dns, rpc, p2p. */
  readonly ready: Readonly<Record<string, string>>;
  readonly readyMs: number;
  /** Everything it logged so far. */
  log(): string;
  rpc<T>(method: string, params?: object): Promise<T>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** A temporary directory that `finish` removes. */
export function scratch(finish: (fn: () => void) => void): string {
  const directory = mkdtempSync(join(tmpdir(), 'presage-'));
  finish(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts `presage start` on free loopback ports and waits for its ready line; `spawned` hears its pid before that. */
export async function startDaemon(
  dataDir: string,
  flags: readonly string[] = [],
  spawned: (pid: number | undefined) => void = () => undefined,
): Promise<Daemon> {
  const startedAt = performance.now();
  const given = (flag: string) => flags.includes(flag);
  const child = spawn(
    process.execPath,
    [
      'node/presage.ts',
      'start',
      '--data-dir',
      dataDir,
      ...(given('--http') ? [] : ['--http', '127.0.0.1:0']),
      ...(given('--dns') ? [] : ['--dns', '127.0.0.1:0']),
      ...flags,
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let logged = '';
  child.stderr.on('data', (chunk: Buffer) => {
    logged += chunk.toString();
  });
  running.add(child);
  spawned(child.pid);
  const exited = once(child, 'exit').finally(() => running.delete(child));
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => String(text)),
    exited.then(([code]) => {
      throw new Error(`the daemon ended with ${code} before it was ready\n${logged}`);
    }),
  ]);
  const ready = Object.fromEntries(
    line
      .split(' ')
      .filter((word) => word.includes('='))
      .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  );
  const readyMs = performance.now() - startedAt;
  return {
    process: child,
    dataDir,
    ready,
    readyMs,
    log: () => logged,
    rpc: (method, params) => call(join(dataDir, 'rpc.sock'), method, params),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        // One that was stopped hears nothing but the kill.
        if (signal !== 'SIGKILL') child.kill('SIGCONT');
        await exited;
      }
      return child.exitCode;
    },
  };
}

async function call<T>(socketPath: string, method: string, params: object = {}): Promise<T> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const { text } = await http({
    socketPath,
    path: '/rpc',
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  const reply = JSON.parse(text) as { result?: T; error?: { message: string } };
  if (reply.error) throw new Error(`${method}: ${reply.error.message}`);
  return reply.result as T;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly text: string;
}

/** One request, whole. */
export function http(options: {
  readonly url?: string;
  readonly socketPath?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Gives up when nothing has been heard for so long. */
  readonly timeoutMs?: number;
}): Promise<Answer> {
  const { url, body, socketPath, path, method = 'GET', headers = {}, timeoutMs = 60_000 } = options;
  const target = url === undefined ? undefined : new URL(url);
  return new Promise((settle, fail) => {
    const sent = request(
      {
        method,
        headers: { ...headers },
        agent: false,
        timeout: timeoutMs,
        ...(socketPath === undefined ? {} : { socketPath }),
        ...(target
          ? { host: target.hostname, port: target.port, path: target.pathname + target.search }
          : { path }),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', fail);
        response.on('end', () => {
          const whole = Buffer.concat(parts);
          const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
          settle({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(flat),
            body: whole,
            text: whole.toString(),
          });
        });
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    sent.on('error', fail);
    sent.end(body);
  });
}

/** Polls until `probe` holds, or fails with what it said last. The deadline is for a slow machine under load. */
export async function until(
  what: string,
  probe: () => Promise<boolean> | boolean,
  withinMs = 90_000,
): Promise<void> {
  const end = performance.now() + withinMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      if (await probe()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`not within ${withinMs} ms: ${what}${last ? ` (${String(last)})` : ''}`);
}
