import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EdgeOptions } from '../../../node/http/context.ts';
import type { Key16, ResourceKey } from '../../../protocol/ids.ts';
import { key16Of } from '../../../protocol/ids.ts';
import { type EdgeSetting, type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type Handler, type OriginUnderTest, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;

const answer =
  (headers: Record<string, string | string[]>, body = 'hello', status = 200): Handler =>
  (_request, response) => {
    response.writeHead(status, { 'content-length': body.length, ...headers });
    response.end(body);
  };
/** Not `fetch`: that adds Cache-Control of its own to conditional requests. */
const get = async (
  path: string,
  headers: Record<string, string> = {},
  method: 'GET' | 'HEAD' | 'POST' = 'GET',
) => {
  const response = await request(under.url + path, { method, headers });
  const text = await response.body.text();
  const fields = new Headers();
  for (const [name, value] of Object.entries(response.headers)) fields.set(name, String(value));
  return { status: response.statusCode, headers: fields, text: async () => text };
};
const begin = async (
  handler: Handler,
  options: Partial<EdgeOptions> = {},
  rest: Partial<EdgeSetting> = {},
) => {
  origin = await startOrigin(handler);
  under = await startEdge({ origin: origin.url, options, ...rest });
};
const keyOf = (path: string): Key16 =>
  key16Of(`127.0.0.1:${under.port}${path}` as ResourceKey, under.site.secret);
const stored = async (path: string) => {
  await expect.poll(() => under.index.get(keyOf(path)).length).toBeGreaterThan(0);
};

afterEach(async () => {
  await under.close();
  await origin.close();
});

describe('a fresh response', () => {
  beforeEach(() =>
    begin(
      answer({
        'cache-control': 'max-age=60',
        etag: '"v1"',
        'content-type': 'text/plain',
        'x-a': '1',
        age: '5',
        'surrogate-key': 'k1 k2',
      }),
    ),
  );

  it('is fetched once, and then served from the store with Age, Via and Cache-Status', async () => {
    const first = await get('/a?x=1');
    expect(await first.text()).toBe('hello');
    expect(first.headers.get('cache-status')).toBe('"pop-1"; fwd=uri-miss; fwd-status=200; stored');
    under.demand.push(10_000);
    await stored('/a?x=1');
    const second = await get('/a?x=1');
    expect(await second.text()).toBe('hello');
    expect(second.headers.get('cache-status')).toMatch(/^"pop-1"; hit; ttl=(?:[123]\d|4[0-5])$/);
    expect(Number(second.headers.get('age'))).toBeGreaterThanOrEqual(15);
    expect(second.headers.get('via')).toBe('1.1 pop-1');
    expect(second.headers.get('x-a')).toBe('1');
    expect(origin.seen).toHaveLength(1);
    expect(origin.seen[0]?.headers.via).toBe('1.1 pop-1');
    expect(
      under.observations.map(({ hit, status, bytes, query, shareable }) => [
        hit,
        status,
        bytes,
        query,
        shareable,
      ]),
    ).toEqual([
      ['miss', 200, 5, true, true],
      ['hit', 200, 5, true, true],
    ]);
    expect(under.index.get(keyOf('/a?x=1'))[0]?.tags).toEqual(['k1', 'k2']);
  });

  it('answers HEAD, conditions and ranges from the store', async () => {
    await get('/a');
    await stored('/a');
    const head = await get('/a', {}, 'HEAD');
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '5', '']);
    expect((await get('/a', { 'if-none-match': '"v1"' })).status).toBe(304);
    expect((await get('/a', { 'if-none-match': '"v2"' })).status).toBe(200);
    expect((await get('/a', { 'if-match': '"v2"' })).status).toBe(412);
    const part = await get('/a', { range: 'bytes=1-2' });
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      'bytes 1-2/5',
      'el',
    ]);
    const suffix = await get('/a', { range: 'bytes=-2', 'if-range': '"v1"' });
    expect([suffix.status, await suffix.text()]).toEqual([206, 'lo']);
    expect((await get('/a', { range: 'bytes=-2', 'if-range': '"old"' })).status).toBe(200);
    const none = await get('/a', { range: 'bytes=9-' });
    expect([none.status, none.headers.get('content-range')]).toEqual([416, 'bytes */5']);
    const parts = await get('/a', { range: 'bytes=0-0,4-4' });
    expect(parts.status).toBe(206);
    const boundary = /boundary=(.*)/.exec(parts.headers.get('content-type') ?? '')?.[1];
    const text = await parts.text();
    expect(text.length).toBe(Number(parts.headers.get('content-length')));
    expect(text.split(`--${boundary}`).map((piece) => piece.split('\r\n\r\n')[1]?.trim())).toEqual([
      undefined,
      'h',
      'o',
      undefined,
    ]);
    expect(origin.seen).toHaveLength(1);
  });

  it('is asked for again when the client wants newer, and validated', async () => {
    await get('/a');
    await stored('/a');
    origin.handler = (message, response) => {
      response.writeHead(message.headers['if-none-match'] === '"v1"' ? 304 : 200, {
        etag: '"v1"',
        'x-a': '2',
      });
      response.end();
    };
    const renewed = await get('/a', { 'cache-control': 'no-cache' });
    expect([await renewed.text(), renewed.headers.get('x-a')]).toEqual(['hello', '2']);
    expect(renewed.headers.get('cache-status')).toContain('fwd=request; fwd-status=304');
    expect((await get('/a')).headers.get('x-a')).toBe('2');
    expect(origin.seen).toHaveLength(2);
    expect(under.observations.at(-2)?.hit).toBe('revalidated');
  });

  it('is gone after a purge and validated after a soft one', async () => {
    await get('/a');
    await stored('/a');
    under.index.purge(keyOf('/a'), true);
    origin.handler = (message, response) => {
      response.writeHead(message.headers['if-none-match'] ? 304 : 200, { 'cache-control': 'max-age=60' });
      response.end();
    };
    expect(await (await get('/a')).text()).toBe('hello');
    under.index.purge(keyOf('/a'));
    origin.handler = answer({ 'cache-control': 'max-age=60' }, 'new');
    expect(await (await get('/a')).text()).toBe('new');
    expect(origin.seen.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      '"v1"',
      undefined,
    ]);
  });

  it('is forgotten after an unsafe request that succeeded, with its relations', async () => {
    for (const path of ['/a', '/b', '/c']) {
      await get(path);
      await stored(path);
    }
    origin.handler = answer({}, 'failed', 500);
    expect((await get('/a', {}, 'POST')).status).toBe(500);
    expect(under.index.get(keyOf('/a'))).toHaveLength(1);
    origin.handler = answer(
      { location: '/b', 'content-location': 'http://elsewhere.example/c' },
      'done',
      201,
    );
    const done = await fetch(`${under.url}/a`, { method: 'PUT', body: 'some body' });
    expect([done.status, await done.text(), origin.seen.at(-1)?.body]).toEqual([201, 'done', 'some body']);
    expect(under.index.get(keyOf('/a'))).toHaveLength(0);
    expect(under.index.get(keyOf('/b'))).toHaveLength(0);
    expect(under.index.get(keyOf('/c'))).toHaveLength(1);
    expect(under.observations.at(-1)).toMatchObject({ hit: 'pass', shareable: false });
  });

  it('answers only-if-cached without the origin', async () => {
    expect((await get('/a', { 'cache-control': 'only-if-cached' })).status).toBe(504);
    await get('/a');
    await stored('/a');
    expect((await get('/a', { 'cache-control': 'only-if-cached' })).status).toBe(200);
    expect(origin.seen).toHaveLength(1);
  });
});

