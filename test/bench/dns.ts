import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { labelOfKey16 } from '../../node/dns/label.ts';
import type { Key16 } from '../../protocol/ids.ts';
import type { BenchResult } from './bench.ts';
import { VerifyingClients } from './dns-clients.ts';
import { cpuSeconds, median, residentMiB, say, spread } from './processes.ts';

/** Names in the mix, as many as the acceptance asks for. */
const NAMES = 10_000;
const RUNS = 5;
const RUN_SECONDS = 3;
/** A rate that every server bears, at which latency is measured. */
const PACED_PER_SECOND = 20_000;
/** 198.18.7.0/24 as a client subnet option, in the form that dnsperf takes. */
const SUBNET = '8:00011800c61207';

const execute = promisify(execFile);

/** Malformed packets a second that are sent while real clients are served. */
const FLOOD_PER_SECOND = 20_000;

interface Contender {
  readonly name: string;
  /** Further arguments of dnsperf. */
  readonly asks?: readonly string[];
  readonly port: number;
  readonly process: ChildProcess;
}

/**
 * Queries a second, one thread each, the load on the other core: ours with routed names of single resources and client
 * subnets on, as it runs by default and with datagrams one by one, gdnsd with the same names as static records,
 * PowerDNS's geoip backend with the same. Needs Debian's gdnsd, dnsperf and taskset; PowerDNS if it is there.
 */
