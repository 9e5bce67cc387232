import { request } from 'undici';
import { describe, expect, it } from 'vitest';
import { soloNetwork } from '../../../node/adapters/solo.ts';
import { createEdge } from '../../../node/http/edge.ts';
import { createOrigin } from '../../../node/http/origin.ts';
import type { Site } from '../../../protocol/charter.ts';
import type { RegionId } from '../../../protocol/ids.ts';
import type { PurgeScope } from '../../../protocol/purge.ts';
import { prefix, SITE, secretOf, tag, url } from '../../unit/invalidation/pops.ts';
import { type Handler, startOrigin } from '../http/origin.ts';
import { realClock, recorder, until } from '../network/cluster.ts';
import { openPop, type Pop, quiet, withDirectory } from './pop.ts';

interface Bench {
  readonly pop: Pop;
  get(path: string): Promise<string>;
}

/** A real edge over real replicas before a scripted origin. */
async function withEdge(handler: Handler, run: (bench: Bench) => Promise<void>): Promise<void> {
  await withDirectory(async (directory) => {
    const scripted = await startOrigin(handler);
    const metrics = recorder();
    const pop = await openPop(1, { directory, metrics, network: soloNetwork, alone: true });
    const demand = { speed: 1, now: () => Date.now(), at: (real: number) => real };
    const origin = createOrigin({}, { clock: realClock, log: quiet, metrics });
    const site: Site = {
      ...{ id: SITE, hosts: ['*'], origin: scripted.url, secret: secretOf(SITE)!, allow: ['*'] },
      normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
      ...{ private: false, shield: 'off', cutOff: 'serve-stale' },
    };
    const edge = createEdge(
      { name: 'pop-1', maxObjectBytes: 1_000_000 },
      {
        ...{ index: pop.replicas, blobs: pop.blobs, origin, demand, clock: realClock, log: quiet, metrics },
        site: () => site,
        fill: { fill: async () => undefined },
        observe: () => undefined,
        regionOf: () => 'home' as RegionId,
      },
    );
    const { port } = await edge.listen('127.0.0.1', 0);
    const headers = { host: 'a.example' };
    try {
      await run({
        pop,
        get: async (path) =>
          (await request(`http://127.0.0.1:${port}${path}`, { headers, headersTimeout: 60_000 })).body.text(),
      });
    } finally {
      await edge.close();
      await origin.close();
      await pop.close();
      await scripted.close();
    }
  });
}

const SCOPES: readonly [name: string, scope: PurgeScope, hits: boolean][] = [
  ['URL', url('a.example/page'), true],
  ['tag', tag('news'), true],
  ['prefix', prefix('a.example/pa'), true],
  ['another URL', url('a.example/other'), false],
];

describe('a purge while the origin is answering', () => {
  it.each(SCOPES)(
    'by %s: who asks after it gets what the origin says after it',
    async (_name, scope, hits) => {
      let asked = 0;
      const held: (() => void)[] = [];
      const handler: Handler = (_request, response) => {
        asked += 1;
        const body = `version ${asked}`;
        response.writeHead(200, {
          'cache-control': 'max-age=60',
          'surrogate-key': 'news',
          'content-length': body.length,
        });
        response.write(body.slice(0, 4));
        const finish = () => response.end(body.slice(4));
        // The first answer is held back until the test lets it go.
        if (asked === 1) held.push(finish);
        else finish();
      };
      await withEdge(handler, async ({ pop, get }) => {
        const first = get('/page');
        await until('the origin was asked', () => held.length === 1);
        await pop.purge(scope);
        const second = get('/page');
        if (hits) expect(await second).toBe('version 2');
        held[0]?.();
        expect(await first).toBe('version 1');
        expect(await second).toBe(hits ? 'version 2' : 'version 1');
        expect(await get('/page')).toBe(hits ? 'version 2' : 'version 1');
        expect(asked).toBe(hits ? 2 : 1);
      });
    },
  );

  it('before the headers have come, by tag: nobody is given what was asked for before it', async () => {
    let asked = 0;
    const held: (() => void)[] = [];
    const handler: Handler = (_request, response) => {
      asked += 1;
      const body = `version ${asked}`;
      const answer = () => {
        response.writeHead(200, { 'cache-control': 'max-age=60', 'surrogate-key': 'news' });
        response.end(body);
      };
      if (asked === 1) held.push(answer);
      else answer();
    };
    await withEdge(handler, async ({ pop, get }) => {
      const first = get('/page');
      await until('the origin was asked', () => held.length === 1);
      await pop.purge(tag('news'), { soft: true });
      expect(await get('/page')).toBe('version 2');
      held[0]?.();
      expect(await first).toBe('version 3');
      expect(asked).toBe(3);
    });
  });

  it('while the origin is failing: what was purged does not stand in', async () => {
    for (const purge of [false, true]) {
      let whole = 0;
      const failing: (() => void)[] = [];
      const handler: Handler = (incoming, response) => {
        const finish = (status: number, body: string) => {
          response.writeHead(status, { 'cache-control': 'max-age=0, stale-if-error=600', etag: '"1"' });
          response.end(body);
        };
        if (incoming.headers['if-none-match'] === undefined) finish(200, `whole ${++whole}`);
        else failing.push(() => finish(503, 'failed'));
      };
      await withEdge(handler, async ({ pop, get }) => {
        expect(await get('/page')).toBe('whole 1');
        await until('it is stored', () => pop.replicas.catalogue.shelf.size === 1);
        const second = get('/page');
        await until('the origin was asked', () => failing.length === 1);
        if (purge) await pop.purge(url('a.example/page'));
        failing[0]?.();
        expect(await second).toBe(purge ? 'whole 2' : 'whole 1');
      });
    }
  });
});