describe('a stale response', () => {
  it('is served while it is revalidated', async () => {
    await begin(answer({ 'cache-control': 'max-age=1, stale-while-revalidate=60' }, 'old'));
    await get('/a');
    await stored('/a');
    under.demand.push(2000);
    origin.handler = answer({ 'cache-control': 'max-age=60' }, 'new');
    const stale = await get('/a');
    expect([await stale.text(), stale.headers.get('cache-status')]).toEqual([
      'old',
      expect.stringContaining('hit'),
    ]);
    await expect.poll(async () => (await get('/a')).text()).toBe('new');
    expect(origin.seen).toHaveLength(2);
    expect(under.observations[1]?.hit).toBe('stale');
  });

  it.each([
    ['a closed connection', ((_request, response) => void response.destroy()) as Handler],
    ['a 503', answer({}, 'down', 503)],
  ])('stands in for an origin that answers with %s', async (_how, failing) => {
    await begin(answer({ 'cache-control': 'max-age=1' }, 'old'), { staleIfErrorSeconds: 100 });
    await get('/a');
    await stored('/a');
    under.demand.push(50_000);
    origin.handler = failing;
    const stale = await get('/a');
    expect([stale.status, await stale.text()]).toEqual([200, 'old']);
    expect(stale.headers.get('cache-status')).toMatch(
      /^"pop-1"; fwd=stale(?:; fwd-status=503)?; detail=ORIGIN_UNREACHABLE; ttl=-\d+$/,
    );
    under.demand.push(100_000);
    expect((await get('/a')).status).toBeGreaterThanOrEqual(502);
  });

  it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=1', 'no-cache'])(
    'does not stand in against %s',
    async (directive) => {
      await begin(answer({ 'cache-control': `max-age=1, ${directive}`, etag: '"a"' }, 'old'));
      await get('/a');
      await stored('/a');
      under.demand.push(2000);
      origin.handler = (_request, response) => void response.destroy();
      const failed = await get('/a');
      expect(failed.status).toBe(502);
      expect(failed.headers.get('proxy-status')).toMatch(/^"pop-1"; error=connection_terminated$/);
      expect(await failed.text()).toContain('ORIGIN_UNREACHABLE');
    },
  );

  it('does not stand in while a soft purge waits for the origin', async () => {
    await begin(answer({ 'cache-control': 'max-age=600' }, 'old'));
    await get('/a');
    await stored('/a');
    under.index.purge(keyOf('/a'), true);
    origin.handler = (_request, response) => void response.destroy();
    expect((await get('/a')).status).toBe(502);
  });
});

