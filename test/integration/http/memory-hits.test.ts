import { fstatSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadSystemCalls, type SystemCalls } from '../../../node/adapters/system-calls.ts';
import { Direct, proves } from '../../../node/http/direct.ts';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

const calls = await loadSystemCalls();

describe.runIf(calls)('sending past the streams', () => {
  it('is not used where the system does other than what it relies on', () => {
    const real = calls!;
    expect(proves(real)).toBe(true);
    const wrong: Partial<SystemCalls>[] = [
      { socketpair: () => -1 },
      { memfd_create: () => -1 },
      { pwrite: () => -1 },
      { send: () => -1 },
      { send: (_fd, _bytes, length) => length },
      { sendfile: () => -1 },
      { sendfile: (to, from, _offset, count) => real.sendfile(to, from, Buffer.alloc(8), count - 1) },
      { recv: () => -1 },
    ];
    for (const each of wrong) expect(proves({ ...real, ...each }), Object.keys(each)[0]).toBe(false);
  });
});

describe.runIf(calls)('a file of memory', () => {
  it('is there until the last who sends from it has let go', () => {
    const closed: number[] = [];
    const close = (fd: number) => {
      closed.push(fd);
      return calls!.close(fd);
    };
    const direct = new Direct({ ...calls!, close });
    const bytes = Buffer.from('content');
    const file = direct.file(bytes)!;
    expect(file.size).toBe(bytes.length);
    file.hold();
    file.release();
    expect(fstatSync(file.fd).size).toBe(bytes.length);
    expect(closed).toEqual([]);
    file.release();
    expect(closed).toEqual([file.fd]);
  });
});

const SIZES = { '/small': 500, '/middle': 40_000, '/large': 1_500_000 } as const;
/** Bytes that tell where they stand, so that none may be lost, doubled or moved. */
function content(path: string, version: string): Buffer {
  const size = SIZES[path as keyof typeof SIZES] ?? 10;
  const bytes = Buffer.alloc(size, version);
  for (let at = 0; at + 4 <= size; at += 4096) bytes.writeUInt32BE(at, at);
  return bytes;
}

