import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Scope, signatureQuery } from '../../../node/http/access/signed-url.ts';
import { mintToken } from '../../../node/http/access/token.ts';
import type { AccessKey } from '../../../protocol/charter.ts';
import { key16Of, type ResourceKey } from '../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from './origin.ts';

const NEW: AccessKey = { id: 'new', secret: new Uint8Array(32).fill(1) };
const OLD: AccessKey = { id: 'old', secret: new Uint8Array(32).fill(2) };
const SECRET_TEXT = 'only for those who are let in';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
beforeEach(async () => {
  origin = await startOrigin((_message, response) => {
    response
      .writeHead(200, {
        'cache-control': 'public, s-maxage=600',
        'surrogate-control': 'max-age=900',
        'content-type': 'text/plain',
        etag: '"1"',
      })
      .end(SECRET_TEXT);
  });
  await begin({});
});
afterEach(async () => {
  await under.close();
  await origin.close();
});
async function begin(site: Parameters<typeof startEdge>[0]['site']): Promise<void> {
  under = await startEdge({ origin: origin.url, site: { private: true, accessKeys: [NEW, OLD], ...site } });
}

const host = () => `127.0.0.1:${under.port}`;
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
const signed = (path: string, scope: Scope = { path }, expires = inSeconds(60), key = NEW) =>
  `${under.url}${path}${path.includes('?') ? '&' : '?'}${signatureQuery(key, host(), scope, expires)}`;
const token = (claims: Partial<Parameters<typeof mintToken>[1]> = {}, key = NEW) => ({
  authorization: `Bearer ${mintToken(key, { site: 'test', expires: inSeconds(60), ...claims })}`,
});
const status = async (url: string, init?: RequestInit) => (await fetch(url, init)).status;
const stored = async (path: string) => {
  const key = `${host()}${path}` as ResourceKey;
  await expect.poll(() => under.index.get(key16Of(key, under.site.secret)).length).toBe(1);
};

