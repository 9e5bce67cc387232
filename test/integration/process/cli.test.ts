import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import * as v from 'valibot';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../../node/cli/cli.ts';
import { createMetrics } from '../../../node/metrics.ts';
import { bind } from '../../../node/rpc/dispatch.ts';
import { EventHub } from '../../../node/rpc/events.ts';
import type { Handlers } from '../../../node/rpc/method.ts';
import { type IngestResult, METHODS, type MethodName } from '../../../node/rpc/methods.ts';
import { createRpc, type RpcServer } from '../../../node/rpc/server.ts';
import { silentLog } from '../../step-clock.ts';
import { SAMPLES } from './samples.ts';

const program = resolve(import.meta.dirname, '../../../node/presage.ts');
const LINE = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "agent"\n';

let directory: string;
let server: RpcServer;
const calls: { method: string; params: Record<string, unknown> }[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'presage-cli-'));
  const handlers = Object.fromEntries(
    Object.entries(SAMPLES).map(([method, result]) => [
      method,
      (params: Record<string, unknown>) => {
        calls.push({ method, params });
        if (method !== 'ingest') return result;
        const observations = params.observations as unknown[];
        const answer: IngestResult = {
          accepted: observations.length - 1,
          refused: 1,
          reasons: [{ code: 'HTTP_UNKNOWN_SITE', count: 1 }],
        };
        return answer;
      },
    ]),
  ) as Handlers;
  server = await createRpc(
    {
      methods: bind(handlers),
      events: new EventHub(Date.now),
      metrics: createMetrics({ process: false }),
      log: silentLog,
      health: () => ({ ready: true, lacks: [] }),
    },
    { dataDir: directory, version: '0' },
  );
});
afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  calls.length = 0;
});

const sink = () => {
  const parts: string[] = [];
  const stream = new Writable({
    write(part: Buffer, _encoding, done) {
      parts.push(part.toString());
      done();
    },
  });
  return { stream, text: () => parts.join('') };
};

async function run(args: readonly string[], options: { env?: Record<string, string>; stdin?: string } = {}) {
  const out = sink();
  const err = sink();
  const code = await runCli(args, {
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout: out.stream,
    stderr: err.stream,
    env: { PRESAGE_DATA_DIR: directory, ...options.env },
    cwd: directory,
  });
  return { code, out: out.text(), err: err.text() };
}

const COMMANDS: readonly (readonly [
  method: MethodName,
  args: readonly string[],
  params: Record<string, unknown>,
])[] = [
  ['status', ['status'], {}],
  ['peers', ['peers'], {}],
  ['epochs', ['epochs', '--limit', '3'], { limit: 3 }],
  ['trending', ['trending', '--region', 'eu'], { limit: 20, region: 'eu' }],
  ['forecast', ['forecast', 'h/a'], { resource: 'h/a' }],
  ['plan', ['plan', '--pop', 'fra1'], { limit: 50, pop: 'fra1' }],
  [
    'replicas',
    ['replicas', '--source', 'plan', '--prefix', 'h/'],
    { limit: 50, source: 'plan', prefix: 'h/' },
  ],
  ['tag', ['tag', 'h/a'], { resource: 'h/a' }],
  ['explain', ['explain', 'http://h/a'], { resource: 'http://h/a' }],
  ['accuracy', ['accuracy'], {}],
  ['link', ['link', 'http://h/a'], { url: 'http://h/a' }],
  [
    'announce',
    ['announce', 'http://h/a', '--at', '2026-12-01T20:00:00Z', '--expect', '9'],
    { url: 'http://h/a', at: Date.UTC(2026, 11, 1, 20), expect: 9 },
  ],
  [
    'signal',
    ['signal', 'http://h/a', '--strength', '9', '--region', 'eu'],
    { url: 'http://h/a', strength: 9, region: 'eu' },
  ],
  [
    'dns.set',
    ['dns', 'set', 'a.example', 'TXT', 'v', '--ttl', '60', '--wait', '--timeout', '2000'],
    { name: 'a.example', type: 'TXT', value: 'v', ttlSeconds: 60, wait: true, timeoutMs: 2_000 },
  ],
  ['config', ['config', '--running'], {}],
  [
    'purge',
    ['purge', '--tag', 'news', '--soft'],
    { tag: 'news', soft: true, wait: false, timeoutMs: 10_000 },
  ],
];

