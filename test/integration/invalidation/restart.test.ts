import { fork } from 'node:child_process';
import { join } from 'node:path';
import { Level } from 'level';
import { describe, expect, it } from 'vitest';
import { soloNetwork } from '../../../node/adapters/solo.ts';
import { plainReplica } from '../../../protocol/held-replica.ts';
import { resource, tag, url } from '../../unit/invalidation/pops.ts';
import { pause, recorder, until } from '../network/cluster.ts';
import { named, type Said } from './killed.ts';
import { openPop, withDirectory } from './pop.ts';

const LIVES = 4;
const page = resource('a.example/page', ['news']);
const other = resource('a.example/other');

const alone = (directory: string) =>
  ({ directory, network: soloNetwork, alone: true, cutOff: 'revalidate', metrics: recorder() }) as const;

describe('a PoP that is killed', () => {
  it('again and again, loses no version and no purge that it called durable', async () => {
    await withDirectory(async (directory) => {
      const newest = new Map<string, string[]>();
      const purges: Extract<Said, { kind: 'purged' }>[] = [];
      for (let life = 0; life < LIVES; life += 1) {
        await liveAndDie(directory, life, (said) => {
          if (said.kind === 'purged') purges.push(said);
          else newest.set(said.name, [...(newest.get(said.name) ?? []), said.content]);
        });
        const pop = await openPop(0, alone(directory));
        try {
          expect(pop.ledger.damaged).toBe(false);
          for (const { name, seq } of purges) {
            const fence = pop.ledger.invalidations.fenceAt(
              pop.ledger.invalidations.ordinal,
              pop.ledger.invalidations.handle(named(name)),
            );
            expect(fence.get(pop.self), `purge of ${name}`).toBeGreaterThanOrEqual(seq);
          }
          for (const [name, contents] of newest) {
            const held = pop.replicas.get(named(name).key16)[0];
            const version = pop.replicas.catalogue.versions.get(named(name).key16);
            // The last that was called durable, or one that was stored after it and not told any more.
            expect(held, name).toBeDefined();
            expect(contents.slice(0, -1)).not.toContain(held!.content);
            // Killed between the two, a version is known whose replica is not there: the older one is validated first.
            if (version?.content !== held!.content) {
              expect(contents).not.toContain(version?.content);
              expect(pop.replicas.standing(held!)).toBe('stale');
            }
            expect(pop.blobs.has(held!.content)).toBe(true);
          }
          const seqs = purges.map(({ seq }) => seq);
          expect(new Set(seqs).size).toBe(seqs.length);
        } finally {
          await pop.close();
        }
      }
      expect(purges.length).toBeGreaterThan(LIVES);
      expect(newest.size).toBeGreaterThan(LIVES);
    });
  });
});

