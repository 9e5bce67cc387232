import { connect as connect2 } from 'node:http2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { ONE } from './certificates.ts';
import { type OriginUnderTest, rawExchange, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let control: string;
beforeEach(async () => {
  control = 'max-age=60';
  origin = await startOrigin((_message, response) => {
    response.writeHead(200, { 'cache-control': control, trailer: 'x-sum, x-list' });
    response.write('one ');
    response.addTrailers([
      ['X-Sum', '\xfc1'],
      ['x-list', 'a'],
      ['x-list', 'b'],
      ['constructor', 'c'],
      ['set-cookie', 'a=1'],
      ['cache-control', 'no-store'],
    ]);
    response.end('two');
  });
  under = await startEdge({ origin: origin.url });
});
afterEach(async () => {
  await under.close();
  await origin.close();
});

const ask = (fields = '') =>
  rawExchange(under.port, `GET /a HTTP/1.1\r\nHost: www.example\r\n${fields}\r\n`, 150);
const SECTION = '\r\n0\r\nx-sum: \xfc1\r\nx-list: a\r\nx-list: b\r\nconstructor: c\r\n\r\n';

describe('trailers', () => {
  it.each(['max-age=60', 'no-store'])('follow the answer that they came with: %s', async (value) => {
    control = value;
    const answer = await ask();
    expect(answer).toContain('one ');
    expect(answer.endsWith(SECTION)).toBe(true);
    // By Node's own server too, to which a connection goes that asks for anything unusual.
    const other = await rawExchange(
      under.port,
      'GET /b HTTP/1.1\r\nHost: www.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n',
      150,
    );
    expect(other.endsWith(SECTION)).toBe(true);
  });

  it('are not stored, and belong to the whole alone', async () => {
    await ask();
    await expect.poll(() => under.blobs.usage().contents).toBe(1);
    const hit = await ask();
    expect(hit).toContain('; hit');
    expect(hit.endsWith('one two')).toBe(true);
    expect(hit).not.toContain('x-sum');
    expect(await ask('Range: bytes=0-2\r\n')).not.toContain('x-sum');
    expect(origin.seen).toHaveLength(1);
  });

  it('are left out where nothing can follow a body: HTTP/1.0', async () => {
    const answer = await rawExchange(under.port, 'GET /a HTTP/1.0\r\nHost: www.example\r\n\r\n', 150);
    expect(answer.endsWith('one two')).toBe(true);
  });

  it('follow over HTTP/2', async () => {
    const door = await under.edge.listen('127.0.0.1', 0, ONE);
    const session = connect2(`https://127.0.0.1:${door.port}`, { rejectUnauthorized: false });
    const stream = session.request({ ':path': '/a', ':authority': 'www.example' });
    let trailers: Record<string, unknown> = {};
    stream.on('trailers', (fields) => {
      trailers = { ...fields };
    });
    let text = '';
    for await (const part of stream) text += String(part);
    session.destroy();
    expect(text).toBe('one two');
    expect(Object.entries(trailers)).toEqual([
      ['x-sum', expect.anything()],
      ['x-list', 'a, b'],
      ['constructor', 'c'],
    ]);
  });
});
