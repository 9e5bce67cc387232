import { createServer, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readHead } from '../../../node/http/head.ts';

/** What Node's parser makes of bytes: the first request, or nothing if it refuses them or waits for more. */
async function byNode(bytes: Buffer): Promise<{ method: string; url: string; raw: string[] } | undefined> {
  const server = createServer({ requireHostHeader: false });
  const seen: IncomingMessage[] = [];
  server.on('request', (message) => seen.push(message));
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  socket.on('error', () => undefined);
  server.on('clientError', () => undefined);
  server.emit('connection', socket);
  socket.push(bytes);
  await new Promise((resolve) => setImmediate(resolve));
  const [first] = seen;
  const result = first && { method: first.method ?? '', url: first.url ?? '', raw: [...first.rawHeaders] };
  socket.destroy();
  return result;
}

const piece = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      'Host: a',
      'Accept: */*',
      'X-A:b',
      'X-B:  c d \t',
      'Cookie: a=1; b=2',
      'Range: bytes=0-1',
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'Content-Length: 5',
      'content-length:0',
      'Transfer-Encoding: chunked',
      'Expect: 100-continue',
      'Upgrade: h2c',
      'Connection: close',
      'Connection: keep-alive',
      'connection: Upgrade',
      'Trailer: x',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'X-A : b',
      ' folded',
      '\tfolded',
      ': empty',
      'no colon',
      'X\x00: a',
      'X: a\x00b',
      'X: a\rb',
      'X: \x7f',
      'X: \xe9',
      'X\xe9: a',
      '',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 20 }) },
);
const line = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('GET / HTTP/1.1', 'HEAD /a?b=c HTTP/1.1', 'GET /%41/../b HTTP/1.1'),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'GET  / HTTP/1.1',
      'GET / HTTP/1.0',
      'GET / HTTP/1.1 ',
      'get / HTTP/1.1',
      'GET /a b HTTP/1.1',
      'GET http://a/ HTTP/1.1',
      'POST / HTTP/1.1',
      'GET /\x7f HTTP/1.1',
      'GET /\xe9 HTTP/1.1',
      'GET /',
      'GET / HTTP/2.0',
      ' GET / HTTP/1.1',
      'GET /\t HTTP/1.1',
    ),
  },
);
const ending = fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n');

describe('a head that is read without Node’s parser', () => {
  it('says what Node’s parser says, or nothing', async () => {
    let read = 0;
    await fc.assert(
      fc.asyncProperty(
        line,
        fc.array(fc.tuple(piece, ending), { maxLength: 6 }),
        ending,
        ending,
        async (first, fields, afterFirst, last) => {
          const text = `${first}${afterFirst}${fields.map(([field, end]) => field + end).join('')}${last}`;
          const bytes = Buffer.from(text, 'latin1');
          const head = readHead(bytes);
          if (!head) return;
          read++;
          const node = await byNode(bytes.subarray(0, head.length));
          expect({ method: head.method, url: head.target, raw: head.raw }).toEqual(node);
        },
      ),
      { numRuns: 3000 },
    );
    // Most of what is plain has to be read here, or the check above says nothing.
    expect(read).toBeGreaterThan(100);
  });

  it('is never read from less than the whole, and leaves what follows alone', () => {
    const text = 'GET /a HTTP/1.1\r\nHost: b\r\nX:  y \r\n\r\n';
    for (let cut = 0; cut < text.length; cut++)
      expect(readHead(Buffer.from(text.slice(0, cut)))).toBeUndefined();
    const expected = { method: 'GET', target: '/a', raw: ['Host', 'b', 'X', 'y'], length: text.length };
    expect(readHead(Buffer.from(text))).toEqual(expected);
    expect(readHead(Buffer.from(`${text}GET /b HTTP/1.1\r\n\r\n`))).toEqual(expected);
    expect(readHead(Buffer.from(`GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`))).toBeUndefined();
  });
});
