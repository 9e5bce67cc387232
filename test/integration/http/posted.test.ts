import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let fields: Record<string, string>;
let status: number;
beforeEach(async () => {
  fields = { 'cache-control': 'max-age=60', 'content-location': '/a?b=1' };
  status = 200;
  origin = await startOrigin((message, response, seen) => {
    response.writeHead(status, fields).end(`${message.method} ${seen.body}`);
  });
  under = await startEdge({ origin: origin.url });
});
afterEach(async () => {
  await under.close();
  await origin.close();
});

const ask = async (method: 'GET' | 'HEAD' | 'POST' | 'PUT', headers = {}, path = '/a?b=1') => {
  const body = method === 'POST' || method === 'PUT' ? 'sent' : null;
  const answer = await request(under.url + path, { method, headers, body });
  const hit = /; hit/.test(String(answer.headers['cache-status']));
  return { text: await answer.body.text(), hit, status: answer.statusCode };
};
const held = () =>
  under.index.get(key16Of(`127.0.0.1:${under.port}/a?b=1` as ResourceKey, under.site.secret));
const stored = () => expect.poll(() => held().length).toBe(1);

describe('the answer to a POST', () => {
  it('that names its own URL and states its freshness answers GET and HEAD, and no other POST', async () => {
    expect(await ask('POST')).toEqual({ text: 'POST sent', hit: false, status: 200 });
    await stored();
    expect(await ask('GET')).toEqual({ text: 'POST sent', hit: true, status: 200 });
    expect(await ask('HEAD')).toEqual({ text: '', hit: true, status: 200 });
    expect(await ask('POST')).toMatchObject({ hit: false });
    expect(origin.seen.map(({ method }) => method)).toEqual(['POST', 'POST']);
    await stored();
    under.demand.push(61_000);
    expect(await ask('GET')).toMatchObject({ text: 'GET ', hit: false });
  });

  it('replaces what is stored, and falls with the next change', async () => {
    await ask('GET');
    await stored();
    await ask('POST');
    await stored();
    expect((await ask('GET')).text).toBe('POST sent');
    await ask('PUT');
    expect((await ask('GET')).text).toBe('GET ');
  });

  it.each([
    ['names no URL', { 'content-location': '' }, 200],
    ['names another', { 'content-location': '/a?b=2' }, 200],
    ['names one of another host', { 'content-location': 'http://other.example/a?b=1' }, 200],
    ['states no freshness', { 'cache-control': 'public' }, 200],
    ['is stale already', { 'cache-control': 'max-age=0', etag: '"a"' }, 200],
    ['may not be stored', { 'cache-control': 'no-store, max-age=60' }, 200],
    ['is for one alone', { 'cache-control': 'private, max-age=60' }, 200],
    ['varies by everything', { vary: '*' }, 200],
    ['is in a coding that nobody asked for', { 'content-encoding': 'zstd' }, 200],
    ['says that something was made', {}, 201],
    ['is an error', {}, 404],
  ])('is not stored if it %s', async (_what, changed, code) => {
    Object.assign(fields, changed);
    status = code;
    expect((await ask('POST')).text).toBe('POST sent');
    await under.edge.close();
    expect(held()).toEqual([]);
  });

  it('is not stored if credentials were shown, it breaks off, or a change overtakes it', async () => {
    await ask('POST', { authorization: 'Bearer x' });
    origin.handler = (_message, response) => {
      response.writeHead(200, { ...fields, 'content-length': '9' });
      response.write('half');
      setTimeout(() => response.destroy(), 30);
    };
    await expect(ask('POST')).rejects.toThrow();
    let changed: Promise<unknown> | undefined;
    origin.handler = async (message, response) => {
      if (message.method === 'PUT') return void response.writeHead(204).end();
      response.writeHead(200, fields);
      response.write('old');
      changed = ask('PUT');
      await changed;
      response.end();
    };
    expect((await ask('POST')).text).toBe('old');
    await changed;
    await under.edge.close();
    expect(held()).toEqual([]);
  });

  it('is not stored if a purge has overtaken it', async () => {
    origin.handler = (_message, response) => {
      under.index.purge(key16Of(`127.0.0.1:${under.port}/a?b=1` as ResourceKey, under.site.secret));
      response.writeHead(200, fields).end('old');
    };
    expect((await ask('POST')).text).toBe('old');
    await under.edge.close();
    expect(held()).toEqual([]);
  });
});