async function liveAndDie(directory: string, life: number, heard: (said: Said) => void): Promise<void> {
  const child = fork(join(import.meta.dirname, 'killed.ts'), ['run', directory, String(life)]);
  let count = 0;
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.on('message', (said: Said) => {
    count += 1;
    heard(said);
  });
  try {
    await until('the child is at work', () => count > 20, 90_000);
    await pause(20 * life);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

describe('what is read back', () => {
  it('replicas, versions, purges, notes and numbers survive an orderly restart', async () => {
    await withDirectory(async (directory) => {
      let pop = await openPop(0, alone(directory));
      const old = pop.begin(page);
      const stored = await pop.fetched(page, 'page');
      await pop.fetched(other, 'other');
      const { seq } = await pop.purge(tag('news'), { soft: true });
      await pop.replicas.commit(pop.replicas.catalogue.note(page.key16, { priority: 7 }, 1));
      await pop.close();
      pop = await openPop(0, alone(directory));
      try {
        expect([pop.standing(page), pop.standing(other)]).toEqual(['stale', 'valid']);
        expect(plainReplica(pop.replicas.get(page.key16)[0]!)).toEqual(plainReplica(stored!));
        expect(pop.replicas.catalogue.tagOf(page.key16)).toMatchObject({ priority: 7, labels: ['news'] });
        expect((await pop.purge(url(other.key))).seq).toBeGreaterThan(seq);
        expect(pop.standing(other)).toBe('absent');
        expect(old.ordinal).toBe(0);
      } finally {
        await pop.close();
      }
    });
  });

  it('a damaged purge is noticed as missing: nothing stored is served unvalidated', async () => {
    await withDirectory(async (directory) => {
      let pop = await openPop(0, alone(directory));
      await pop.fetched(page, 'page');
      await pop.purge(url(other.key));
      await pop.close();
      await damage(directory, '03', (key) => !key.endsWith('~'));
      pop = await openPop(0, alone(directory));
      try {
        expect(pop.ledger.damaged).toBe(true);
        expect(pop.standing(page)).toBe('stale');
        // It goes on issuing, with numbers above the one that was lost.
        expect((await pop.purge(url(other.key))).seq).toBeGreaterThan(0);
      } finally {
        await pop.close();
      }
    });
  });

  it('a damaged replica or version costs that one alone; a content that nothing names is deleted', async () => {
    await withDirectory(async (directory) => {
      let pop = await openPop(0, alone(directory));
      await pop.fetched(page, 'page');
      await pop.fetched(other, 'other');
      const orphan = await pop.blobs.put(Buffer.from('orphan'));
      await pop.close();
      await damage(directory, '01', (key) => key.includes(page.key16));
      await damage(directory, '02', (key) => key.includes(other.key16));
      pop = await openPop(0, alone(directory));
      try {
        expect([pop.standing(page), pop.standing(other)]).toEqual(['absent', 'valid']);
        expect(pop.replicas.catalogue.versions.get(other.key16)).toBeDefined();
        await pop.replicas.deleteUnused(Number.POSITIVE_INFINITY);
        expect(pop.blobs.has(orphan)).toBe(false);
        expect([...pop.blobs.list()]).toHaveLength(1);
      } finally {
        await pop.close();
      }
    });
  });

  it('under a lowered budget what is worth least goes, and its bytes are freed', async () => {
    await withDirectory(async (directory) => {
      let pop = await openPop(0, alone(directory));
      for (let i = 0; i < 10; i += 1) await pop.fetched(named(String(i)), `${i}`.repeat(1_000));
      await pop.close();
      pop = await openPop(0, { ...alone(directory), budgetBytes: 3_500 });
      try {
        expect(pop.replicas.catalogue.shelf.size).toBe(3);
        expect(await pop.replicas.deleteUnused(Number.POSITIVE_INFINITY)).toBe(7_000);
        expect(await pop.replicas.roomFor(1_000, 'speculative')).toBe(false);
        expect(await pop.replicas.roomFor(1_000, 'client')).toBe(true);
        expect(pop.replicas.catalogue.shelf.size).toBe(2);
        // What awaits deletion is freed first, then the rest by eviction.
        await pop.replicas.makeRoom(1_500);
        expect(pop.replicas.catalogue.shelf.size).toBe(1);
        expect([...pop.blobs.list()]).toHaveLength(1);
      } finally {
        await pop.close();
      }
    });
  });
});

/** Flips a byte in the records of one table. */
async function damage(directory: string, prefix: string, chosen: (key: string) => boolean): Promise<void> {
  const store = new Level<string, Uint8Array>(join(directory, 'db'), { valueEncoding: 'view' });
  await store.open();
  let count = 0;
  for await (const [key, value] of store.iterator()) {
    if (!key.startsWith(prefix) || !chosen(key)) continue;
    const changed = value.slice();
    changed[changed.length - 1] = changed.at(-1)! ^ 0xff;
    await store.put(key, changed, { sync: true });
    count += 1;
  }
  await store.close();
  expect(count).toBeGreaterThan(0);
}