export async function run(): Promise<BenchResult & Record<string, unknown>> {
  const dir = mkdtempSync(join(tmpdir(), 'presage-bench-dns-'));
  const contenders: Contender[] = [];
  try {
    const names = Array.from({ length: NAMES }, (_, i) =>
      labelOfKey16(i.toString(16).padStart(32, '0') as Key16),
    );
    const queries = join(dir, 'queries');
    writeFileSync(queries, names.map((label) => `${label}.r.cdn.example A\n`).join(''));
    contenders.push(await startOurs('presage', []), await startOurs('presage-unbatched', ['--unbatched']));
    // With signatures, asked for by every client (DO): each name and PoP is signed once, then remembered.
    contenders.push({ ...(await startOurs('presage-signed', ['--signed'])), asks: ['-D'] });
    contenders.push(await startGdnsd(dir, names));
    const powerDns = await startPowerDns(dir, names).catch(() => undefined);
    if (powerDns) contenders.push(powerDns);

    const rates = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
    const cpuMicros = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
    const rssMiB = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
    for (const contender of contenders) {
      // By TCP every name is signed, once: by UDP so many a second, lest who forges addresses has us sign for nothing.
      if (contender.asks)
        await execute('dnsperf', dnsperf(contender, queries, ['-m', 'tcp', '-n', '1', '-D', '-E', SUBNET]));
      await load(contender, queries, 1);
    }
    for (let round = 0; round < RUNS; round += 1) {
      for (const contender of contenders) {
        const { perSecond, cpu } = await load(contender, queries, RUN_SECONDS);
        rates.get(contender.name)!.push(perSecond);
        cpuMicros.get(contender.name)!.push(cpu);
        rssMiB.get(contender.name)!.push(await residentMiB(contender.process.pid));
        say(`${contender.name}, run ${round + 1} of ${RUNS}: ${perSecond} queries/s, ${cpu} us of CPU each`);
      }
    }
    const p99Ms: Record<string, number> = {};
    for (const contender of contenders) {
      p99Ms[contender.name] = await pacedP99(contender, queries);
      say(`${contender.name}: p99 ${p99Ms[contender.name]} ms at ${PACED_PER_SECOND} queries/s`);
    }
    const flood = await underFlood(contenders[0]!, names);

    const ours = median(rates.get('presage')!);
    const peer = median(rates.get('gdnsd')!);
    const geoip = rates.get('powerdns-geoip');
    const medians = (values: ReadonlyMap<string, number[]>) =>
      Object.fromEntries([...values].map(([name, list]) => [name, median(list)]));
    return {
      name: 'dns',
      unit: 'queries/s',
      ours,
      peer,
      ratio: ours / peer,
      runs: rates.get('presage')!,
      peerRuns: rates.get('gdnsd')!,
      ...(geoip && { powerDns: median(geoip), powerDnsRatio: ours / median(geoip), powerDnsRuns: geoip }),
      perSecond: medians(rates),
      cpuMicrosPerQuery: medians(cpuMicros),
      rssMiB: Object.fromEntries([...rssMiB].map(([name, list]) => [name, spread(list)])),
      p99Ms,
      pacedPerSecond: PACED_PER_SECOND,
      flood,
      cores: cpus().length,
    };
  } finally {
    for (const { process } of contenders) process.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Starts a server on the first core and waits until it answers. */
async function start(
  name: string,
  command: string,
  args: readonly string[],
  port?: number,
): Promise<Contender> {
  const child = spawn('taskset', ['-c', '0', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  for (let attempt = 0; attempt < 100; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (child.exitCode !== null) throw new Error(`${name} ended: ${said}`);
    const found = port ?? (/^\d+$/m.test(said) ? Number(/^\d+$/m.exec(said)![0]) : undefined);
    if (found === undefined) continue;
    const probe = `${labelOfKey16('0'.repeat(32) as Key16)}.r.cdn.example`;
    const { stdout } = await execute('dig', [
      '@127.0.0.1',
      '-p',
      `${found}`,
      '+short',
      '+tries=1',
      '+time=1',
      probe,
    ]).catch(() => ({ stdout: '' }));
    if (/^\d+\.\d+\.\d+\.\d+$/m.test(stdout)) return { name, port: found, process: child };
  }
  child.kill('SIGKILL');
  throw new Error(`${name} does not answer: ${said}`);
}

function startOurs(name: string, args: readonly string[]): Promise<Contender> {
  const program = fileURLToPath(new URL('./dns-server.ts', import.meta.url));
  return start(name, process.execPath, [program, ...args]);
}

/** A port that nothing listens on by TCP; the servers take it by UDP too. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function startGdnsd(dir: string, names: readonly string[]): Promise<Contender> {
  const port = await freePort();
  const config = join(dir, 'gdnsd');
  for (const path of ['zones', 'run', 'state']) mkdirSync(join(config, path), { recursive: true });
  writeFileSync(
    join(config, 'config'),
    `options => {
  listen => 127.0.0.1:${port}
  udp_threads => 1
  tcp_threads => 1
  run_dir => ${join(config, 'run')}
  state_dir => ${join(config, 'state')}
}
`,
  );
  const records = names.map((label, i) => `${label}.r A 192.0.2.${1 + (i % 24)}\n`).join('');
  writeFileSync(
    join(config, 'zones', 'cdn.example'),
    `$TTL 30\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.1\n${records}`,
  );
  return start('gdnsd', 'gdnsd', ['-c', config, 'start'], port);
}

async function startPowerDns(dir: string, names: readonly string[]): Promise<Contender> {
  const port = await freePort();
  const zones = join(dir, 'zones.yaml');
  const records = names
    .map((label, i) => `      ${label}.r.cdn.example:\n        - a: 192.0.2.${1 + (i % 24)}\n`)
    .join('');
  writeFileSync(
    zones,
    `domains:
  - domain: cdn.example
    ttl: 30
    records:
      cdn.example:
        - soa: ns1.cdn.example hostmaster.cdn.example 1 3600 600 86400 60
        - ns: ns1.cdn.example
${records}`,
  );
  return start(
    'powerdns-geoip',
    'pdns_server',
    [
      `--config-dir=${dir}`,
      `--socket-dir=${dir}`,
      '--daemon=no',
      '--guardian=no',
      '--launch=geoip',
      `--geoip-zones-file=${zones}`,
      '--geoip-database-files=',
      '--edns-subnet-processing=yes',
      '--local-address=127.0.0.1',
      `--local-port=${port}`,
      '--receiver-threads=1',
      '--distributor-threads=1',
    ],
    port,
  );
}

const dnsperf = ({ port }: Contender, queries: string, further: readonly string[]): string[] => [
  ...['-s', '127.0.0.1', '-p', `${port}`, '-d', queries, ...further],
];

/**
 * As many queries as the server takes, 200 of them under way at a time; and the processor time that each one cost it,
 * in microseconds, which other work on the machine disturbs less.
 */
async function load(
  contender: Contender,
  queries: string,
  seconds: number,
): Promise<{ perSecond: number; cpu: number }> {
  const args = dnsperf(contender, queries, ['-l', `${seconds}`]);
  const before = await cpuSeconds(contender.process.pid);
  const { stdout } = await execute('taskset', [
    ...['-c', '1', 'dnsperf', ...args],
    ...['-c', '4', '-q', '200', '-E', SUBNET, ...(contender.asks ?? [])],
  ]);
  const cpu = (await cpuSeconds(contender.process.pid)) - before;
  const completed = Number(/Queries completed:\s+(\d+)/.exec(stdout)?.[1] ?? 0);
  const good = Number(/NOERROR (\d+)/.exec(stdout)?.[1] ?? 0);
  if (good < completed) throw new Error(`${contender.name} gave other answers than NOERROR: ${stdout}`);
  return {
    perSecond: Math.round(Number(/Queries per second:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0)),
    cpu: Math.round((cpu * 1e8) / Math.max(1, completed)) / 100,
  };
}

/**
 * Real clients that verify every answer, in peace and under a flood of malformed packets; answers a second each. The
 * clients and the flood share the other core.
 */
async function underFlood({ port }: Contender, names: readonly string[]): Promise<Record<string, unknown>> {
  const clients = new VerifyingClients(
    port,
    names.slice(0, 1_000).map((label) => `${label}.r.cdn.example`),
  );
  await clients.learn();
  const peace = await clients.verify(RUN_SECONDS);
  const flooder = fileURLToPath(new URL('./dns-flooder.ts', import.meta.url));
  const flooding = execute('taskset', [
    ...['-c', '1', process.execPath, flooder],
    ...[`${port}`, `${FLOOD_PER_SECOND}`, `${RUN_SECONDS + 1}`],
  ]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const flooded = await clients.verify(RUN_SECONDS);
  const malformed = Number((await flooding).stdout);
  return {
    malformedPerSecond: Math.round(malformed / (RUN_SECONDS + 1)),
    clientsPerSecond: Math.round(flooded.right / RUN_SECONDS),
    clientsPerSecondInPeace: Math.round(peace.right / RUN_SECONDS),
    ratio: Math.round((100 * flooded.right) / Math.max(1, peace.right)) / 100,
    ...{ wrong: flooded.wrong, askedAgain: flooded.lost },
  };
}

/** The 99th percentile of latency at a fixed rate, ms. */
async function pacedP99(contender: Contender, queries: string): Promise<number> {
  const args = dnsperf(contender, queries, ['-l', '2', '-v']);
  const { stdout } = await execute(
    'taskset',
    ['-c', '1', 'dnsperf', ...args, '-Q', `${PACED_PER_SECOND}`, '-E', SUBNET, ...(contender.asks ?? [])],
    { maxBuffer: 64 << 20 },
  );
  const latencies = [...stdout.matchAll(/^> NOERROR \S+ A (\d+\.\d+)$/gm)].map(([, seconds]) =>
    Number(seconds),
  );
  latencies.sort((a, b) => a - b);
  return Math.round((latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN) * 1e6) / 1000;
}
