import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Names } from '../../../actors/names.ts';
import type { Signal } from '../../../forecasting/signals.ts';
import { demandClock, systemClock } from '../../../node/adapters/clock.ts';
import { listenJetstream } from '../../../node/signals/jetstream.ts';
import { pollMastodon } from '../../../node/signals/mastodon.ts';
import { SignalSources } from '../../../node/signals/signal-sources.ts';
import { signatureOf } from '../../../node/signals/webhook-signature.ts';
import { Sites } from '../../../node/sites.ts';
import type { Charter } from '../../../protocol/charter.ts';
import type { RegionId, SiteId } from '../../../protocol/ids.ts';
import type { Log } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { type WebSocketClient, webSocketServer } from './web-socket-server.ts';

const closing: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const log: Log = {
  ...{ debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  child: () => log,
};
const errors: string[] = [];
const metrics = {
  count: (_: string, labels?: Readonly<Record<string, string>>) => void errors.push(labels?.code ?? ''),
  gauge: () => undefined,
  observe: () => undefined,
};
const sites: Charter['sites'] = [
  {
    id: 'www' as SiteId,
    hosts: ['www.example.net'],
    origin: 'http://origin.invalid',
    secret: new Uint8Array(32),
    normalise: { dropParameters: ['utm_*'], sortParameters: false, ignoreQuery: false },
    allow: ['*'],
    private: false,
    shield: 'home',
    cutOff: 'revalidate',
  },
];

async function sources(config: Partial<Parameters<typeof SignalSources.open>[0]>) {
  const delivered: Signal[] = [];
  const names = new Names();
  const opened = await SignalSources.open(
    { mastodon: [], jetstream: undefined, webhook: { listen: undefined, secret: undefined }, ...config },
    {
      ...{ sites: new Sites({ sites }), names, clock: systemClock, random: seededRandom(1), log, metrics },
      regions: () => ['eu' as RegionId],
      horizonMs: () => 7_200_000,
      demand: demandClock(systemClock, { offsetMs: 0, speed: 1 }),
      deliver: (signals) => void delivered.push(...signals),
    },
  );
  closing.push(() => opened.close());
  const keys = () => delivered.map(({ key16 }) => names.get(key16)?.key);
  return { opened, delivered, keys };
}

async function httpServer(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A trend as Mastodon 4 gives it, shortened. */
const trend = (url: string, accounts: readonly number[]) => ({
  url,
  title: 'A title',
  type: 'link',
  provider_name: 'example',
  history: accounts.map((count, i) => ({
    day: String(1_700_000_000 - i * 86_400),
    accounts: String(count),
    uses: String(count + 1),
  })),
});
const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 20 });
const connecting = (take: (source: string, heard: readonly unknown[]) => void) => ({
  ...{ clock: systemClock, random: seededRandom(1), log, metrics, take },
  concerns: (url: string) => url.includes('www.example.net'),
});

