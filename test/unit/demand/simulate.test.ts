import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CommandIo } from '../../../node/cli/io.ts';
import { simulate } from '../../../node/cli/simulate.ts';
import { SimulatedCache } from '../../../node/simulator/cache.ts';
import type { PolicyOutcome } from '../../../node/simulator/world.ts';
import type { Key16 } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';

let directory: string;
let log: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'presage-simulate-'));
  log = join(directory, 'access.log');
  const random = seededRandom(5);
  const lines = Array.from({ length: 1500 }, (_, i) => {
    const n = Math.floor(150 * random.float() ** 2);
    const at = new Date(Date.UTC(2026, 0, 1) + i * 20_000);
    const time = `${String(at.getUTCDate()).padStart(2, '0')}/Jan/2026:${at.toISOString().slice(11, 19)} +0000`;
    return `10.0.${random.uint32() % 100}.7 - - [${time}] "GET /d/${n}.gif HTTP/1.1" 200 ${1000 + 97 * n} "-" "-"`;
  });
  lines.push('garbage', '10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "POST /x HTTP/1.1" 200 10 "-" "-"');
  writeFileSync(log, `${lines.join('\n')}\n`);
});
afterAll(() => rmSync(directory, { recursive: true }));

async function run(more: Partial<Parameters<typeof simulate>[0]> = {}): Promise<string> {
  let text = '';
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  const io: CommandIo = { stdin: Readable.from([]), stdout: sink, stderr: sink, env: {}, cwd: directory };
  const options = { log: [log], format: 'auto', pops: '3', regionBy: 'hash', json: true, ...more } as const;
  expect(await simulate(options, io)).toBe(0);
  return text;
}

test('one JSON object with the promised keys and policies', async () => {
  const report = JSON.parse(await run()) as { requests: number; bytes: number; policies: PolicyOutcome[] };
  expect(report.requests).toBe(1500);
  const names = report.policies.map(({ policy }) => policy);
  for (const name of [
    'reactive-lru',
    'cooperative',
    'popularity-push',
    'threshold-push',
    'presage',
    'oracle',
  ]) {
    expect(names).toContain(name);
  }
  for (const outcome of report.policies) {
    expect(Object.keys(outcome)).toEqual([
      ...[
        'policy',
        'hitRatio',
        'byteHitRatio',
        'coldMisses',
        'coldMissesAvoided',
        'originBytes',
        'peerBytes',
      ],
      ...['prefetchedBytes', 'wastedBytes', 'latencyMs'],
    ]);
    expect(Object.keys(outcome.latencyMs)).toEqual(['mean', 'p50', 'p95', 'p99']);
    expect(outcome.wastedBytes).toBeLessThanOrEqual(outcome.prefetchedBytes);
  }
  const of = (name: string) => report.policies.find(({ policy }) => policy === name)!;
  const pairs = of('reactive-lru').coldMisses;
  for (const outcome of report.policies) expect(outcome.coldMisses + outcome.coldMissesAvoided).toBe(pairs);
  expect(of('reactive-lru')).toMatchObject({ coldMissesAvoided: 0, peerBytes: 0, prefetchedBytes: 0 });
  expect(of('cooperative').originBytes).toBeLessThan(of('reactive-lru').originBytes);
  expect(of('oracle').coldMissesAvoided).toBe(pairs);
  expect(of('oracle').latencyMs.mean).toBeLessThan(of('cooperative').latencyMs.mean);
});

test('a table for people', async () => {
  expect(await run({ json: false })).toMatch(/1500 requests.*presage.*1 malformed lines/s);
});

test('wrong options are named', async () => {
  await expect(run({ pops: '0' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await expect(run({ pops: join(directory, 'none.json') })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await expect(run({ storage: 'much' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await expect(run({ regionBy: 'geoip' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await expect(run({ log: [join(directory, 'none.log')] })).rejects.toMatchObject({ code: 'STORE_IO' });
});

test('a layout from a file', async () => {
  const layout = join(directory, 'pops.json');
  const file = {
    pops: ['a', 'b'],
    distances: [
      [0, 40],
      [40, 0],
    ],
    originMs: 150,
  };
  writeFileSync(layout, JSON.stringify(file));
  expect(JSON.parse(await run({ pops: layout }))).toMatchObject({ pops: 2 });
  writeFileSync(layout, JSON.stringify({ ...file, distances: [[0, 40]] }));
  await expect(run({ pops: layout })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('mirrors never push out what clients asked for, and give way first', () => {
  const evicted: string[] = [];
  const cache = new SimulatedCache(100, (key16) => evicted.push(key16));
  const key = (name: string) => name as Key16;
  cache.store(key('asked'), 60);
  expect(cache.mirror(key('m1'), 30)).toBe(true);
  expect(cache.mirror(key('m2'), 50)).toBe(false);
  expect(evicted).toEqual(['m1']);
  expect(cache.mirror(key('m3'), 40)).toBe(true);
  cache.store(key('more'), 30);
  expect(evicted).toEqual(['m1', 'm3']);
  expect(cache.request(key('asked'))).toBe('hit');
  cache.store(key('large'), 60);
  expect(cache.request(key('more'))).toBe('miss');
  expect(cache.has(key('asked'))).toBe(false);
});
