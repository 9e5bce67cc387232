import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let rule: string;
beforeEach(async () => {
  rule = 'params=("utm")';
  origin = await startOrigin((message, response) => {
    const fields = { 'cache-control': 'max-age=60', etag: '"a"', 'no-vary-search': rule, vary: 'x-kind' };
    response.writeHead(200, fields).end(message.url);
  });
  under = await startEdge({ origin: origin.url });
});
afterEach(async () => {
  await under.close();
  await origin.close();
});

const get = async (path: string, headers: Record<string, string> = {}, method: 'GET' | 'POST' = 'GET') => {
  const answer = await request(under.url + path, { method, headers });
  const status = String(answer.headers['cache-status']);
  return { text: await answer.body.text(), hit: /; hit/.test(status), status: answer.statusCode };
};
const keyOf = (path: string) => key16Of(`127.0.0.1:${under.port}${path}` as ResourceKey, under.site.secret);
const stored = (path: string) => expect.poll(() => under.index.get(keyOf(path)).length).toBeGreaterThan(0);
const store = async (path: string, headers: Record<string, string> = {}) => {
  expect((await get(path, headers)).hit).toBe(false);
  await stored(path);
};

describe('a response with No-Vary-Search', () => {
  it('answers for URLs that differ in nothing that counts', async () => {
    await store('/a?utm=1&id=7');
    for (const path of ['/a?utm=2&id=7', '/a?id=7', '/a?id=7&utm', '/a?id=7&utm=3&utm=4'])
      expect(await get(path), path).toEqual({ text: '/a?utm=1&id=7', hit: true, status: 200 });
    expect((await get('/a?id=7', { 'if-none-match': '"a"' })).status).toBe(304);
    expect((await get('/a?id=7', { range: 'bytes=1-1' })).text).toBe('a');
    expect(origin.seen).toHaveLength(1);
    for (const path of ['/a?id=8', '/a?id=7&other=1', '/b?id=7', '/a'])
      expect(await get(path), path).toMatchObject({ text: path, hit: false });
  });

  it('answers neither other variants, nor once it is stale, nor against the client’s word', async () => {
    await store('/a?utm=1', { 'x-kind': 'one' });
    expect((await get('/a?utm=2', { 'x-kind': 'two' })).hit).toBe(false);
    expect((await get('/a?utm=3', { 'x-kind': 'one' })).hit).toBe(true);
    expect(await get('/a?utm=4', { 'x-kind': 'one', 'cache-control': 'no-cache' })).toMatchObject({
      text: '/a?utm=4',
      hit: false,
    });
    under.demand.push(61_000);
    expect(await get('/a?utm=5', { 'x-kind': 'one' })).toMatchObject({ text: '/a?utm=5', hit: false });
  });

  it('answers no more once a newer one of its URL says otherwise', async () => {
    await store('/a?utm=1');
    rule = 'params=("other")';
    under.demand.push(61_000);
    await get('/a?utm=1');
    await expect
      .poll(() => under.index.get(keyOf('/a?utm=1'))[0]?.headers)
      .toContainEqual(['no-vary-search', rule]);
    expect((await get('/a?utm=2')).hit).toBe(false);
    expect((await get('/a?utm=1&other=2')).hit).toBe(true);
  });

  it('falls with a purge of either URL, and with a change of either', async () => {
    await store('/a?utm=1');
    under.index.purge(keyOf('/a?utm=2'));
    expect((await get('/a?utm=2')).text).toBe('/a?utm=2');
    expect((await get('/a?utm=3')).hit).toBe(true);
    under.index.purge(keyOf('/a?utm=1'));
    under.index.purge(keyOf('/a?utm=2'));
    expect((await get('/a?utm=4')).text).toBe('/a?utm=4');
    await stored('/a?utm=4');
    expect((await get('/a?utm=5')).text).toBe('/a?utm=4');
    await get('/a?utm=6', {}, 'POST');
    expect((await get('/a?utm=5')).text).toBe('/a?utm=5');
  });

  it('counts each request for its own URL', async () => {
    await store('/a?utm=1');
    await get('/a?utm=2');
    expect(under.observations.map(({ key, hit }) => [key.slice(key.indexOf('/')), hit])).toEqual([
      ['/a?utm=1', 'miss'],
      ['/a?utm=2', 'hit'],
    ]);
  });
});