describe('trending links of Mastodon', () => {
  it('become signals of the resources that are ours', async () => {
    const asked: string[] = [];
    const server = await httpServer((request, response) => {
      asked.push(request.url ?? '');
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify([
          trend('https://www.example.net/story?utm_source=x', [12, 30, 99]),
          trend('https://elsewhere.example/story', [500]),
          { nonsense: true },
        ]),
      );
    });
    const { opened, delivered, keys } = await sources({ mastodon: [server] });
    await until(() => expect(delivered).toHaveLength(1));
    expect(asked).toEqual(['/api/v1/trends/links?limit=20']);
    expect(keys()).toEqual(['www.example.net/story']);
    const source = `mastodon:${new URL(server).host}`;
    expect(delivered[0]).toMatchObject({ source, strength: 42 });
    expect(opened.rows()).toMatchObject([{ source, state: 'connected', taken: 1, refused: 1 }]);
  });

  it('are asked for with the tag of the last answer', async () => {
    const tags: (string | undefined)[] = [];
    const server = await httpServer((request, response) => {
      tags.push(request.headers['if-none-match']);
      if (tags.at(-1) === '"v1"') return void response.writeHead(304).end();
      response.writeHead(200, { 'content-type': 'application/json', etag: '"v1"' });
      response.end(JSON.stringify([trend('https://www.example.net/story', [1])]));
    });
    const heard: unknown[] = [];
    const connector = pollMastodon(
      { server, everyMs: 30 },
      connecting((_, list) => heard.push(...list)),
    );
    closing.push(() => connector.close());
    await until(() => expect(tags.length).toBeGreaterThan(2));
    expect(tags.slice(0, 3)).toEqual([undefined, '"v1"', '"v1"']);
    expect(heard).toHaveLength(1);
    expect(connector.status()).toMatchObject({ state: 'connected', failures: 0 });
  });

  it('that fail, are too large, or lead elsewhere are counted, and asked for again', async () => {
    const answers: RequestListener[] = [
      (_, response) => response.writeHead(503).end('no'),
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      (_, response) => response.end('<html>'),
      (_, response) => response.end(`["${'x'.repeat(2 << 20)}"]`),
      (_, response) => response.end(JSON.stringify({ not: 'a list' })),
      (_, response) => response.end(JSON.stringify([trend('https://www.example.net/a', [3])])),
    ];
    let at = 0;
    const server = await httpServer((request, response) => answers[Math.min(at++, 5)]!(request, response));
    const heard: unknown[] = [];
    const connector = pollMastodon(
      { server, everyMs: 2 },
      connecting((_, list) => heard.push(...list)),
    );
    closing.push(() => connector.close());
    await until(() => expect(heard.length).toBeGreaterThan(0));
    expect(connector.status()).toMatchObject({ state: 'connected', failures: 5 });
    expect(heard[0]).toEqual({ url: 'https://www.example.net/a', strength: 3 });
  });
});

describe('posts of Jetstream', () => {
  const post = (did: string, timeUs: number, url?: string) =>
    JSON.stringify({
      did,
      time_us: timeUs,
      kind: 'commit',
      commit: {
        ...{ rev: '3l', operation: 'create', collection: 'app.bsky.feed.post', rkey: '3l', cid: 'bafy' },
        record: {
          $type: 'app.bsky.feed.post',
          createdAt: '2026-01-01T00:00:00Z',
          text: 'look at this',
          ...(url !== undefined && {
            embed: { $type: 'app.bsky.embed.external', external: { uri: url, title: 't', description: 'd' } },
          }),
        },
      },
    });

  it('are counted by account, and heard again after the connection was lost', async () => {
    const clients: WebSocketClient[] = [];
    const server = await webSocketServer((client) => clients.push(client));
    closing.push(() => server.close());
    const heard: { url: string; strength: number }[] = [];
    const connector = listenJetstream(
      { url: server.url, everyMs: 20 },
      connecting((_, list) => heard.push(...(list as typeof heard))),
    );
    closing.push(() => connector.close());
    await until(() => expect(clients).toHaveLength(1));
    const first = new URL(clients[0]!.request.url ?? '', 'ws://local');
    expect(first.searchParams.get('wantedCollections')).toBe('app.bsky.feed.post');
    expect(first.searchParams.get('cursor')).toBeNull();
    const now = Date.now() * 1000;
    const [client] = clients;
    client!.send(post('did:plc:a', now, 'https://www.example.net/film'));
    client!.send(post('did:plc:b', now + 1, 'https://www.example.net/film'));
    client!.send(post('did:plc:b', now + 2, 'https://www.example.net/film'));
    client!.send(post('did:plc:c', now + 3, 'https://elsewhere.example/'));
    client!.send(post('did:plc:c', now + 4));
    client!.send('{"kind":"identity","did":"did:plc:x","uri":[]}');
    client!.send('not JSON, with a "uri"');
    await until(() => expect(heard.at(-1)).toEqual({ url: 'https://www.example.net/film', strength: 2 }));
    await until(() => expect(connector.status().heard).toBe(4));
    client!.cut();
    await until(() => expect(clients).toHaveLength(2));
    const again = new URL(clients[1]!.request.url ?? '', 'ws://local');
    const cursor = Number(again.searchParams.get('cursor'));
    expect(cursor).toBeLessThan(now);
    expect(cursor).toBeGreaterThan(now - 10_000_000);
    clients[1]!.send(post('did:plc:d', now + 5, 'https://www.example.net/film'));
    await until(() => expect(heard.at(-1)).toEqual({ url: 'https://www.example.net/film', strength: 3 }));
    expect(connector.status()).toMatchObject({ source: 'jetstream', state: 'connected', failures: 1 });
    expect(errors).toContain('INPUT_MALFORMED');
  });

  it('reach the intake, and a server that is not there is tried again', async () => {
    const clients: WebSocketClient[] = [];
    const server = await webSocketServer((client) => clients.push(client));
    closing.push(() => server.close());
    const { opened } = await sources({ jetstream: server.url });
    await until(() => expect(opened.rows()).toMatchObject([{ source: 'jetstream' }]));
    await until(() => expect(clients).toHaveLength(1));
    const refused = await httpServer((_, response) => response.writeHead(404).end());
    const gone = await sources({ jetstream: refused.replace('http', 'ws') });
    await until(() =>
      expect(gone.opened.rows()[0]).toMatchObject({ state: 'failing', code: 'SIGNAL_SOURCE' }),
    );
  });
});