describe('variants', () => {
  it('are kept apart by Vary and found again in any spelling', async () => {
    await begin((message, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60', vary: 'Accept-Language' });
      response.end(message.headers['accept-language'] ?? 'none');
    });
    const text = async (language?: string) =>
      (await get('/a', language === undefined ? {} : { 'accept-language': language })).text();
    expect(await text('de')).toBe('de');
    expect(await text('en')).toBe('en');
    expect(await text('DE')).toBe('de');
    expect(await text('en')).toBe('en');
    await expect.poll(() => under.index.get(keyOf('/a')).length).toBe(2);
    expect(origin.seen).toHaveLength(2);
  });
});

describe('a language', () => {
  it('is chosen from the store when it is the one that the client wants above all', async () => {
    await begin((message, response) => {
      const language = String(message.headers['accept-language']).startsWith('de') ? 'de' : 'en';
      const headers = {
        'cache-control': 'max-age=60',
        vary: 'Accept-Language',
        'content-language': language,
      };
      response.writeHead(200, headers).end(language);
    });
    const text = async (language: string) => (await get('/a', { 'accept-language': language })).text();
    expect(await text('de')).toBe('de');
    await stored('/a');
    expect(await text('fr;q=0.5, DE')).toBe('de');
    expect(origin.seen).toHaveLength(1);
    expect(await text('en, de;q=0.9')).toBe('en');
    expect(await text('de;q=0.9, fr;q=0.9')).toBe('de');
    expect(origin.seen).toHaveLength(3);
  });
});