describe('a private site', () => {
  it('gives nothing to those who show nothing, whether it is stored or not', async () => {
    const refused = await fetch(`${under.url}/a`);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="test"');
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.headers.get('cache-control')).toBe('no-store');
    expect(await refused.json()).toMatchObject({
      status: 401,
      code: 'HTTP_FORBIDDEN',
      detail: expect.any(String),
    });
    expect(origin.seen).toHaveLength(0);
    expect(await status(signed('/a'))).toBe(200);
    await stored('/a');
    for (const init of [
      {},
      { method: 'HEAD' },
      { headers: { range: 'bytes=0-1' } },
      { headers: { 'if-none-match': '"1"' } },
    ])
      expect(await status(`${under.url}/a`, init)).toBe(401);
    expect(await status(`${under.url}/a?presage-expires=99999999999`)).toBe(403);
    expect(origin.seen).toHaveLength(1);
  });

  it('shares one replica among all who are let in, under a key without their signatures', async () => {
    expect(await (await fetch(signed('/a?q=1'))).text()).toBe(SECRET_TEXT);
    await stored('/a?q=1');
    for (const url of [signed('/a?q=1', { prefix: '/' }), signed('/a?q=1', undefined, inSeconds(99), OLD)]) {
      const again = await fetch(url);
      expect([again.status, await again.text()]).toEqual([200, SECRET_TEXT]);
      expect(again.headers.get('cache-status')).toMatch(/^"pop-1"; hit/);
    }
    const byToken = await fetch(`${under.url}/a?q=1`, { headers: token() });
    expect([byToken.status, byToken.headers.get('cache-status')?.slice(0, 12)]).toEqual([
      200,
      '"pop-1"; hit',
    ]);
    expect(origin.seen.map(({ url }) => url)).toEqual(['/a?q=1']);
    expect(under.observations.map(({ key, shareable }) => [key, shareable])).toEqual(
      Array.from({ length: 4 }, () => [`${host()}/a?q=1`, true]),
    );
  });

  it('keeps its tokens to itself, and passes on other credentials', async () => {
    expect(await status(`${under.url}/t`, { headers: token() })).toBe(200);
    await stored('/t');
    expect(await status(signed('/u'), { headers: { authorization: 'Basic dTpw' } })).toBe(200);
    expect(origin.seen.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Basic dTpw']);
    expect(under.observations.map(({ shareable }) => shareable)).toEqual([true, false]);
  });

  it('refuses what is expired, forged, for others or of retired keys', async () => {
    expect(await status(signed('/a', undefined, inSeconds(-1)))).toBe(403);
    expect(await status(signed('/a').replace('/a?', '/b?'))).toBe(403);
    expect(await status(signed('/a', { prefix: '/films/' }))).toBe(403);
    const expired = await fetch(`${under.url}/a`, { headers: token({ expires: inSeconds(-1) }) });
    expect([expired.status, expired.headers.get('www-authenticate')]).toEqual([
      401,
      'Bearer realm="test", error="invalid_token"',
    ]);
    expect(await status(`${under.url}/a`, { headers: token({ site: 'other' }) })).toBe(401);
    const elsewhere = await fetch(`${under.url}/a`, { headers: token({ paths: ['/b/'] }) });
    expect([elsewhere.status, elsewhere.headers.get('www-authenticate')]).toEqual([
      403,
      'Bearer realm="test", error="insufficient_scope"',
    ]);
    expect(await status(`${under.url}/a`, { headers: { authorization: 'Bearer x, Bearer y' } })).toBe(401);
    const url = signed('/a', undefined, inSeconds(60), OLD);
    expect(await status(url)).toBe(200);
    await under.close();
    await begin({ accessKeys: [NEW] });
    expect(await status(signed('/a', undefined, inSeconds(60), OLD))).toBe(403);
    expect(await status(signed('/a'))).toBe(200);
  });

  it('answers reading methods alone', async () => {
    const refused = await fetch(signed('/a'), { method: 'POST', body: 'x' });
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect(await status(`${under.url}/a`, { method: 'DELETE', headers: token() })).toBe(405);
    expect(origin.seen).toHaveLength(0);
  });

  it('lets no cache behind us keep what it answers', async () => {
    for (let round = 0; round < 2; round++) {
      const answer = await fetch(signed('/a'));
      await answer.text();
      expect(answer.headers.get('cache-control')).toBe('public, s-maxage=600, private');
      expect(answer.headers.get('surrogate-control')).toBeNull();
      await stored('/a');
    }
    const confirmed = await fetch(signed('/a'), { headers: { 'if-none-match': '"1"' } });
    expect([confirmed.status, confirmed.headers.get('cache-control')]).toEqual([
      304,
      'public, s-maxage=600, private',
    ]);
  });

  it('is not served at a PoP that may not hold it, whatever is shown', async () => {
    await under.close();
    await begin({ allow: ['pop-2'] });
    const refused = await fetch(signed('/a'));
    expect([refused.status, await refused.json()]).toEqual([
      421,
      expect.objectContaining({ code: 'HTTP_FORBIDDEN' }),
    ]);
    expect(await status(`${under.url}/a`, { headers: token() })).toBe(421);
    expect(origin.seen).toHaveLength(0);
  });

  it('stands on disk encrypted', async () => {
    await fetch(signed('/a'));
    await stored('/a');
    const files = (await readdir(under.directory, { recursive: true })).filter((name) =>
      name.endsWith('.sealed'),
    );
    expect(files).toHaveLength(1);
    expect((await readFile(join(under.directory, files[0]!))).includes(SECRET_TEXT)).toBe(false);
  });
});

describe('a public site', () => {
  it('is passed on, but not kept, at a PoP that may not hold it', async () => {
    await under.close();
    await begin({ private: false, allow: ['pop-2'] });
    for (let round = 0; round < 2; round++) {
      const answer = await fetch(`${under.url}/a`);
      expect([answer.status, await answer.text()]).toEqual([200, SECRET_TEXT]);
      expect(answer.headers.get('cache-status')).toBe('"pop-1"; fwd=bypass; detail=not-allowed');
    }
    expect(origin.seen).toHaveLength(2);
    expect(under.blobs.usage().contents).toBe(0);
  });
});