describe('the webhook', () => {
  const SECRET = 'a secret of some length';
  async function webhook() {
    const directory = await mkdtemp(join(tmpdir(), 'presage-signals-'));
    closing.push(() => rm(directory, { recursive: true }));
    const secret = join(directory, 'secret');
    await writeFile(secret, `${SECRET}\n`);
    const made = await sources({ webhook: { listen: { host: '127.0.0.1', port: 0 }, secret } });
    const { port } = made.opened.webhook!;
    const call = async (body: string, headers: Record<string, string> = {}, path = '/signal') => {
      const timestamp = String(Math.floor(Date.now() / 1000));
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        body,
        headers: {
          'x-presage-timestamp': timestamp,
          'x-presage-signature': signatureOf(Buffer.from(SECRET), timestamp, Buffer.from(body)),
          ...headers,
        },
      });
      return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
    };
    return { ...made, call };
  }

  it('takes signed signals, one or several', async () => {
    const { call, keys, delivered } = await webhook();
    const one = await call('{"url":"https://www.example.net/a","strength":5,"region":"eu"}');
    expect(one).toEqual({ status: 202, answer: { verdicts: ['taken'] } });
    const list = { signals: [{ url: 'https://www.example.net/b' }, { url: 'https://elsewhere.example/' }] };
    expect((await call(JSON.stringify(list))).answer).toEqual({ verdicts: ['taken', 'HTTP_UNKNOWN_SITE'] });
    expect(keys()).toEqual(['www.example.net/a', 'www.example.net/b']);
    expect(delivered[0]).toMatchObject({ source: 'webhook', strength: 5, region: 'eu' });
  });

  it('refuses what is not signed, not now, not JSON, too large or elsewhere', async () => {
    const { call, delivered } = await webhook();
    const body = '{"url":"https://www.example.net/a"}';
    expect(await call(body, { 'x-presage-signature': `sha256=${'0'.repeat(64)}` })).toMatchObject({
      status: 401,
      answer: { code: 'SIGNAL_SIGNATURE' },
    });
    const old = String(Math.floor(Date.now() / 1000) - 3_600);
    const signature = signatureOf(Buffer.from(SECRET), old, Buffer.from(body));
    expect((await call(body, { 'x-presage-timestamp': old, 'x-presage-signature': signature })).status).toBe(
      401,
    );
    expect(await call('nonsense')).toMatchObject({ status: 400, answer: { code: 'INPUT_MALFORMED' } });
    expect((await call('{"url":"https://www.example.net/a","unknown":1}')).status).toBe(400);
    expect((await call('{"signals":[]}')).status).toBe(400);
    expect((await call(`{"url":"${'x'.repeat(70_000)}"}`)).status).toBe(413);
    expect((await call(body, {}, '/elsewhere')).status).toBe(404);
    expect(delivered).toEqual([]);
  });

  it('does not open without a secret, or with one that is too short', async () => {
    const listen = { host: '127.0.0.1', port: 0 };
    await expect(sources({ webhook: { listen, secret: undefined } })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
    await expect(sources({ webhook: { listen, secret: '/nowhere/secret' } })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
