import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let opened: Socket[];
beforeEach(async () => {
  opened = [];
  origin = await startOrigin((message, response, seen) => {
    const path = message.url ?? '';
    const fields = { 'cache-control': 'max-age=60', etag: '"1"' };
    if (message.method === 'POST')
      response.writeHead(200, { 'content-length': 4 + seen.body.length }).end(`got ${seen.body}`);
    else if (path.startsWith('/chunked')) response.writeHead(200, fields).end('in chunks');
    else if (path.startsWith('/pass')) response.writeHead(200, { 'cache-control': 'no-store' }).end('passed');
    else if (path.startsWith('/big'))
      response.writeHead(200, { ...fields, 'content-length': 3_000_000 }).end('x'.repeat(3_000_000));
    else if (path.startsWith('/empty')) response.writeHead(204, fields).end();
    else response.writeHead(200, { ...fields, 'content-length': 5 }).end('hello');
  });
});
afterEach(async () => {
  for (const socket of opened) socket.destroy();
  await under.close();
  await origin.close();
});

class Wire {
  text = '';
  ended = false;
  readonly socket: Socket;
  constructor() {
    this.socket = connect({ host: '127.0.0.1', port: under.port, allowHalfOpen: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (part: string) => {
      this.text += part;
    });
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('error', () => undefined);
    opened.push(this.socket);
  }
  async until(...parts: string[]): Promise<string> {
    for (const part of parts) await expect.poll(() => this.text, { timeout: 10_000 }).toContain(part);
    return this.text;
  }
  send(text: string): void {
    this.socket.write(text, 'latin1');
  }
}
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
const stored = async (path: string) => {
  const key16 = key16Of(`a.test${path}` as ResourceKey, under.site.secret);
  await expect.poll(() => under.index.get(key16).length, { timeout: 10_000 }).toBe(1);
};
const count = (text: string, part: string) => text.split(part).length - 1;

describe.each([{ direct: 'auto' }, { direct: 'off' }] as const)(
  'a connection, direct $direct',
  ({ direct }) => {
    beforeEach(async () => {
      under = await startEdge({ origin: origin.url, options: { direct } });
    });

    it('answers requests of every kind one after the other, hits and others, in whole and in parts', async () => {
      const wire = new Wire();
      wire.send(get('/a'));
      await wire.until('hello');
      await stored('/a');
      wire.send(get('/a'));
      wire.send(get('/a'));
      await expect.poll(() => count(wire.text, 'hello')).toBe(3);
      expect(count(wire.text, '"pop-1"; hit')).toBe(2);
      wire.send(get('/a', 'If-None-Match: "1"\r\n'));
      await wire.until('304 Not Modified');
      wire.send(get('/a', 'Range: bytes=1-2\r\n'));
      await wire.until('content-range: bytes 1-2/5\r\n', '\r\n\r\nel');
      wire.send(get('/chunked'));
      await wire.until('9\r\nin chunks\r\n0\r\n\r\n');
      wire.send(get('/pass'));
      await wire.until('6\r\npassed\r\n0\r\n\r\n');
      wire.send(get('/empty'));
      await wire.until('204 No Content');
      // From here on Node's parser has the connection.
      wire.send('POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc');
      await wire.until('got abc');
      wire.send(get('/a'));
      await expect.poll(() => count(wire.text, '\r\n\r\nhello')).toBe(4);
      expect(wire.ended).toBe(false);
      expect(count(wire.text, 'HTTP/1.1 ')).toBe(10);
    });

    it('answers what is sent ahead in order, and what comes in pieces when it is whole', async () => {
      const wire = new Wire();
      wire.send(get('/a') + get('/chunked') + get('/nothing?1') + get('/pass'));
      const text = await wire.until('passed');
      expect(text.indexOf('hello')).toBeLessThan(text.indexOf('in chunks'));
      expect(text.indexOf('in chunks')).toBeLessThan(text.lastIndexOf('hello'));
      wire.send(`${get('/a')}GET /pa`);
      await expect.poll(() => count(wire.text, 'hello')).toBe(3);
      for (const byte of 'ss HTTP/1.1\r\nHost: a.test\r\n\r\n') wire.send(byte);
      await expect.poll(() => count(wire.text, 'passed')).toBe(2);
      wire.send(
        `${get('/a')}POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n`,
      );
      await wire.until('got xyz');
      expect(count(wire.text, 'hello')).toBe(4);
    });

    it('hands a long body on whole, and goes on', async () => {
      const wire = new Wire();
      wire.send(get('/a'));
      await wire.until('hello');
      const body = Array.from({ length: 60_000 }, (_, n) => `${n} `).join('');
      wire.send(`POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`);
      for (let at = 0; at < body.length; at += 50_000) {
        wire.send(body.slice(at, at + 50_000));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await wire.until(`got ${body}`);
      wire.send(get('/a'));
      await expect.poll(() => count(wire.text, '\r\n\r\nhello')).toBe(2);
    });

    it('answers HEAD with the length and no body, and goes on', async () => {
      const wire = new Wire();
      wire.send(`${get('/a').replace('GET', 'HEAD')}${get('/pass')}`);
      const text = await wire.until('passed');
      expect(text).toContain('content-length: 5\r\n');
      expect(text).not.toContain('hello');
    });

    it('is closed when the client asks for it, or has no more to say', async () => {
      const asked = new Wire();
      asked.send(get('/a', 'Connection: close\r\n'));
      await asked.until('Connection: close', 'hello');
      await expect.poll(() => asked.ended).toBe(true);
      const silent = new Wire();
      silent.send(get('/chunked'));
      await silent.until('in chunks');
      silent.socket.end(get('/pass'));
      await silent.until('passed');
      await expect.poll(() => silent.ended).toBe(true);
    });

    it('is not read from while its client reads nothing, and loses nothing', async () => {
      await (await fetch(`${under.url}/big`, { headers: { host: 'a.test' } })).arrayBuffer();
      const wire = new Wire();
      wire.socket.pause();
      for (let at = 0; at < 8; at++) wire.send(get('/big'));
      for (let at = 0; at < 1000; at++) wire.send(get(`/a?${at}`, `X-Filler: ${'x'.repeat(200)}\r\n`));
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(under.observations.length).toBeLessThan(500);
      let bytes = 0;
      wire.socket.removeAllListeners('data');
      wire.socket.on('data', (part: string) => {
        bytes += part.length;
      });
      wire.socket.resume();
      await expect.poll(() => under.observations.length, { timeout: 60_000 }).toBe(1009);
      await expect.poll(() => bytes, { timeout: 10_000 }).toBeGreaterThan(8 * 3_000_000 + 1000 * 200);
    }, 90_000);

    it('ends with the door, after the answer that is under way', async () => {
      const idle = new Wire();
      idle.send(get('/a'));
      await idle.until('hello');
      const busy = new Wire();
      let answer = () => undefined as unknown;
      origin.handler = (_message, response) => {
        answer = () => response.writeHead(200, { 'content-length': 4 }).end('late');
      };
      busy.send(get('/late'));
      await expect.poll(() => origin.seen.length).toBe(2);
      const closed = under.edge.close();
      await expect.poll(() => idle.socket.destroyed || idle.ended).toBe(true);
      answer();
      await busy.until('late');
      await closed;
      await expect.poll(() => busy.socket.destroyed || busy.ended).toBe(true);
    });

    it.each([
      ['two hosts', get('/a', 'Host: b.test\r\n')],
      ['a folded field', get('/a', 'X: a\r\n b\r\n')],
      ['both framings', get('/a', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n')],
      ['two lengths', get('/a', 'Content-Length: 3\r\nContent-Length: 4\r\n')],
      ['a blank before the colon', get('/a', 'Content-Length : 3\r\n')],
      ['a bare line feed', 'GET /a HTTP/1.1\nHost: a.test\n\n'],
      ['a control character', get('/a', 'X: a\x01b\r\n')],
      ['no host', 'GET /a HTTP/1.1\r\n\r\n'],
      ['a target that climbs', get('/../a')],
    ])('refuses %s, also after a request that was well-formed', async (_, bad) => {
      const wire = new Wire();
      wire.send(get('/a'));
      await wire.until('hello');
      wire.send(bad);
      await wire.until('HTTP/1.1 400 Bad Request');
      expect(origin.seen.length).toBe(1);
    });
  },
);
