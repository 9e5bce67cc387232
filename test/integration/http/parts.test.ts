import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import type { FetchTicket } from '../../../protocol/replica.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

const SIZE = 100_000;
const BODY = Buffer.from(Array.from({ length: SIZE }, (_, at) => at % 251));

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let fields: Record<string, string>;
beforeEach(async () => {
  fields = { 'cache-control': 'max-age=60', etag: '"1"', 'content-type': 'video/mp4' };
  origin = await startOrigin((message, response) => {
    const [, first = '', last = ''] = /bytes=(\d*)-(\d*)/.exec(message.headers.range ?? '') ?? [];
    if (first === '') {
      response.writeHead(200, { ...fields, 'content-length': SIZE }).end(BODY);
      return;
    }
    const [from, to] = [Number(first), last === '' ? SIZE : Number(last) + 1];
    const range = { 'content-range': `bytes ${from}-${to - 1}/${SIZE}`, 'content-length': to - from };
    response.writeHead(206, { ...fields, ...range }).end(BODY.subarray(from, to));
  });
  // Larger than what is stored whole.
  under = await startEdge({ origin: origin.url, options: { maxObjectBytes: 50_000 } });
  await (await fetch(`${under.url}/film`, { headers: { range: 'bytes=0-1' } })).arrayBuffer();
  origin.seen.length = 0;
});
afterEach(async () => {
  await under.close();
  await origin.close();
});

/** Not `fetch`: that adds Cache-Control of its own to conditional requests. */
async function part(range: string, more: Record<string, string> = {}) {
  const answer = await request(`${under.url}/film`, { headers: { range, ...more } });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  const field = (name: string) => String(answer.headers[name] ?? '');
  const [, from, to] = /bytes (\d+)-(\d+)\//.exec(field('content-range')) ?? [];
  const right = answer.statusCode === 206 && bytes.equals(BODY.subarray(Number(from), Number(to) + 1));
  return {
    status: answer.statusCode,
    right,
    range: `${from}-${to}`,
    hit: /; hit/.test(field('cache-status')),
  };
}

describe('parts of a content that is too large to be stored', () => {
  it('serve the ranges that lie within them', async () => {
    expect(await part('bytes=1000-1999')).toMatchObject({ right: true, hit: false });
    expect(await part('bytes=1000-1999')).toEqual({
      status: 206,
      right: true,
      range: '1000-1999',
      hit: true,
    });
    expect(await part('bytes=1200-1300', { 'if-range': '"1"' })).toMatchObject({ right: true, hit: true });
    expect(await part('bytes=1200-1300', { 'if-none-match': '"1"' })).toMatchObject({
      status: 304,
      hit: true,
    });
    expect(await part('bytes=1200-2500')).toMatchObject({ right: true, range: '1200-2500', hit: false });
    expect(origin.seen).toHaveLength(2);
  });

  it('are put together where they touch, from the end too', async () => {
    await part('bytes=98000-');
    await part('bytes=96000-97999');
    expect(await part('bytes=97000-98999')).toEqual({
      status: 206,
      right: true,
      range: '97000-98999',
      hit: true,
    });
    expect(await part('bytes=-500')).toEqual({ status: 206, right: true, range: '99500-99999', hit: true });
    expect(await part('bytes=95999-96001')).toMatchObject({ right: true, hit: false });
  });

  it('of different contents are never put together', async () => {
    await part('bytes=0-999');
    fields.etag = '"2"';
    await part('bytes=1000-1999');
    expect(await part('bytes=500-1500')).toMatchObject({ right: true, hit: false });
    fields.etag = 'W/"3"';
    await part('bytes=3000-3999');
    await part('bytes=4000-4999');
    expect(await part('bytes=3500-4500')).toMatchObject({ hit: false });
  });

  it.each([
    ['no-store', { 'cache-control': 'no-store' }],
    ['private', { 'cache-control': 'private, max-age=60' }],
    ['stale', { 'cache-control': 'max-age=0' }],
    ['varying by anything', { vary: '*' }],
    ['in a coding that its variant does not tell of', { 'content-encoding': 'zstd' }],
    ['of another length than it says', { 'content-range': `bytes 1000-2999/${SIZE}` }],
  ])('are not kept when the answer is %s', async (_, wrong) => {
    const body = BODY.subarray(1000, 2000);
    origin.handler = (_message, response) => {
      const range = { 'content-range': `bytes 1000-1999/${SIZE}`, 'content-length': body.length };
      response.writeHead(206, { ...fields, ...range, ...wrong }).end(body);
    };
    await part('bytes=1000-1999');
    expect(await part('bytes=1000-1999')).toMatchObject({ hit: false });
  });

  it('end with their freshness, with a purge and with a change', async () => {
    await part('bytes=0-999');
    under.demand.push(61_000);
    expect(await part('bytes=0-999')).toMatchObject({ hit: false });
    expect(await part('bytes=0-999')).toMatchObject({ hit: true });
    // As the real index says it: a purge came after the ticket.
    Object.assign(under.index, { overtaken: ({ ordinal }: FetchTicket) => ordinal < 1 });
    under.index.purge(key16Of(`127.0.0.1:${under.port}/film` as ResourceKey, under.site.secret));
    expect(await part('bytes=0-999')).toMatchObject({ hit: false });
    expect(await part('bytes=0-999')).toMatchObject({ hit: true });
    await fetch(`${under.url}/film`, { method: 'POST', body: 'x' });
    expect(await part('bytes=0-999')).toMatchObject({ hit: false });
  });
});
