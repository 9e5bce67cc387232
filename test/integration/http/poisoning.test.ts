import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, rawExchange, startOrigin } from './origin.ts';

const MARK = 'evil';
const LIMIT = 8_000;

let origin: OriginUnderTest;
let under: EdgeUnderTest;
/** An origin that builds its answer of whatever it is sent, and tells caches to keep it. */
beforeEach(async () => {
  origin = await startOrigin((message, response, seen) => {
    const { 'user-agent': _, ...headers } = message.headers;
    const length = message.rawHeaders.join('').length;
    const status = length > LIMIT ? 400 : message.method === 'GET' || message.method === 'HEAD' ? 200 : 405;
    response
      .writeHead(status, status === 200 ? { 'cache-control': 'max-age=60' } : {})
      .end(JSON.stringify([message.method, message.url, headers, seen.body]));
  });
  under = await startEdge({
    origin: origin.url,
    site: {
      hosts: ['www.example'],
      normalise: { dropParameters: ['utm_*'], sortParameters: false, ignoreQuery: false },
    },
  });
});
afterEach(async () => {
  await under.close();
  await origin.close();
});
const send = (request: string, ...fields: string[]) =>
  rawExchange(under.port, `${[`${request} HTTP/1.1`, ...fields, 'Connection: close'].join('\r\n')}\r\n\r\n`);
const victim = (path = '/page') => send(`GET ${path}`, 'Host: www.example');

describe('what one client sends is not what others get', () => {
  it.each([
    ['a forwarded host', ['X-Forwarded-Host: evil.example']],
    ['a forwarded scheme', ['X-Forwarded-Scheme: evil', 'X-Forwarded-Proto: evil', 'X-Forwarded-Port: evil']],
    ['another host', ['X-Host: evil.example', 'X-HTTP-Host-Override: evil.example', 'Forwarded: host=evil']],
    ['another path', ['X-Original-URL: /evil', 'X-Rewrite-URL: /evil']],
    ['another method', ['X-HTTP-Method-Override: EVIL', 'X-Method-Override: evil']],
    ['fields that Connection names', ['Connection: X-Evil, keep-alive', 'X-Evil: evil']],
    ['hop-by-hop fields', ['TE: evil', 'Proxy-Authorization: evil', 'Keep-Alive: evil']],
    ['a range', ['Range: bytes=0-1']],
    ['a condition', ['If-None-Match: "evil"', 'If-Modified-Since: Mon, 23 Nov 2099 00:00:00 GMT']],
    ['an odd coding', ['Accept-Encoding: evil']],
  ])('by %s', async (_, fields) => {
    await send('GET /page', 'Host: www.example', ...fields);
    const answer = await victim();
    expect(answer).toContain('HTTP/1.1 200 OK');
    expect(answer).toContain('/page');
    expect(answer.toLowerCase()).not.toContain(MARK);
    expect(JSON.stringify(origin.seen).toLowerCase()).not.toContain(MARK);
  });

  it('by a body that a GET has no use for', async () => {
    const body = 'callback=evil';
    const asked = `GET /page HTTP/1.1\r\nHost: www.example\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    expect(await rawExchange(under.port, asked)).toContain('200 OK');
    expect(await victim()).not.toContain(MARK);
  });

  it('by a head that the origin finds too large: its refusal is nobody else’s', async () => {
    const refused = await send('GET /page', 'Host: www.example', `X-Large: ${'x'.repeat(LIMIT)}`);
    expect(refused).toContain('HTTP/1.1 400');
    expect(await victim()).toContain('HTTP/1.1 200 OK');
  });

  it('by parameters that hide in dropped ones', async () => {
    await send('GET /page?utm_source=1;callback=evil&utm_x=evil&a=1', 'Host: www.example');
    expect(await victim('/page?a=1')).not.toContain(MARK);
    expect(origin.seen.map(({ url }) => url)).toEqual(['/page?a=1']);
  });

  it.each([
    '/page%3Fevil',
    '/page;evil',
    '/page%2fevil',
    '//page',
    '/page/.',
    '/PAGE',
    '/page?',
    '/page%20evil',
  ])('by a path that an origin may take for another: %s', async (path) => {
    await send(`GET ${path}`, 'Host: www.example');
    const answer = await victim();
    expect(answer).toContain('"/page"');
    expect(answer).toContain('fwd=uri-miss');
  });
});

describe('what is one client’s is not stored for others', () => {
  it.each([
    ['without stated freshness, whatever its path ends in', { 'content-type': 'text/html' }],
    ['with a cookie that it sets', { 'set-cookie': 'session=1', expires: 'Fri, 01 Jan 2100 00:00:00 GMT' }],
    ['that says private', { 'cache-control': 'private, max-age=60' }],
    ['that varies by more than fields', { 'cache-control': 'max-age=60', vary: '*' }],
  ])('an answer %s', async (_, fields) => {
    origin.handler = (_message, response) =>
      response.writeHead(200, fields).end('account of one client') && undefined;
    for (let round = 0; round < 2; round++)
      expect(await send('GET /account/x.css', 'Host: www.example', 'Cookie: session=1')).toContain(
        'account of',
      );
    expect(origin.seen).toHaveLength(2);
    expect([...under.blobs.list()]).toEqual([]);
  });

  it('an answer to credentials, unless it is said to be for all', async () => {
    const asks = () => send('GET /account', 'Host: www.example', 'Authorization: Basic dTpw');
    await asks();
    await asks();
    expect(origin.seen).toHaveLength(2);
    expect(await victim('/account')).toContain('fwd=uri-miss');
  });
});
