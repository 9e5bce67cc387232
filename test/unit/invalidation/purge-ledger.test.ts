import { describe, expect, it } from 'vitest';
import { PurgeLedger } from '../../../actors/purge-ledger.ts';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { Database, TableSpec, TableWrite } from '../../../protocol/ports.ts';
import { purgeSigner } from '../../../protocol/purge.ts';
import { realClock, recorder, testLog } from '../../integration/network/cluster.ts';
import { invalidationsOf, keyOf, popOf, purgeAt, SITE, secretOf, url } from './pops.ts';

/** Counts the writes of each table, and refuses those of one when told to. */
class Disk implements Database {
  readonly writes = new Map<string, number>();
  readonly rows = new Map<string, Uint8Array>();
  refused: string | undefined;

  table<V>(spec: TableSpec<V>) {
    const at = (key: string) => `${spec.name}/${key}`;
    const batch = async (writes: readonly TableWrite<V>[]) => {
      this.writes.set(spec.name, (this.writes.get(spec.name) ?? 0) + 1);
      if (this.refused === spec.name) throw new Error('the disk is full');
      for (const write of writes) {
        if (write.type === 'put') this.rows.set(at(write.key), spec.encode(write.value));
        else this.rows.delete(at(write.key));
      }
    };
    return {
      name: spec.name,
      get: async (key: string) => {
        const row = this.rows.get(at(key));
        return row && spec.decode(row);
      },
      entries: () => this.#entries(spec, at('')),
      put: (key: string, value: V) => batch([{ type: 'put', key, value }]),
      del: (key: string) => batch([{ type: 'del', key }]),
      batch,
    };
  }

  async *#entries<V>(spec: TableSpec<V>, prefix: string): AsyncGenerator<[string, V]> {
    for (const [key, row] of this.rows)
      if (key.startsWith(prefix)) yield [key.slice(prefix.length), spec.decode(row)];
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const open = (disk: Disk) =>
  PurgeLedger.open(
    { self: popOf(1), secretOf, sign: purgeSigner(keyOf(1)), alone: false },
    {
      database: disk,
      clock: realClock,
      hybrid: new HybridClock(popOf(1)),
      log: testLog(),
      metrics: recorder(),
    },
  );
/** Issues a purge and has it written, as the invalidator does. */
async function issue(ledger: PurgeLedger, key: string, time: number): Promise<number> {
  const stamp = { time, counter: 0, pop: popOf(1) };
  const purges = ledger.invalidations.prepare(url(key), SITE, false, stamp);
  await ledger.write(purges, []);
  for (const purge of purges) ledger.invalidations.apply(purge);
  return purges[0]!.seq;
}

describe('the ledger of purges', () => {
  it('takes a write that is asked for in the moment in which another is done', async () => {
    const ledger = await open(new Disk());
    const peer = invalidationsOf(2);
    const [first, second] = [purgeAt(peer, url('a/1')), purgeAt(peer, url('a/2'))];
    await ledger.write([first], []).then(() => ledger.write([second], [first]));
    await ledger.flush();
    expect(ledger.unwritten()).toEqual([]);
  });

  it('writes its own last number again only when it has changed', async () => {
    const disk = new Disk();
    const ledger = await open(disk);
    const peer = invalidationsOf(2);
    for (let i = 0; i < 5; i += 1) await ledger.write([purgeAt(peer, url(`a/${i}`))], []);
    expect(disk.writes.get('purges')).toBe(5);
    expect(disk.writes.get('meta')).toBeUndefined();
    const seq = await issue(ledger, 'a/own', 1_000);
    await ledger.write([purgeAt(peer, url('a/last'))], []);
    expect(disk.writes.get('meta')).toBe(1);
    const again = await open(disk);
    expect(again.damaged).toBe(false);
    expect(again.invalidations.lastOwnSeq).toBe(seq);
    await again.write([purgeAt(peer, url('a/after'))], []);
    expect(disk.writes.get('meta')).toBe(1);
  });

  it('tries again with the next write where that number was not taken', async () => {
    const disk = new Disk();
    const ledger = await open(disk);
    const peer = invalidationsOf(2);
    disk.refused = 'meta';
    const seq = await issue(ledger, 'a/own', 1_000);
    disk.refused = undefined;
    await ledger.write([purgeAt(peer, url('a/1'))], []);
    expect(disk.writes.get('meta')).toBe(2);
    disk.rows.delete([...disk.rows.keys()].find((key) => key.includes(popOf(1)))!);
    expect((await open(disk)).invalidations.lastOwnSeq).toBe(seq);
  });
});
