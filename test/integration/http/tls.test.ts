import { type ClientHttp2Session, connect } from 'node:http2';
import { request as ask } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Listening } from '../../../node/http/door.ts';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { ONE, TWO } from './certificates.ts';
import { type OriginUnderTest, rawExchange, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let door: Listening;
beforeEach(async () => {
  origin = await startOrigin((message, response) => {
    const proto = String(message.headers['x-forwarded-proto']);
    response.writeHead(200, { 'cache-control': 'max-age=60' }).end(proto);
  });
  under = await startEdge({ origin: origin.url });
  door = await under.edge.listen('127.0.0.1', 0, ONE);
});
afterEach(async () => {
  await under.close();
  await origin.close();
});

/** One request on a connection of its own; what the certificate is named and what the answer says. */
function get(headers: Record<string, string> = {}, maxVersion: 'TLSv1.1' | 'TLSv1.3' = 'TLSv1.3') {
  return new Promise<{ subject: string; body: string }>((resolve, reject) => {
    const options = { host: '127.0.0.1', port: door.port, path: '/a', agent: false, headers };
    const request = ask(
      { ...options, rejectUnauthorized: false, maxVersion, minVersion: 'TLSv1' },
      async (response) => {
        const { subject } = (response.socket as TLSSocket).getPeerCertificate();
        let body = '';
        for await (const part of response) body += String(part);
        resolve({ subject: String(subject.CN), body });
      },
    );
    request.on('error', reject);
    request.end();
  });
}

describe('the edge over TLS', () => {
  it('serves, names the scheme to the origin, and takes 443 for no port', async () => {
    expect(await get({ host: 'www.example:443' })).toEqual({ subject: 'one.example', body: 'https' });
    expect(await get({ host: 'www.example' })).toEqual({ subject: 'one.example', body: 'https' });
    expect(origin.seen).toHaveLength(1);
    expect(origin.seen[0]?.headers.host).toBe('www.example');
  });

  it('takes a renewed certificate without a restart', async () => {
    door.renew(TWO);
    expect((await get()).subject).toBe('two.example');
  });

  it('shows each site’s own certificate, by the name that the client asks for', async () => {
    door.renew({ ...ONE, others: [TWO] });
    expect((await get({ host: 'two.example' })).subject).toBe('two.example');
    expect((await get({ host: 'one.example' })).subject).toBe('one.example');
    expect((await get({ host: 'none.example' })).subject).toBe('one.example');
    door.renew(TWO);
    expect((await get({ host: 'one.example' })).subject).toBe('two.example');
  });

  it('refuses old versions, and plain text, and goes on', async () => {
    await expect(get({}, 'TLSv1.1')).rejects.toThrow();
    expect(await rawExchange(door.port, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n', 200)).not.toContain('200 OK');
    expect((await get()).body).toBe('https');
  });
});

describe('the edge over HTTP/2', () => {
  interface Answer {
    readonly status: number;
    readonly fields: Record<string, unknown>;
    readonly body: Buffer;
  }
  function stream(
    session: ClientHttp2Session,
    headers: Record<string, string | string[]>,
    body?: string,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = session.request(headers);
      const parts: Buffer[] = [];
      let fields: Record<string, unknown> = {};
      sent.on('response', (received) => {
        fields = received;
      });
      sent.on('data', (part: Buffer) => parts.push(part));
      sent.on('end', () =>
        resolve({ status: Number(fields[':status']), fields, body: Buffer.concat(parts) }),
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
  let session: ClientHttp2Session;
  const open = () =>
    connect(`https://127.0.0.1:${door.port}`, { rejectUnauthorized: false }).on('error', () => undefined);
  const get2 = (path: string, headers: Record<string, string | string[]> = {}) =>
    stream(session, { ':path': path, ':authority': 'www.example', ...headers });
  beforeEach(() => {
    session = open();
  });
  afterEach(() => session.destroy());

  it('serves misses, hits, ranges, conditions and many streams at once', async () => {
    const body = Buffer.alloc(400_000, 'content ');
    origin.handler = async (message, response) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      const fields = {
        'cache-control': 'max-age=60',
        etag: '"a"',
        'set-cookie': ['a=1', 'b=2'],
        'x-url': message.url,
      };
      response.writeHead(200, { ...fields, 'content-length': body.length }).end(body);
    };
    const paths = Array.from({ length: 60 }, (_, n) => `/${n % 6}`);
    for (const [at, answer] of (await Promise.all(paths.map((path) => get2(path)))).entries()) {
      expect([answer.status, answer.body.equals(body)]).toEqual([200, true]);
      expect(answer.fields['x-url']).toBe(paths[at]);
      expect(answer.fields['set-cookie']).toEqual(['a=1', 'b=2']);
    }
    expect(origin.seen).toHaveLength(6);
    expect(origin.seen[0]?.headers).toMatchObject({ host: 'www.example', 'x-forwarded-proto': 'https' });
    const part = await get2('/1', { range: 'bytes=8-15' });
    expect([part.status, part.body.toString()]).toEqual([206, 'content ']);
    expect((await get2('/1', { 'if-none-match': '"a"' })).status).toBe(304);
    expect((await get2('/1', { ':method': 'HEAD' })).body).toHaveLength(0);
    expect(origin.seen).toHaveLength(6);
  });

  it('counts every hit from memory, and serves none that was purged', async () => {
    let version = 'a';
    origin.handler = (message, response) => {
      const fields = { 'cache-control': 'max-age=60', etag: `"${version}"`, 'x-two': ['1', '2'] };
      // An origin may say twice what HTTP/2 servers of Node say but once.
      const odd: Record<string, string[]> =
        message.url === '/odd'
          ? { 'last-modified': ['x', 'y'], age: ['0', '0'], te: ['gzip'], 'http2-settings': ['x'] }
          : {};
      response.writeHead(200, { ...fields, ...odd, 'content-length': 2_000 }).end(version.repeat(2_000));
    };
    for (const path of ['/plain', '/odd']) {
      version = 'a';
      const key16 = key16Of(`www.example${path}` as ResourceKey, under.site.secret);
      await get2(path);
      await expect.poll(() => under.index.get(key16).length).toBe(1);
      const before = under.observations.length;
      for (let time = 0; time < 5; time += 1) {
        const { status, body, fields } = await get2(path);
        expect([status, body.toString()]).toEqual([200, 'a'.repeat(2_000)]);
        expect(fields).toMatchObject({ 'x-two': '1, 2', etag: '"a"', 'content-length': '2000' });
        expect(fields['cache-status']).toMatch(/^"pop-1"; hit; ttl=/);
        const known = await get2(path, { 'if-none-match': '"a"' });
        expect([known.status, known.body.length, known.fields.etag]).toEqual([304, 0, '"a"']);
        expect((await get2(path, { 'if-none-match': '"b"' })).status).toBe(200);
      }
      await expect.poll(() => under.observations.length - before).toBe(15);
      for (const { hit } of under.observations.slice(before)) expect(hit).toBe('hit');
      version = 'b';
      under.index.purge(key16);
      for (let time = 0; time < 3; time += 1)
        expect((await get2(path, { 'if-none-match': '"a"' })).body.toString()).toBe('b'.repeat(2_000));
    }
  });

  it('joins split cookies, sends bodies on, and refuses what contradicts itself', async () => {
    origin.handler = (message, response, seen) =>
      void response
        .writeHead(200, { 'cache-control': 'no-store' })
        .end(`${message.headers.cookie} ${seen.body}`);
    const posted = await stream(
      session,
      { ':path': '/a', ':authority': 'www.example', ':method': 'POST', cookie: ['a=1', 'b=2'] },
      'some body',
    );
    expect(posted.body.toString()).toBe('a=1; b=2 some body');
    expect((await get2('/a', { host: 'other.example' })).status).toBe(400);
    expect((await get2('/../a')).status).toBe(400);
    expect((await get2('/a', { ':method': 'PURGE' })).status).toBe(405);
    expect((await get2('/a')).status).toBe(200);
  });

  it('lets a client leave in the middle, and cuts the stream when the origin breaks off', async () => {
    origin.handler = async (_message, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': 3_000_000 });
      response.write(Buffer.alloc(100_000));
      await new Promise((resolve) => setTimeout(resolve, 50));
      response.destroy();
    };
    const leaving = session.request({ ':path': '/a', ':authority': 'www.example' });
    leaving.on('error', () => undefined);
    leaving.once('data', () => leaving.close(8));
    await new Promise((resolve) => leaving.once('close', resolve));
    const cut = await get2('/b').catch((error: Error) => error);
    expect(cut instanceof Error || cut.body.length < 3_000_000).toBe(true);
    expect(under.blobs.usage().contents).toBe(0);
    origin.handler = (_message, response) =>
      void response.writeHead(200, { 'cache-control': 'max-age=60' }).end('ok');
    expect((await get2('/c')).body.toString()).toBe('ok');
  });

  it('refuses headers beyond the limit and goes on', async () => {
    expect((await get2('/a', { 'x-a': 'a'.repeat(40_000) })).status).toBe(431);
    expect(origin.seen).toHaveLength(0);
    expect((await get2('/a')).status).toBe(200);
  });
});
