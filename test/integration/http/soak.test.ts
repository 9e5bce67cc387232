import { createHash } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { startEdge } from '../../edge-under-test.ts';
import { startOrigin } from './origin.ts';

const PATHS = 24;
const RUN_MS = 6_000;
/** A slow machine goes on until enough has been tried, but no longer than this. */
const LONGEST_MS = 60_000;
const CLIENTS = 40;

/** The one true body of a path. */
function bodyOf(path: string): Buffer {
  const digest = createHash('sha256').update(path).digest();
  const sizes = [0, 1, 700, 10_000, 262_144, 300_001, 1_500_000];
  return Buffer.alloc(sizes[digest[0]! % sizes.length]!, digest);
}

it('never gives a wrong byte, whatever origin, disk, purges and clients do at once', async () => {
  const seed = Number(process.env.SOAK_SEED ?? Date.now() % 2 ** 31);
  const random = seededRandom(seed);
  const chance = (share: number) => random.float() < share;
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random.float() * items.length)]!;
  const origin = await startOrigin(async (message, response) => {
    const path = message.url ?? '';
    const body = bodyOf(path);
    const etag = `"${path.slice(1)}"`;
    if (chance(0.05)) return void response.destroy();
    if (chance(0.05)) return void response.writeHead(503, { 'content-length': 4 }).end('down');
    await pause(Math.floor(random.float() * 20));
    const control = pick([
      'max-age=60',
      'max-age=1',
      'max-age=1, stale-while-revalidate=5',
      'no-store',
      'no-cache',
      's-maxage=1',
    ]);
    if (message.headers['if-none-match'] === etag && chance(0.8))
      return void response.writeHead(304, { 'cache-control': control, etag }).end();
    const framed = chance(0.6) ? { 'content-length': body.length } : {};
    const vary = chance(0.3) ? { vary: 'accept-language' } : {};
    response.writeHead(200, { 'cache-control': control, etag, ...vary, ...framed });
    if (message.method === 'HEAD') return void response.end();
    if (chance(0.05)) {
      response.write(body.subarray(0, body.length >> 1));
      await pause(5);
      return void response.destroy();
    }
    for (let at = 0; at < body.length; at += 200_000) {
      response.write(body.subarray(at, at + 200_000));
      if (chance(0.3)) await pause(2);
    }
    response.end();
  });
  const under = await startEdge({
    origin: origin.url,
    blobs: { budgetBytes: 6_000_000, memoryBytes: 600_000 },
    options: { maxObjectBytes: 1_400_000 },
  });
  const rejections: unknown[] = [];
  const note = (error: unknown) => rejections.push(error);
  process.on('unhandledRejection', note);
  const agent = new Agent({ connections: CLIENTS });
  const began = Date.now();
  const tally = { whole: 0, part: 0, unchanged: 0, failed: 0, cut: 0 };
  const hits = () => under.observations.filter(({ hit }) => hit === 'hit').length;
  const going = () => {
    const passed = Date.now() - began;
    return passed < RUN_MS || (passed < LONGEST_MS && (tally.whole <= 40 || tally.part <= 3 || hits() <= 3));
  };
  const client = async () => {
    while (going()) {
      const path = `/${Math.floor(random.float() ** 2 * PATHS)}`;
      const body = bodyOf(path);
      const headers: Record<string, string> = {};
      const start = Math.floor(random.float() * body.length);
      const ranged = chance(0.3);
      if (ranged) headers.range = `bytes=${start}-`;
      if (chance(0.2)) headers['if-none-match'] = `"${path.slice(1)}"`;
      if (chance(0.2)) headers['accept-language'] = pick(['de', 'en']);
      if (chance(0.1)) headers['cache-control'] = 'no-cache';
      try {
        const method = chance(0.1) ? 'HEAD' : 'GET';
        const answer = await request(under.url + path, { method, headers, dispatcher: agent });
        if (chance(0.05)) {
          answer.body.on('error', () => undefined).destroy();
          continue;
        }
        const bytes = Buffer.from(await answer.body.arrayBuffer());
        if (answer.statusCode === 200) {
          const expected = method === 'HEAD' ? Buffer.alloc(0) : body;
          expect(bytes.equals(expected), `${path} whole, seed ${seed}`).toBe(true);
          tally.whole++;
        } else if (answer.statusCode === 206) {
          expect(bytes.equals(body.subarray(start)), `${path} from ${start}, seed ${seed}`).toBe(true);
          tally.part++;
        } else if (answer.statusCode === 304) tally.unchanged++;
        else {
          expect([416, 502, 503, 504], `status, seed ${seed}`).toContain(answer.statusCode);
          tally.failed++;
        }
      } catch (error) {
        if ((error as Error).name === 'AssertionError') throw error;
        tally.cut++;
      }
    }
  };
  const vandal = async () => {
    while (going()) {
      await pause(25);
      const path = `/${Math.floor(random.float() * PATHS)}`;
      const key16 = key16Of(`127.0.0.1:${under.port}${path}` as ResourceKey, under.site.secret);
      if (chance(0.3)) under.index.purge(key16, chance(0.5));
      under.demand.push(100);
      const unused = [...under.blobs.list()].filter(
        ({ hash }) => ![...under.index.replicas.values()].flat().some(({ content }) => content === hash),
      );
      for (const { hash } of unused) if (chance(0.2)) await under.blobs.delete(hash);
      if (!chance(0.3)) continue;
      const shard = pick(await readdir(under.directory));
      const [name] = /^[0-9a-f]{2}$/.test(shard) ? await readdir(join(under.directory, shard)) : [];
      if (name === undefined) continue;
      const file = await open(join(under.directory, shard, name), 'r+').catch(() => undefined);
      await file?.write(Buffer.from('X'), 0, 1, 200);
      await file?.close();
    }
  };
  await Promise.all([...Array.from({ length: CLIENTS }, client), vandal()]);
  await agent.close();
  process.off('unhandledRejection', note);
  expect(rejections).toEqual([]);
  expect(tally.whole).toBeGreaterThan(40);
  expect(tally.part).toBeGreaterThan(3);
  await expect.poll(() => readdir(join(under.directory, 'temp')), { timeout: 30_000 }).toEqual([]);
  expect(hits()).toBeGreaterThan(3);
  expect(under.blobs.usage().diskBytes).toBeLessThanOrEqual(6_000_000);
  await under.close();
  await origin.close();
});
