import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, rawExchange, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
beforeEach(async () => {
  origin = await startOrigin((_message, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': 2 }).end('ok');
  });
  under = await startEdge({ origin: origin.url, site: { hosts: ['www.example', '127.0.0.1'] } });
});
afterEach(async () => {
  await under.close();
  await origin.close();
});
const ask = (text: string) => rawExchange(under.port, text.replaceAll('\n', '\r\n'), 150);
const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);

describe('what could be read in two ways, or reaches too far', () => {
  it.each([
    ['no Host', 400, 'GET / HTTP/1.1\n\n'],
    ['two Hosts', 400, 'GET / HTTP/1.1\nHost: www.example\nHost: other.example\n\n'],
    ['a Host with a path', 400, 'GET / HTTP/1.1\nHost: www.example/x\n\n'],
    ['a Host with a user', 400, 'GET / HTTP/1.1\nHost: a@www.example\n\n'],
    ['an unknown site', 421, 'GET / HTTP/1.1\nHost: other.example\n\n'],
    ['an unknown site in the target', 421, 'GET http://other.example/ HTTP/1.1\nHost: www.example\n\n'],
    ['a path that climbs', 400, 'GET /../etc/passwd HTTP/1.1\nHost: www.example\n\n'],
    ['a path that climbs in disguise', 400, 'GET /a/%2e%2e/%2e%2e/b HTTP/1.1\nHost: www.example\n\n'],
    ['an encoded line end', 400, 'GET /a%0d%0aX-Evil:1 HTTP/1.1\nHost: www.example\n\n'],
    ['an authority as target', 400, 'GET www.example HTTP/1.1\nHost: www.example\n\n'],
    [
      'lengths and chunks at once',
      400,
      'POST / HTTP/1.1\nHost: www.example\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\nX',
    ],
    ['two lengths', 400, 'POST / HTTP/1.1\nHost: www.example\nContent-Length: 5\nContent-Length: 6\n\nhello'],
    ['a folded line', 400, 'GET / HTTP/1.1\nHost: www.example\nX-A: b\n c\n\n'],
    ['a name with a space', 400, 'GET / HTTP/1.1\nHost: www.example\nX-A : b\n\n'],
    ['a bare carriage return', 400, 'GET / HTTP/1.1\nHost: www.example\nX-A: b\rX-B: c\n\n'],
    ['a NUL', 400, 'GET / HTTP/1.1\nHost: www.example\nX-A: \0\n\n'],
    ['another protocol', 400, 'HELO there\n\n'],
    ['TRACE', 405, 'TRACE / HTTP/1.1\nHost: www.example\n\n'],
    ['PURGE', 405, 'PURGE / HTTP/1.1\nHost: www.example\n\n'],
    ['a loop', 508, 'GET / HTTP/1.1\nHost: www.example\nVia: 1.1 other, 1.1 pop-1\n\n'],
    [
      'a header section beyond its limit',
      431,
      `GET / HTTP/1.1\nHost: www.example\nX-A: ${'a'.repeat(20_000)}\n\n`,
    ],
    ['too many lines', 431, `GET / HTTP/1.1\nHost: www.example\n${'X-A: b\n'.repeat(200)}\n`],
    ['a target beyond its limit', 431, `GET /${'a'.repeat(9000)} HTTP/1.1\nHost: www.example\n\n`],
  ])('is refused: %s', async (_what, status, text) => {
    expect(statusOf(await ask(text))).toBe(status);
    expect(origin.seen).toHaveLength(0);
    expect(statusOf(await ask('GET / HTTP/1.1\nHost: www.example\n\n'))).toBe(200);
  });

  it('costs a client without a body not its connection, one with a body it does', async () => {
    const next = 'GET /ok HTTP/1.1\nHost: www.example\n\n';
    const without = await ask(`GET /../a HTTP/1.1\nHost: www.example\n\n${next}`);
    expect(without.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 200']);
    const body = 'POST /../a HTTP/1.1\nHost: www.example\nContent-Length: 500\n\n';
    const withBody = await ask(`${body}${next}`);
    expect(withBody.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 400']);
    expect(withBody.toLowerCase()).toContain('connection: close');
  });

  it('cannot be hidden behind a request that ends early', async () => {
    const smuggled = await ask(
      'GET /a HTTP/1.1\nHost: www.example\nContent-Length: 46\n\nGET /smuggled HTTP/1.1\nHost: www.example\n\nX'.concat(
        'GET /b HTTP/1.1\nHost: www.example\n\n',
      ),
    );
    expect(smuggled.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(origin.seen.map(({ url }) => url).sort()).toEqual(['/a', '/b']);
  });
});

describe('what is answered all the same', () => {
  it.each([
    ['an absolute target', 'GET http://WWW.example:80/a HTTP/1.1\nHost: ignored.example\n\n'],
    ['HTTP/1.0', 'GET /a HTTP/1.0\nHost: www.example\n\n'],
    ['a Host in capitals with a dot', 'GET /a HTTP/1.1\nHost: WWW.EXAMPLE.\n\n'],
    ['Via of others', 'GET /a HTTP/1.1\nHost: www.example\nVia: 1.1 pop-11, 1.1 xpop-1\n\n'],
    ['an Upgrade', 'GET /a HTTP/1.1\nHost: www.example\nConnection: Upgrade\nUpgrade: websocket\n\n'],
  ])('%s', async (_what, text) => {
    const answer = await ask(text);
    expect(statusOf(answer)).toBe(200);
    expect(answer.endsWith('ok')).toBe(true);
    expect(origin.seen[0]).toMatchObject({ url: '/a', headers: { host: 'www.example' } });
    expect(origin.seen[0]?.headers).not.toHaveProperty('upgrade');
  });

  it('answers pipelined requests in order', async () => {
    const answer = await ask(
      'GET /a HTTP/1.1\nHost: www.example\n\nGET /b HTTP/1.1\nHost: www.example\n\nGET /a HTTP/1.1\nHost: www.example\nConnection: close\n\n',
    );
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(3);
  });

  it('keeps serving real clients through a flood of garbage', async () => {
    let seed = 7;
    const next = () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed;
    };
    const garbage = Array.from({ length: 60 }, () => {
      const length = next() % 400;
      let text = next() % 2 ? 'GET /a HTTP/1.1\r\nHost: ' : '';
      for (let n = 0; n < length; n++) text += String.fromCharCode(next() % 256);
      return rawExchange(under.port, `${text}\r\n\r\n`, 50, 1_000);
    });
    const real = Array.from({ length: 60 }, (_, n) => ask(`GET /${n % 5} HTTP/1.1\nHost: www.example\n\n`));
    await Promise.all(garbage);
    for (const answer of await Promise.all(real)) {
      expect(statusOf(answer)).toBe(200);
      expect(answer.endsWith('ok')).toBe(true);
    }
  });
});

describe('interim responses', () => {
  it('reach the client that waits, and are not stored', async () => {
    origin.handler = (_message, response) => {
      response.writeProcessing();
      response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style', 'x-hint': 'one' });
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': 2 }).end('ok');
    };
    const first = await ask('GET /a HTTP/1.1\nHost: www.example\n\n');
    expect(first.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 102', 'HTTP/1.1 103', 'HTTP/1.1 200']);
    expect(first).toContain('x-hint: one');
    expect(first.slice(first.indexOf('HTTP/1.1 200'))).not.toContain('x-hint');
    const second = await ask('GET /a HTTP/1.1\nHost: www.example\n\n');
    expect(second.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 200']);
  });
});

describe('an origin that misbehaves', () => {
  it.each([
    ['not HTTP at all', 'SSH-2.0-OpenSSH\r\n', 502, 'http_protocol_error'],
    [
      'a header with a line end in its value',
      'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\n\r\n',
      502,
      'http_protocol_error',
    ],
    [
      'headers without end',
      `HTTP/1.1 200 OK\r\n${'X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(3000)}`,
      502,
      'http_',
    ],
    ['a control character in a field', 'HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n', 502, 'http_protocol_error'],
    ['nothing', '', 502, 'connection_terminated'],
  ])('%s: a coded answer', async (_what, bytes, status, reason) => {
    origin.handler = (message) => void message.socket.end(bytes, 'latin1');
    const answer = await ask('GET /a HTTP/1.1\nHost: www.example\n\n');
    expect(statusOf(answer)).toBe(status);
    expect(/proxy-status: (.*)\r\n/.exec(answer)?.[1]).toContain(`error=${reason}`);
  });

  it('sends bytes beyond ASCII in a field: they come through unchanged, from the store too', async () => {
    origin.handler = (message) =>
      void message.socket.end(
        'HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nx-latin: \xfc\r\ncontent-length: 2\r\n\r\nok',
        'latin1',
      );
    for (let n = 0; n < 2; n++) {
      const answer = await ask('GET /a HTTP/1.1\nHost: www.example\n\n');
      expect([statusOf(answer), answer.endsWith('ok')]).toEqual([200, true]);
      expect(answer).toContain('x-latin: \xfc');
    }
    expect(origin.seen).toHaveLength(1);
  });

  it('is unreachable or slow: 502 and 504', async () => {
    const slow = await startEdge({
      origin: origin.url,
      originOptions: { responseTimeoutMs: 200 },
    });
    origin.handler = () => undefined;
    const answer = await rawExchange(slow.port, 'GET /a HTTP/1.1\r\nHost: www.example\r\n\r\n', 2500);
    expect(statusOf(answer)).toBe(504);
    expect(answer).toContain('http_response_timeout');
    await slow.close();
    const dead = await startEdge({ origin: 'http://127.0.0.1:1' });
    const refused = await rawExchange(dead.port, 'GET /a HTTP/1.1\r\nHost: www.example\r\n\r\n', 200);
    expect(statusOf(refused)).toBe(502);
    expect(refused).toContain('connection_refused');
    await dead.close();
  });
});
