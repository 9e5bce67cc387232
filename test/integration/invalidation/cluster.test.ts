import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PopId } from '../../../protocol/ids.ts';
import { keyOf, popOf, prefix, resource, tag, url } from '../../unit/invalidation/pops.ts';
import { createOperator, startPop, type TestPop, until } from '../network/cluster.ts';
import { openPop, type Pop, withDirectory } from './pop.ts';

const page = resource('a.example/page', ['news']);
const image = resource('a.example/img/logo.png');

/** PoPs with real networks; each can be taken down and brought back on its directory. */
class Testbed {
  readonly #operator = createOperator();
  readonly #directory: string;
  readonly #networks = new Map<number, TestPop>();
  readonly #pops = new Map<number, Pop>();
  readonly #roster: PopId[];

  constructor(directory: string, size: number) {
    this.#directory = directory;
    this.#roster = Array.from({ length: size }, (_, n) => popOf(n));
  }

  async up(n: number): Promise<Pop> {
    const bootstrap = [...this.#networks.values()].flatMap((network) => network.addresses().slice(0, 1));
    const network = await startPop(this.#operator, { privateKey: keyOf(n), bootstrap });
    this.#networks.set(n, network);
    const pop = await openPop(n, {
      directory: join(this.#directory, String(n)),
      metrics: network.metrics,
      network: () => network,
      roster: () => this.#roster,
      cutOff: 'revalidate',
    });
    this.#pops.set(n, pop);
    return pop;
  }

  async down(n: number): Promise<void> {
    await this.#networks.get(n)?.close();
    await this.#pops.get(n)?.close();
    this.#networks.delete(n);
    this.#pops.delete(n);
  }

  async end(): Promise<void> {
    for (const n of [...this.#pops.keys()]) await this.down(n);
  }

  async connected(count: number): Promise<void> {
    await until('all connected', () =>
      [...this.#networks.values()].every(({ peers }) => peers.connected().length === count - 1),
    );
  }
}

describe('three PoPs on a real network', () => {
  it('purge everywhere, catch up after an absence, and tell each other of versions and holders', async () => {
    await withDirectory(async (directory) => {
      const bed = new Testbed(directory, 3);
      const [a, b] = [await bed.up(0), await bed.up(1)];
      let c = await bed.up(2);
      try {
        await bed.connected(3);
        await until('all reconciled', () => [a, b, c].every(({ ledger }) => ledger.reconciled));
        for (const pop of [a, b, c]) {
          await pop.fetched(page, 'old');
          await pop.fetched(image, 'picture');
        }
        expect([a, b, c].map((pop) => pop.standing(page))).toEqual(['valid', 'valid', 'valid']);
        await until('holders known', () => a.replicas.holders(page.key16, [b.self, c.self]).length === 2);

        const before = b.begin(page);
        const result = await a.purge(url(page.key));
        expect(result).toMatchObject({ issuer: a.self, acknowledged: [b.self, c.self].sort(), missing: [] });
        expect([a, b, c].map((pop) => pop.standing(page))).toEqual(['absent', 'absent', 'absent']);
        expect(await b.fetched(page, 'old', before)).toBeUndefined();
        expect(b.standing(page)).toBe('absent');
        expect([a, b, c].map((pop) => pop.standing(image))).toEqual(['valid', 'valid', 'valid']);

        // c is away while a tag is purged and an update is noticed.
        for (const pop of [a, b, c]) await pop.fetched(page, 'new');
        await bed.down(2);
        await bed.connected(2);
        const away = await b.purge(tag('news'));
        expect(away.acknowledged).toContain(a.self);
        expect(away.missing).toEqual([popOf(2)]);
        await a.fetched(image, 'another picture');
        c = await bed.up(2);
        // Before it has reconciled, nothing that could have been purged is served as valid.
        expect(c.ledger.reconciled || c.standing(image) !== 'valid').toBe(true);
        await until('c has caught up', () => c.ledger.reconciled && c.standing(page) === 'absent');
        await until('c knows of the new version', () => c.standing(image) === 'stale');
        await until('b knows of the new version', () => b.standing(image) === 'stale');
        expect(a.standing(image)).toBe('valid');

        // A replica handed over by a peer is taken only if its fence covers what is known here.
        const fresh = (await a.fetched(page, 'newest'))!;
        await c.blobs.put(Buffer.from('newest'));
        expect(await c.replicas.adopt({ ...fresh, fence: new Map() })).toBeUndefined();
        expect(await c.replicas.adopt(fresh)).toBeDefined();
        expect(c.standing(page)).toBe('valid');
        await c.purge(prefix('a.example/'), { soft: true });
        expect([a, c].map((pop) => pop.standing(page))).toEqual(['stale', 'stale']);
      } finally {
        await bed.end();
      }
    });
  });

  it('a PoP that has lost all its peers revalidates until it has one again', async () => {
    await withDirectory(async (directory) => {
      const bed = new Testbed(directory, 2);
      const a = await bed.up(0);
      await bed.up(1);
      try {
        await bed.connected(2);
        await until('reconciled', () => a.ledger.reconciled);
        await a.fetched(page, 'body');
        expect(a.standing(page)).toBe('valid');
        await bed.down(1);
        await until('cut off', () => a.standing(page) === 'stale');
        await bed.up(1);
        await until('reconciled again', () => a.standing(page) === 'valid');
      } finally {
        await bed.end();
      }
    });
  });
});