describe('commands that ask the daemon', () => {
  it.each(COMMANDS)('%s sends its parameters and prints the answer', async (method, args, params) => {
    const human = await run(args);
    expect([human.code, human.err]).toEqual([0, '']);
    expect(calls).toEqual([{ method, params }]);
    expect(human.out.length).toBeGreaterThan(10);
    expect(human.out).not.toContain('\u001b');
    expect(human.out).not.toMatch(/undefined|NaN|\[object/);
    const machine = await run([...args, '--json']);
    expect(JSON.parse(machine.out)).toEqual(SAMPLES[method]);
  });

  it('have samples that their schemas accept', () => {
    for (const [method, result] of Object.entries(SAMPLES)) {
      expect(v.safeParse(METHODS[method as MethodName].result, result).issues).toBeUndefined();
    }
  });

  it('purge by URL, and fail where --wait ends with PoPs missing', async () => {
    const { code, out } = await run(['purge', 'http://h/a', '--wait', '--timeout', '500']);
    expect(code).toBe(1);
    expect(calls[0]?.params).toEqual({ url: 'http://h/a', soft: false, wait: true, timeoutMs: 500 });
    expect(out).toContain('PEER_TIMEOUT');
    for (const args of [['purge'], ['purge', 'http://h/a', '--tag', 'b']]) {
      const wrong = await run(args);
      expect([wrong.code, wrong.err.includes('RPC_PARAMS')]).toEqual([1, true]);
    }
  });

  it('say where no daemon runs, with code and remedy, also as JSON', async () => {
    const env = { PRESAGE_DATA_DIR: join(directory, 'none') };
    const human = await run(['status'], { env });
    expect([human.code, human.out]).toEqual([1, '']);
    expect(human.err).toMatch(/^error: no daemon answers in .*\nRPC_UNREACHABLE: Start it/);
    const machine = await run(['status', '--json'], { env });
    expect(JSON.parse(machine.err).error).toMatchObject({ code: 'RPC_UNREACHABLE' });
  });

  it('find the daemon by flag, variable and file', async () => {
    const file = join(directory, 'presage.toml');
    writeFileSync(file, 'dataDir = "."\n');
    const env = { PRESAGE_DATA_DIR: '' };
    expect((await run(['status', '--config', file], { env })).code).toBe(0);
    expect((await run(['status', '--data-dir', directory], { env })).code).toBe(0);
    expect((await run(['status'], { env: { ...env, PRESAGE_CONFIG: file } })).code).toBe(0);
  });
});

describe('dashboard', () => {
  it('gives the link with the token in the fragment', async () => {
    const { out } = await run(['dashboard']);
    const token = readFileSync(join(directory, 'rpc.token'), 'utf8').trim();
    expect(out).toBe(`http://127.0.0.1:9090/#token=${token}\n`);
  });
});

describe('ingest', () => {
  it('sends logs in batches and reports malformed lines and refusals', async () => {
    const plain = join(directory, 'a.log');
    const packed = join(directory, 'b.log.gz');
    writeFileSync(plain, `${LINE.repeat(4500)}rubbish\n`);
    writeFileSync(packed, gzipSync(LINE.repeat(10)));
    const { code, out, err } = await run(['ingest', plain, packed, '--host', 'www.example', '--json']);
    expect(code).toBe(0);
    expect(calls.map(({ params }) => (params.observations as unknown[]).length)).toEqual([
      2000, 2000, 500, 10,
    ]);
    expect(calls[0]?.params.host).toBe('www.example');
    expect(JSON.parse(out)).toEqual({
      read: 4510,
      accepted: 4506,
      refused: 4,
      malformed: 1,
      reasons: [{ code: 'HTTP_UNKNOWN_SITE', count: 4 }],
    });
    expect(err).toBe(`${plain}:4501: not a combined log line\n`);
  });

  it('reads standard input, and fails where nothing can be read', async () => {
    const piped = await run(['ingest', '-'], { stdin: LINE + LINE });
    expect([piped.code, piped.out]).toEqual([
      0,
      '1 accepted, 1 refused, 0 malformed lines\n1 × HTTP_UNKNOWN_SITE\n',
    ]);
    const rubbish = await run(['ingest', '-'], { stdin: 'x\n' });
    expect([rubbish.code, rubbish.err.includes('INPUT_MALFORMED')]).toEqual([1, true]);
    const missing = await run(['ingest', 'nowhere.log']);
    expect([missing.code, missing.err.includes('no such file')]).toEqual([1, true]);
  });
});

describe('the frame', () => {
  it('helps with every command', async () => {
    const { out, code } = await run(['--help']);
    expect(code).toBe(0);
    const names = [...out.matchAll(/^ {2}([a-z]+)/gm)].map((match) => match[1]);
    for (const name of 'start demo keys status peers epochs trending forecast plan replicas tag explain accuracy purge announce signal ingest link sign dns config simulate predict'.split(
      ' ',
    )) {
      expect(names).toContain(name);
      const help = await run([name, '--help']);
      expect([help.code, help.out.startsWith(`Usage: presage ${name}`)]).toEqual([0, true]);
    }
  });

  it.each([
    [['statsu'], 'Did you mean status?'],
    [['status', '--jsn'], '--json'],
    [['epochs', '--limit', 'x'], 'whole number'],
    [['forecast'], 'missing required argument'],
    [['predict'], '--horizon'],
    [['start', '--orign', 'x'], '--origin'],
  ])('refuses %j as usage', async (args, hint) => {
    const { code, err } = await run(args);
    expect([code, err.includes(hint)]).toEqual([2, true]);
  });

  it('prints the effective configuration without a daemon', async () => {
    const { out } = await run([
      'config',
      '--json',
      '--http',
      ':80',
      '--listen',
      '/ip4/1.2.3.4/tcp/1',
      '--listen',
      '/ip6/::1/tcp/2',
    ]);
    const values = new Map(JSON.parse(out).values.map((entry: { key: string }) => [entry.key, entry]));
    expect(values.get('http.listen')).toMatchObject({ value: '[::]:80', source: 'flag', from: '--http' });
    expect(values.get('p2p.listen')).toMatchObject({ value: '/ip4/1.2.3.4/tcp/1,/ip6/::1/tcp/2' });
    expect(values.get('dataDir')).toMatchObject({ value: directory, source: 'variable' });
    const wrong = await run(['config', '--epoch-length', '30']);
    expect([wrong.code, wrong.err.includes('CONFIG_INVALID')]).toEqual([1, true]);
  });
});

describe('the process', () => {
  it('says which address cannot be had, where another process has it', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const http = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const args = [program, 'start', '--data-dir', join(directory, 'taken'), '--http', http, '--dns', 'off'];
    const failure = await promisify(execFile)(process.execPath, args).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`address already in use ${http}`),
    });
    expect(failure).toMatchObject({ stderr: expect.stringContaining('CONFIG_INVALID') });
    taken.close();
  });

  it('runs from a shell, and ends quietly when its reader has gone', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      program,
      'status',
      '--json',
      '--data-dir',
      directory,
    ]);
    expect(JSON.parse(stdout)).toEqual(SAMPLES.status);
    const child = spawn(process.execPath, [program, 'help', 'start'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let err = '';
    child.stderr.on('data', (part: Buffer) => {
      err += part.toString();
    });
    const code = await new Promise((done) => child.on('close', done));
    expect([code, err]).toEqual([0, '']);
  });
});