describe('variants that a client makes up', () => {
  it('are bounded in number and length', async () => {
    await begin((message, response) => {
      response
        .writeHead(200, { 'cache-control': 'max-age=60', vary: 'x-a' })
        .end(String(message.headers['x-a']));
    });
    await get('/a', { 'x-a': 'popular' });
    for (let n = 0; n < 40; n++) {
      await get('/a', { 'x-a': String(n) });
      under.demand.push(100);
      await get('/a', { 'x-a': 'popular' });
    }
    expect(origin.seen).toHaveLength(41);
    await expect.poll(() => under.index.get(keyOf('/a')).length).toBe(32);
    const long = 'x'.repeat(5000);
    expect(await (await get('/a', { 'x-a': long })).text()).toBe(long);
    expect(under.index.get(keyOf('/a')).every(({ variant }) => variant.length < 1024)).toBe(true);
  });
});

describe('what is not stored', () => {
  it.each([
    ['no-store', {}, { 'cache-control': 'no-store' }],
    ['private', {}, { 'cache-control': 'private, max-age=60' }],
    ['nothing said', {}, {}],
    ['authorised', { authorization: 'Basic x' }, { 'cache-control': 'max-age=60' }],
    ['Vary: *', {}, { 'cache-control': 'max-age=60', vary: '*' }],
  ] as [string, Record<string, string>, Record<string, string>][])('%s', async (_why, request, response) => {
    await begin(answer(response));
    for (let n = 0; n < 2; n++) expect(await (await get('/a', request)).text()).toBe('hello');
    expect(origin.seen).toHaveLength(2);
    expect(under.blobs.usage().contents).toBe(0);
    expect(under.observations[1]?.hit).toBe('pass');
  });

  it('is an answer whose end cannot be told from a broken connection', async () => {
    await begin((_request, response) => {
      response.socket?.end('HTTP/1.0 200 OK\r\ncache-control: max-age=60\r\n\r\nhalf of it');
    });
    expect(await (await get('/a')).text()).toBe('half of it');
    await get('/a');
    expect(origin.seen).toHaveLength(2);
    expect(under.blobs.usage().contents).toBe(0);
  });

  it('passes what is larger than the limit, whole and in ranges', async () => {
    const big = 'x'.repeat(3_000_000);
    await begin(
      (message, response) => {
        if (message.headers.range === 'bytes=0-9')
          response
            .writeHead(206, { 'content-range': 'bytes 0-9/3000000', 'content-length': '10' })
            .end(big.slice(0, 10));
        else
          response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': big.length }).end(big);
      },
      { maxObjectBytes: 1_000_000 },
    );
    const range = await get('/a', { range: 'bytes=0-9' });
    expect([range.status, await range.text()]).toEqual([206, 'xxxxxxxxxx']);
    expect((await (await get('/a')).text()).length).toBe(big.length);
    expect(under.blobs.usage().contents).toBe(0);
  });
});

describe('what the origin hears', () => {
  it('gets neither steering nor hop-by-hop fields, nor the client’s conditions on a fill', async () => {
    await begin(answer({ 'cache-control': 'max-age=60', etag: '"a"' }));
    const headers = {
      'x-forwarded-host': 'evil.example',
      'x-original-url': '/admin',
      forwarded: 'for=1.2.3.4',
      'if-none-match': '"zzz"',
      range: 'bytes=0-1',
      'x-real': 'kept',
    };
    expect((await get('/a?presage-signature=s', headers)).status).toBe(206);
    const [seen] = origin.seen;
    expect(seen?.url).toBe('/a');
    expect(seen?.headers).toMatchObject({ 'x-forwarded-host': `127.0.0.1:${under.port}`, 'x-real': 'kept' });
    for (const name of ['x-original-url', 'forwarded', 'if-none-match', 'range'])
      expect(seen?.headers).not.toHaveProperty(name);
  });
});
