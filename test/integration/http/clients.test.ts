import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { ONE } from './certificates.ts';
import { startChromium } from './chromium.ts';
import { clientPrograms, installed } from './client-programs.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

const BODY = 'one two three four';
const HINT = '</style.css>; rel=preload; as=style';

const directory = await mkdtemp(join(tmpdir(), 'presage-clients-'));
const authority = join(directory, 'ca.pem');
await writeFile(authority, ONE.certificate);
afterAll(() => rm(directory, { recursive: true, force: true }));

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let secure: string;
beforeEach(async () => {
  origin = await startOrigin((message, response) => {
    const fields = { 'cache-control': 'max-age=600', etag: '"v1"', 'content-type': 'text/html' };
    switch (message.url) {
      case '/variants':
        fields.etag = `"${message.headers['x-kind']}"`;
        response.writeHead(200, { ...fields, vary: 'x-kind' }).end(`kind ${message.headers['x-kind']}`);
        break;
      case '/shared':
        // Browsers ask each time, with what they have.
        fields['cache-control'] = 'max-age=0, s-maxage=600';
        response.writeHead(200, fields).end(BODY);
        break;
      case '/hints':
        response.writeEarlyHints({ link: HINT });
        setTimeout(() => response.writeHead(200, { ...fields, 'cache-control': 'no-cache' }).end(BODY), 50);
        break;
      default:
        response.writeHead(200, { ...fields, 'content-length': BODY.length }).end(BODY);
    }
  });
  under = await startEdge({ origin: origin.url });
  secure = `https://127.0.0.1:${(await under.edge.listen('127.0.0.1', 0, ONE)).port}`;
});
afterEach(async () => {
  await under.close();
  await origin.close();
});
const asked = (path: string) => origin.seen.filter(({ url }) => url === path).length;
const stored = (count: number) =>
  expect.poll(() => [...under.index.replicas.values()].flat().length).toBe(count);

for (const client of clientPrograms(authority, ONE.certificate)) {
  const there = client.program === undefined || (await installed(client.program));
  const missing = there ? '' : ` (${client.program} is not installed)`;
  describe.skipIf(!there)(`${client.name}${missing}`, () => {
    const get = (path: string, fields: Record<string, string> = {}) =>
      client.get(`${client.tls ? secure : under.url}${path}`, fields);

    it('gets hits, ranges and what it has already', async () => {
      const first = await get('/a');
      expect([first.status, first.body]).toEqual([200, BODY]);
      await stored(1);
      const second = await get('/a');
      expect([second.status, second.body]).toEqual([200, BODY]);
      expect(second.fields['cache-status']).toMatch(/^"pop-1"; hit; ttl=\d+$/);
      expect(second.fields.age).toMatch(/^\d+$/);
      if (second.version !== '') expect(second.version).toMatch(client.name.includes('/2') ? /2/ : /1\.1/);
      const part = await get('/a', { range: 'bytes=4-6' });
      expect([part.status, part.body, part.fields['content-range']]).toEqual([206, 'two', 'bytes 4-6/18']);
      const unchanged = await get('/a', { 'if-none-match': '"v1"' });
      expect([unchanged.status, unchanged.body, unchanged.fields.etag]).toEqual([304, '', '"v1"']);
      expect((await get('/a', { 'if-match': '"v2"' })).status).toBe(412);
      expect(asked('/a')).toBe(1);
    });

    it('gets each variant from the store', async () => {
      for (let round = 0; round < 2; round++)
        for (const kind of ['x', 'y']) {
          const answer = await get('/variants', { 'x-kind': kind });
          expect([answer.status, answer.body]).toEqual([200, `kind ${kind}`]);
          await stored(round === 0 && kind === 'x' ? 1 : 2);
        }
      expect(asked('/variants')).toBe(2);
    });

    it.skipIf(client.deaf)('hears early hints', async () => {
      const { interim, status } = await get('/hints');
      expect(interim).toMatchObject([{ status: 103, fields: { link: HINT } }]);
      expect(status).toBe(200);
    });
  });
}

const chromium = await installed('chromium');
describe.skipIf(!chromium)(`Chromium${chromium ? '' : ' (chromium is not installed)'}`, () => {
  it('gets hits, ranges, variants and what it has already, and early hints', async () => {
    const agent = new Agent({ connect: { ca: ONE.certificate } });
    const browser = await startChromium(ONE.certificate);
    try {
      for (const [base, protocol] of [
        [under.url, 'http/1.1'],
        [secure, 'h2'],
      ] as const) {
        for (const path of ['/a', '/part', '/shared']) {
          await (await request(base + path, { dispatcher: agent })).body.dump();
          const key16 = key16Of(`${new URL(base).host}${path}` as ResourceKey, under.site.secret);
          await expect.poll(() => under.index.get(key16).length).toBe(1);
        }
        const before = origin.seen.length;
        const seen = await browser.evaluate(
          `${base}/page`,
          `(async () => {
            const get = async (path, headers = {}) => {
              const answer = await fetch(path, { headers });
              const hit = /; hit/.test(answer.headers.get('cache-status'));
              return [answer.status, await answer.text(), hit];
            };
            return {
              hit: await get('/a'),
              range: await get('/part', { range: 'bytes=4-6' }),
              shared: [await get('/shared'), await get('/shared')],
              variants: [await get('/variants', { 'x-kind': 'x' }), await get('/variants', { 'x-kind': 'y' })],
              protocol: performance.getEntriesByType('navigation')[0].nextHopProtocol,
            };
          })()`,
        );
        expect(seen).toEqual({
          hit: [200, BODY, true],
          range: [206, 'two', true],
          shared: [
            [200, BODY, true],
            [200, BODY, true],
          ],
          variants: [
            [200, 'kind x', false],
            [200, 'kind y', false],
          ],
          protocol,
        });
        const urls = origin.seen.slice(before).map(({ url }) => url);
        expect(urls.filter((url) => url !== '/favicon.ico')).toEqual(['/page', '/variants', '/variants']);
        const shared = () => under.observations.filter(({ key }) => key.endsWith('/shared')).slice(-3);
        await expect
          .poll(() => shared().map(({ status, hit }) => [status, hit]))
          .toEqual([
            [200, 'miss'],
            [200, 'hit'],
            [304, 'hit'],
          ]);
      }
      // The page itself names no style sheet.
      await browser.evaluate(`${secure}/hints`, '1');
      await expect.poll(() => asked('/style.css')).toBe(1);
    } finally {
      await browser.close();
      await agent.close();
    }
  });
});
