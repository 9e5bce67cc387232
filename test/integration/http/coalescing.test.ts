import { createHash, randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import type { Replica } from '../../../protocol/replica.ts';
import { type EdgeSetting, type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type Handler, type OriginUnderTest, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
const begin = async (handler: Handler, setting: Partial<EdgeSetting> = {}) => {
  origin = await startOrigin(handler);
  under = await startEdge({ origin: origin.url, ...setting });
};
afterEach(async () => {
  await under.close();
  await origin.close();
});
const get = async (path: string, headers: Record<string, string> = {}) => {
  const response = await request(under.url + path, { headers });
  return {
    status: response.statusCode,
    headers: response.headers,
    bytes: Buffer.from(await response.body.bytes()),
  };
};
const keyOf = (path: string) => key16Of(`127.0.0.1:${under.port}${path}` as ResourceKey, under.site.secret);
const held = (path: string): readonly Replica[] => under.index.get(keyOf(path));
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Opens a request and reads nothing until told to. */
function slowClient(path: string) {
  const socket = connect(under.port, '127.0.0.1');
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${under.port}\r\nconnection: close\r\n\r\n`);
  return {
    socket,
    async rest(): Promise<Buffer> {
      const parts: Buffer[] = [];
      for await (const part of socket) parts.push(part as Buffer);
      const all = Buffer.concat(parts);
      return all.subarray(all.indexOf('\r\n\r\n') + 4);
    },
  };
}

describe('misses at the same time', () => {
  it('cost one request, and every client gets every byte', async () => {
    const body = randomBytes(3_000_000);
    await begin(async (_message, response) => {
      await pause(50);
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length });
      for (let at = 0; at < body.length; at += 100_000) {
        response.write(body.subarray(at, at + 100_000));
        await pause(2);
      }
      response.end();
    });
    const early = Array.from({ length: 30 }, () => get('/a'));
    await pause(80);
    const late = Array.from({ length: 10 }, () => get('/a'));
    const ranged = get('/a', { range: 'bytes=2000000-2000009' });
    for (const answer of await Promise.all([...early, ...late])) {
      expect(answer.status).toBe(200);
      expect(digest(answer.bytes)).toBe(digest(body));
    }
    expect((await ranged).bytes.equals(body.subarray(2_000_000, 2_000_010))).toBe(true);
    expect(origin.seen).toHaveLength(1);
    await expect.poll(() => held('/a').length).toBe(1);
    expect(held('/a')[0]?.content).toBe(digest(body));
  });

  it('do not wait for a client that reads slowly', async () => {
    const body = randomBytes(12_000_000);
    await begin((_message, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length });
      response.end(body);
    });
    const slow = slowClient('/a');
    await pause(50);
    // The slow one reads only after this: whoever waited for it would wait for ever.
    const quick = await get('/a');
    expect(digest(quick.bytes)).toBe(digest(body));
    expect(origin.seen).toHaveLength(1);
    expect(digest(await slow.rest())).toBe(digest(body));
  });

  it('are served although the client that came first goes away', async () => {
    const body = randomBytes(500_000);
    await begin(async (_message, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length });
      response.write(body.subarray(0, 1000));
      await pause(150);
      response.end(body.subarray(1000));
    });
    const first = slowClient('/a');
    await pause(60);
    const second = get('/a');
    first.socket.destroy();
    expect(digest((await second).bytes)).toBe(digest(body));
    await expect.poll(() => held('/a').length).toBe(1);
    expect(origin.seen).toHaveLength(1);
  });

  it('of different variants each get their own', async () => {
    await begin(async (message, response) => {
      await pause(50);
      const language = String(message.headers['accept-language']);
      response.writeHead(200, { 'cache-control': 'max-age=60', vary: 'accept-language' });
      response.end(language);
    });
    const languages = ['de', 'en', 'fr', 'de', 'en', 'fr'];
    const answers = await Promise.all(
      languages.map((language) => get('/a', { 'accept-language': language })),
    );
    expect(answers.map(({ bytes }) => bytes.toString())).toEqual(languages);
    expect(origin.seen.length).toBeLessThanOrEqual(4);
  });

  it('do not queue behind each other where nothing can be stored', async () => {
    const all = Promise.withResolvers<void>();
    await begin(async (_message, response) => {
      // Nobody is answered before all have come to the origin: a queue would never end.
      if (origin.seen.length === 21) all.resolve();
      if (origin.seen.length > 1) await all.promise;
      response.writeHead(200, { 'cache-control': 'no-store' }).end(String(origin.seen.length));
    });
    await get('/a');
    await Promise.all(Array.from({ length: 20 }, () => get('/a')));
    expect(origin.seen).toHaveLength(21);
  });

  it('stay together although one client asks that nothing be stored', async () => {
    await begin(async (_message, response) => {
      await pause(100);
      response.writeHead(200, { 'cache-control': 'max-age=60' }).end('x');
    });
    await get('/a', { 'cache-control': 'no-store' });
    await get('/a', { authorization: 'Basic x' });
    expect(held('/a')).toEqual([]);
    await Promise.all(Array.from({ length: 10 }, () => get('/a')));
    expect(origin.seen).toHaveLength(3);
  });

  it('share one validation of a stale response', async () => {
    await begin(
      (_message, response) =>
        void response
          .writeHead(200, { 'cache-control': 'max-age=1', etag: '"a"', 'content-length': 1 })
          .end('x'),
    );
    await get('/a');
    await expect.poll(() => held('/a').length).toBe(1);
    under.demand.push(5000);
    origin.handler = async (_message, response) => {
      await pause(50);
      response.writeHead(304, { 'cache-control': 'max-age=60' }).end();
    };
    const answers = await Promise.all(Array.from({ length: 20 }, () => get('/a')));
    expect(answers.every(({ status, bytes }) => status === 200 && bytes.toString() === 'x')).toBe(true);
    expect(origin.seen).toHaveLength(2);
  });
});

describe('a client that reads a little now and then', () => {
  it('is cut off in the end', async () => {
    const body = randomBytes(20_000_000);
    await begin(
      (_message, response) =>
        void response
          .writeHead(200, { 'cache-control': 'max-age=600', 'content-length': body.length })
          .end(body),
      { options: { clientTimeoutMs: 2_000 } },
    );
    for (let n = 0; n < 3; n++) expect((await get('/a')).bytes.length).toBe(body.length);
    const drip = slowClient('/a');
    let taken = 0;
    drip.socket.on('data', (part: Buffer) => {
      taken += part.length;
      drip.socket.pause();
    });
    drip.socket.on('error', () => undefined);
    const reading = setInterval(() => drip.socket.resume(), 100);
    await new Promise((resolve) => drip.socket.once('close', resolve));
    clearInterval(reading);
    expect(taken).toBeLessThan(body.length);
    expect((await get('/a')).bytes.length).toBe(body.length);
  });
});

describe('a range far beyond what has come', () => {
  it('is fetched by itself, while the whole goes on into the store', async () => {
    const body = randomBytes(8_000_000);
    const served = Promise.withResolvers<void>();
    await begin(async (message, response) => {
      const asked = /bytes=(\d+)-(\d+)/.exec(message.headers.range ?? '');
      if (asked) {
        const part = body.subarray(Number(asked[1]), Number(asked[2]) + 1);
        const range = `bytes ${asked[1]}-${asked[2]}/${body.length}`;
        response.writeHead(206, { 'content-range': range, 'content-length': part.length }).end(part);
        return;
      }
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length });
      response.write(body.subarray(0, 1000));
      await served.promise;
      response.end(body.subarray(1000));
    });
    // The whole goes on only when the range has been served.
    const tail = await get('/a', { range: 'bytes=7999000-7999999' });
    served.resolve();
    expect([tail.status, tail.bytes.equals(body.subarray(7_999_000, 8_000_000))]).toEqual([206, true]);
    await expect.poll(() => held('/a').length).toBe(1);
    const again = await get('/a', { range: 'bytes=7999000-7999999' });
    expect([again.status, again.bytes.equals(body.subarray(7_999_000, 8_000_000))]).toEqual([206, true]);
    expect(origin.seen).toHaveLength(2);
  });
});

describe('what must never be stored', () => {
  it.each([
    ['of a length', { 'content-length': '1000' }],
    ['in chunks', {}],
  ] as [string, Record<string, string>][])(
    'is a body %s that breaks off; the client sees the break',
    async (_how, headers) => {
      await begin(async (_message, response) => {
        response.writeHead(200, { 'cache-control': 'max-age=60', ...headers });
        response.write('half');
        await pause(30);
        response.destroy();
      });
      await expect(get('/a')).rejects.toThrow();
      await expect.poll(() => under.blobs.usage()).toMatchObject({ contents: 0, diskBytes: 0 });
      expect(held('/a')).toEqual([]);
      origin.handler = (_message, response) =>
        void response.writeHead(200, { 'cache-control': 'max-age=60' }).end('whole');
      expect((await get('/a')).bytes.toString()).toBe('whole');
    },
  );

  it('is what a purge has overtaken', async () => {
    const purged = Promise.withResolvers<void>();
    await begin(async (_message, response) => {
      await purged.promise;
      response.writeHead(200, { 'cache-control': 'max-age=60' }).end('old');
    });
    const answer = get('/a');
    await expect.poll(() => origin.seen.length).toBe(1);
    under.index.purge(keyOf('/a'));
    purged.resolve();
    expect((await answer).bytes.toString()).toBe('old');
    await pause(50);
    expect(held('/a')).toEqual([]);
  });

  it('is what an unsafe request has overtaken', async () => {
    const done = Promise.withResolvers<void>();
    await begin(async (message, response) => {
      if (message.method === 'GET') await done.promise;
      response.writeHead(200, { 'cache-control': 'max-age=60' }).end('old');
    });
    const answer = get('/a');
    await expect.poll(() => origin.seen.length).toBe(1);
    await (await request(`${under.url}/a`, { method: 'POST', body: 'x' })).body.dump();
    done.resolve();
    expect((await answer).bytes.toString()).toBe('old');
    await pause(50);
    expect(held('/a')).toEqual([]);
  });
});

describe('an edge that closes', () => {
  it('stores what it has answered first', async () => {
    const body = randomBytes(200_000);
    await begin(
      (_message, response) =>
        void response
          .writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length })
          .end(body),
    );
    const paths = Array.from({ length: 20 }, (_, n) => `/${n}`);
    await Promise.all(paths.map((path) => get(path)));
    await under.edge.close();
    expect(paths.filter((path) => held(path).length === 0)).toEqual([]);
  });
});

describe('a store in trouble', () => {
  it('that is full still lets every byte through, to slow clients too', async () => {
    const body = randomBytes(6_000_000);
    await begin(
      (_message, response) =>
        void response
          .writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length })
          .end(body),
      { blobs: { budgetBytes: 1_000_000 } },
    );
    const slow = slowClient('/a');
    await pause(30);
    const quick = get('/a');
    await pause(100);
    expect(digest(await slow.rest())).toBe(digest(body));
    expect(digest((await quick).bytes)).toBe(digest(body));
    expect(held('/a')).toEqual([]);
    expect([...under.metrics.counts.keys()].some((name) => name.includes('STORE_FULL'))).toBe(true);
  });

  it('whose file is damaged costs a fetch, never a wrong byte', async () => {
    const body = randomBytes(300_000);
    await begin(
      (_message, response) =>
        void response
          .writeHead(200, { 'cache-control': 'max-age=60', 'content-length': body.length })
          .end(body),
      { blobs: { memoryBytes: 0 } },
    );
    await get('/a');
    await expect.poll(() => held('/a').length).toBe(1);
    const { content, size } = held('/a')[0]!;
    const path = `${under.directory}/${content.slice(0, 2)}/${content}.${size.toString(36)}`;
    const file = await open(path, 'r+');
    await file.write(Buffer.from('damaged'), 0, 7, 1000);
    await file.close();
    const again = await get('/a');
    expect(digest(again.bytes)).toBe(digest(body));
    expect(origin.seen).toHaveLength(2);
  });
});

describe('other PoPs', () => {
  it('are asked before the origin, and what they have is served from the store', async () => {
    await begin(
      (_message, response) => void response.writeHead(200, { 'cache-control': 'max-age=60' }).end('origin'),
      {
        fill: ({ index, blobs }) => ({
          async fill(ticket) {
            if (!ticket.key.endsWith('/peer')) return undefined;
            await pause(30);
            const content = await blobs.put(Buffer.from('from a peer'));
            const held = index.begin(ticket.key, ticket.key16, ticket.site.id);
            return index.store(held, {
              variant: '',
              status: 200,
              headers: [['cache-control', 'max-age=60']],
              content,
              size: 11,
              requestedAt: Date.now(),
              receivedAt: Date.now(),
              tags: [],
              source: 'client',
            });
          },
        }),
      },
    );
    const answers = await Promise.all([get('/peer'), get('/peer'), get('/other')]);
    expect(answers.map(({ bytes }) => bytes.toString())).toEqual(['from a peer', 'from a peer', 'origin']);
    expect(origin.seen.map(({ url }) => url)).toEqual(['/other']);
    expect(under.observations.filter(({ hit }) => hit === 'peer')).toHaveLength(2);
  });

  it('that have it stale spare the origin the body, not the question', async () => {
    await begin(
      (message, response) =>
        void response
          .writeHead(message.headers['if-none-match'] === '"p"' ? 304 : 500, {
            'cache-control': 'max-age=60',
          })
          .end(),
      {
        fill: ({ index, blobs }) => ({
          async fill(ticket) {
            const headers = [['cache-control', 'max-age=1'] as const, ['etag', '"p"'] as const];
            const then = Date.now() - 50_000;
            return index.store(index.begin(ticket.key, ticket.key16, ticket.site.id), {
              ...{ variant: '', status: 200, headers, size: 4, tags: [], source: 'client' },
              ...{ requestedAt: then, receivedAt: then },
              content: await blobs.put(Buffer.from('peer')),
            });
          },
        }),
      },
    );
    const answer = await get('/a');
    expect([answer.status, answer.bytes.toString()]).toEqual([200, 'peer']);
    expect(origin.seen.map(({ headers }) => headers['if-none-match'])).toEqual(['"p"']);
    expect((await get('/a')).headers['cache-status']).toContain('hit');
    expect(origin.seen).toHaveLength(1);
  });

  it('that fail cost nothing but time', async () => {
    await begin(
      (_message, response) => void response.writeHead(200, { 'cache-control': 'max-age=60' }).end('origin'),
      {
        fill: () => ({ fill: () => Promise.reject(new Error('no peer')) }),
      },
    );
    expect((await get('/a')).bytes.toString()).toBe('origin');
  });
});

describe('a peer that has another variant', () => {
  it('is asked once, and the origin after it', async () => {
    let asked = 0;
    await begin(
      (message, response) =>
        void response
          .writeHead(200, { 'cache-control': 'max-age=60', vary: 'accept-language' })
          .end(String(message.headers['accept-language'])),
      {
        fill: ({ index, blobs }) => ({
          async fill(ticket) {
            asked++;
            const headers = [['cache-control', 'max-age=60'] as const, ['vary', 'accept-language'] as const];
            const times = { requestedAt: Date.now(), receivedAt: Date.now() };
            return index.store(index.begin(ticket.key, ticket.key16, ticket.site.id), {
              ...{
                variant: 'accept-language\n=fr\n',
                status: 200,
                headers,
                size: 2,
                tags: [],
                source: 'client',
              },
              ...times,
              content: await blobs.put(Buffer.from('fr')),
            });
          },
        }),
      },
    );
    expect((await get('/a', { 'accept-language': 'de' })).bytes.toString()).toBe('de');
    expect((await get('/a', { 'accept-language': 'fr' })).bytes.toString()).toBe('fr');
    expect([asked, origin.seen.length]).toEqual([1, 1]);
  });
});

describe('the mirror', () => {
  it('gives up at once on what does not fit into the store', async () => {
    await begin(
      (_message, response) =>
        void response.writeHead(200, { 'cache-control': 'max-age=60' }).end(randomBytes(5_000_000)),
      { blobs: { budgetBytes: 500_000 } },
    );
    const key = `127.0.0.1:${under.port}/a` as ResourceKey;
    const ticket = under.index.begin(key, keyOf('/a'), under.site.id);
    expect(await under.edge.fetchIntoStore(ticket, under.site, key, 'plan')).toBeUndefined();
    expect(under.blobs.usage().diskBytes).toBe(0);
  });

  it('has what a soft purge made stale confirmed instead of fetching it anew', async () => {
    await begin((message, response) => {
      const known = message.headers['if-none-match'] === '"v1"';
      response.writeHead(known ? 304 : 200, { 'cache-control': 'max-age=60', etag: '"v1"' });
      response.end(known ? undefined : 'body');
    });
    await get('/a');
    await expect.poll(() => held('/a').length).toBe(1);
    // A hit: by then the fill is over.
    await get('/a');
    under.index.purge(keyOf('/a'), true);
    const key = `127.0.0.1:${under.port}/a` as ResourceKey;
    const ticket = under.index.begin(key, keyOf('/a'), under.site.id);
    const replica = await under.edge.fetchIntoStore(ticket, under.site, key, 'plan');
    expect(under.index.standing(replica!)).toBe('valid');
    expect(replica).toMatchObject({ source: 'client', size: 4 });
    expect(origin.seen.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"v1"']);
  });

  it('brings the coded variant that clients of today ask for', async () => {
    await begin((message, response) => {
      const coded = String(message.headers['accept-encoding']);
      response.writeHead(200, { 'cache-control': 'max-age=60', vary: 'Accept-Encoding' }).end(coded);
    });
    const key = `127.0.0.1:${under.port}/a` as ResourceKey;
    const ticket = under.index.begin(key, keyOf('/a'), under.site.id);
    await under.edge.fetchIntoStore(ticket, under.site, key, 'plan');
    const browser = await get('/a', { 'accept-encoding': 'gzip, deflate, br, zstd' });
    expect(browser.bytes.toString()).toBe('br, gzip');
    expect(origin.seen).toHaveLength(1);
    expect((await get('/a')).bytes.toString()).toBe('undefined');
  });

  it('fetches into the store, shares with clients, and its bytes count as mirrored once', async () => {
    const joined = Promise.withResolvers<void>();
    await begin(async (_message, response) => {
      await joined.promise;
      response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': 4 }).end('body');
    });
    const key = `127.0.0.1:${under.port}/a` as ResourceKey;
    const ticket = () => under.index.begin(key, keyOf('/a'), under.site.id);
    const fetching = under.edge.fetchIntoStore(ticket(), under.site, key, 'plan');
    await expect.poll(() => origin.seen.length).toBe(1);
    const client = get('/a');
    // Nothing shows that the client has come; it has had ample time.
    await pause(300);
    joined.resolve();
    const replica = await fetching;
    expect(replica).toMatchObject({ source: 'plan', size: 4, variant: '' });
    expect((await client).bytes.toString()).toBe('body');
    expect(origin.seen).toHaveLength(1);
    await get('/a');
    await get('/a');
    expect(under.observations.map(({ mirrored }) => mirrored)).toEqual([false, true, false]);
    origin.handler = (_message, response) =>
      void response.writeHead(200, { 'cache-control': 'no-store' }).end('x');
    const other = `127.0.0.1:${under.port}/b` as ResourceKey;
    const none = under.index.begin(other, keyOf('/b'), under.site.id);
    expect(await under.edge.fetchIntoStore(none, under.site, other, 'speculative')).toBeUndefined();
    origin.handler = (_message, response) => void response.destroy();
    await expect(under.edge.fetchIntoStore(none, under.site, other, 'plan')).rejects.toMatchObject({
      code: 'ORIGIN_UNREACHABLE',
    });
  });
});