describe.each([{ direct: 'auto' }, { direct: 'off' }] as const)(
  'hits from memory, direct $direct',
  ({ direct }) => {
    let origin: OriginUnderTest;
    let under: EdgeUnderTest;
    let version: string;
    let opened: Socket[];
    beforeEach(async () => {
      version = 'a';
      opened = [];
      origin = await startOrigin((message, response) => {
        const path = (message.url ?? '').split('?', 1)[0]!;
        const language = message.headers['accept-language'] ?? 'none';
        const varies = path === '/varies';
        const body = varies ? Buffer.from(language.padEnd(10)) : content(path, version);
        response.writeHead(200, {
          'cache-control': 'max-age=60',
          etag: `"${version}"`,
          'content-length': body.length,
          ...(varies && { vary: 'x-kind, accept-language' }),
        });
        response.end(body);
      });
      under = await startEdge({ origin: origin.url, options: { direct, clientTimeoutMs: 20_000 } });
    });
    afterEach(async () => {
      for (const socket of opened) socket.destroy();
      await under.close();
      await origin.close();
    });

    const request = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
    const key16 = (path: string) => key16Of(`a.test${path}` as ResourceKey, under.site.secret);

    /** A client on one connection, which reads whole answers. */
    class Client {
      readonly socket: Socket;
      #got = Buffer.alloc(0);
      constructor() {
        this.socket = connect(under.port, '127.0.0.1');
        this.socket.on('error', () => undefined);
        this.socket.on('data', (part: Buffer) => {
          this.#got = Buffer.concat([this.#got, part]);
        });
        opened.push(this.socket);
      }
      send(text: string): void {
        this.socket.write(text, 'latin1');
      }
      async answer(): Promise<{ head: string; body: Buffer }> {
        let end = -1;
        await expect
          .poll(() => (end = this.#got.indexOf('\r\n\r\n')), { timeout: 20_000, interval: 2 })
          .toBeGreaterThan(0);
        const head = this.#got.toString('latin1', 0, end);
        const length = head.startsWith('HTTP/1.1 304') ? 0 : Number(/content-length: (\d+)/.exec(head)?.[1]);
        const whole = end + 4 + length;
        await expect
          .poll(() => this.#got.length, { timeout: 20_000, interval: 2 })
          .toBeGreaterThanOrEqual(whole);
        const body = Buffer.from(this.#got.subarray(end + 4, whole));
        this.#got = this.#got.subarray(whole);
        return { head, body };
      }
      async get(path: string, more = '') {
        this.send(request(path, more));
        return this.answer();
      }
    }
    /** Asks until it is a hit from memory, in each form that a hit may have. */
    async function warmed(path: string): Promise<Client> {
      const client = new Client();
      await client.get(path);
      await expect.poll(() => under.index.get(key16(path)).length, { timeout: 10_000 }).toBe(1);
      for (let time = 0; time < 6; time += 1) await client.get(path);
      return client;
    }

    it.each(Object.keys(SIZES))(
      'bring every byte of %s, time and again, and are counted each',
      async (path) => {
        const client = await warmed(path);
        const expected = content(path, 'a');
        const before = under.observations.length;
        for (let time = 0; time < 20; time += 1) {
          const { head, body } = await client.get(path);
          expect(head).toContain('"pop-1"; hit');
          expect(body.equals(expected)).toBe(true);
        }
        // Sent ahead, all at once.
        client.send(request(path).repeat(20));
        for (let time = 0; time < 20; time += 1)
          expect((await client.answer()).body.equals(expected)).toBe(true);
        expect(under.observations.length - before).toBe(40);
        for (const seen of under.observations.slice(before))
          expect(seen).toMatchObject({
            hit: 'hit',
            status: 200,
            bytes: expected.length,
            size: expected.length,
          });
        expect(origin.seen.length).toBe(1);
      },
    );

    it.each(Object.keys(SIZES))(
      'end for %s with a purge, on the connection that asked before',
      async (path) => {
        const client = await warmed(path);
        version = 'b';
        expect((await client.get(path)).body.equals(content(path, 'a'))).toBe(true);
        under.index.purge(key16(path));
        for (let time = 0; time < 5; time += 1)
          expect((await client.get(path)).body.equals(content(path, 'b'))).toBe(true);
        // What is still on its way to the store is another matter.
        await expect
          .poll(() => under.index.get(key16(path)).map((replica) => under.index.standing(replica)))
          .toEqual(['valid']);
        version = 'c';
        under.index.purge(key16(path), true);
        for (let time = 0; time < 5; time += 1)
          expect((await client.get(path)).body.equals(content(path, 'c'))).toBe(true);
      },
    );

    it('state the Age of the second, and end with freshness', async () => {
      const client = await warmed('/small');
      for (const [pushed, age] of [
        [10_000, 10],
        [20_000, 30],
        [29_000, 59],
      ] as const) {
        under.demand.push(pushed);
        for (let time = 0; time < 3; time += 1) {
          const { head } = await client.get('/small');
          const stated = Number(/\r\nage: (\d+)/.exec(head)?.[1]);
          expect(stated).toBeGreaterThanOrEqual(age);
          expect(head).toContain(`hit; ttl=${60 - stated}`);
        }
      }
      under.demand.push(2_000);
      version = 'b';
      expect((await client.get('/small')).body.equals(content('/small', 'b'))).toBe(true);
    });

    it('say 304 to who has it, and only to them', async () => {
      const client = await warmed('/small');
      for (let time = 0; time < 5; time += 1) {
        const { head } = await client.get('/small', 'If-None-Match: "x", "a"\r\n');
        expect(head).toMatch(/^HTTP\/1.1 304 Not Modified\r\n/);
        expect(head).toContain('etag: "a"');
        expect((await client.get('/small', 'If-None-Match: "b"\r\n')).head).toMatch(/^HTTP\/1.1 200 OK\r\n/);
      }
      const told = under.observations.filter(({ status }) => status === 304);
      expect(told.length).toBe(5);
      expect(told[0]).toMatchObject({ hit: 'hit', bytes: 0, size: 500 });
      version = 'b';
      under.index.purge(key16('/small'));
      expect((await client.get('/small', 'If-None-Match: "x", "a"\r\n')).head).toMatch(
        /^HTTP\/1.1 200 OK\r\n/,
      );
      await expect.poll(() => under.index.get(key16('/small')).length).toBe(1);
      for (let time = 0; time < 4; time += 1)
        expect((await client.get('/small', 'If-None-Match: "x", "a"\r\n')).head).toMatch(
          /^HTTP\/1.1 200 OK\r\n/,
        );
    });

    it('heed all that a request says, however often its like was answered', async () => {
      const client = await warmed('/small');
      const asked = origin.seen.length;
      expect((await client.get('/small', 'Cache-Control: no-cache\r\n')).head).not.toContain('"pop-1"; hit');
      expect(origin.seen.length).toBe(asked + 1);
      expect((await client.get('/small', 'Range: bytes=0-3\r\n')).head).toMatch(/^HTTP\/1.1 206/);
      const kinds = new Client();
      for (let time = 0; time < 4; time += 1) {
        for (const language of ['de', 'fr']) {
          const { body } = await kinds.get('/varies', `Accept-Language: ${language}\r\n`);
          expect(body.toString().trim()).toBe(language);
          await expect.poll(() => under.index.get(key16('/varies')).length).toBeGreaterThan(0);
        }
      }
    });

    it('wait for a client that reads slowly, and let go of one that leaves', async () => {
      const leaver = await warmed('/large');
      const expected = content('/large', 'a');
      const slow = new Client();
      slow.socket.pause();
      slow.send(request('/large').repeat(12));
      leaver.socket.pause();
      leaver.send(request('/large').repeat(12));
      await new Promise((resolve) => setTimeout(resolve, 200));
      leaver.socket.destroy();
      // Others are served meanwhile.
      expect((await new Client().get('/large')).body.equals(expected)).toBe(true);
      slow.socket.resume();
      for (let time = 0; time < 12; time += 1) expect((await slow.answer()).body.equals(expected)).toBe(true);
    }, 60_000);
  },
);
