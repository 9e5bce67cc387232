import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PresageError } from '../../../protocol/errors.ts';
import type { Database, TableSpec } from '../../../protocol/ports.ts';

/** A database that can be closed and opened again. */
export interface DatabaseUnderTest {
  open(): Promise<Database>;
  dispose(): Promise<void>;
}

const text = (name: string, prefix: number): TableSpec<string> => ({
  name,
  prefix,
  encode: (value) => Buffer.from(value),
  decode: (bytes) => {
    const value = Buffer.from(bytes).toString();
    if (value.startsWith('damaged')) throw new PresageError('STORE_CORRUPT');
    return value;
  },
});

/** What every implementation of the `Database` port keeps to. */
export function describeDatabase(name: string, create: () => Promise<DatabaseUnderTest>): void {
  describe(`the database port: ${name}`, () => {
    let subject: DatabaseUnderTest;
    let database: Database;
    beforeEach(async () => {
      subject = await create();
      database = await subject.open();
    });
    afterEach(async () => {
      await database.close();
      await subject.dispose();
    });
    const collect = async (
      table: ReturnType<Database['table']>,
      range?: { gte?: string; lt?: string; reverse?: boolean; limit?: number },
    ) => {
      const found: [string, unknown][] = [];
      for await (const entry of table.entries(range)) found.push(entry);
      return found;
    };

    it('gives back what was put, and nothing for what was not', async () => {
      const table = database.table(text('a', 1));
      await table.put('k', 'v', { sync: true });
      expect(await table.get('k')).toBe('v');
      expect(await table.get('other')).toBeUndefined();
      await table.del('k');
      expect(await table.get('k')).toBeUndefined();
      await table.del('k');
    });

    it('keeps what was written across closing and opening', async () => {
      await database.table(text('a', 1)).put('k', 'v');
      await database.close();
      database = await subject.open();
      expect(await database.table(text('a', 1)).get('k')).toBe('v');
    });

    it('keeps tables apart, neighbours of the prefix included', async () => {
      const tables = [0, 1, 15, 16, 254].map((prefix) => database.table(text(`t${prefix}`, prefix)));
      for (const table of tables) await table.put('k', table.name);
      for (const table of tables) expect(await collect(table)).toEqual([['k', table.name]]);
    });

    it('iterates in byte order within gte and lt, both ways, up to a limit', async () => {
      const table = database.table(text('a', 1));
      const keys = ['', 'a', 'aa', 'b', 'ä', '中', '\u{1f600}'];
      await table.batch([...keys].reverse().map((key) => ({ type: 'put', key, value: key })));
      const order = async (range?: Parameters<typeof collect>[1]) =>
        (await collect(table, range)).map(([key]) => key);
      expect(await order()).toEqual(keys);
      expect(await order({ gte: 'a', lt: 'b' })).toEqual(['a', 'aa']);
      expect(await order({ reverse: true, limit: 2 })).toEqual(['\u{1f600}', '中']);
      expect(await order({ lt: 'aa', reverse: true })).toEqual(['a', '']);
      expect(await order({ limit: 0 })).toEqual([]);
    });

    it('iterates over more records than one fetch holds, and can be left early', async () => {
      const table = database.table(text('a', 1));
      await table.batch(Array.from({ length: 700 }, (_, i) => ({ type: 'put', key: `k${i}`, value: 'v' })));
      expect(await collect(table)).toHaveLength(700);
      for await (const [key] of table.entries()) {
        expect(key).toBe('k0');
        break;
      }
    });

    it('writes a batch whole, later entries over earlier ones', async () => {
      const table = database.table(text('a', 1));
      await table.put('gone', 'x');
      await table.batch([
        { type: 'put', key: 'k', value: 'first' },
        { type: 'put', key: 'k', value: 'second' },
        { type: 'del', key: 'gone' },
      ]);
      expect(await collect(table)).toEqual([['k', 'second']]);
    });

    it('treats a record that does not decode as absent, for good, and takes a new one in its place', async () => {
      const table = database.table(text('a', 1));
      await table.batch([
        { type: 'put', key: 'a', value: 'fine' },
        { type: 'put', key: 'b', value: 'damaged' },
        { type: 'put', key: 'c', value: 'fine' },
      ]);
      expect(await collect(table, { limit: 2 })).toEqual([
        ['a', 'fine'],
        ['c', 'fine'],
      ]);
      expect(await table.get('b')).toBeUndefined();
      await table.put('b', 'new');
      expect(await table.get('b')).toBe('new');
    });

    it('keeps concurrent writes and reads apart', async () => {
      const table = database.table(text('a', 1));
      await Promise.all(
        Array.from({ length: 200 }, async (_, i) => {
          await table.put(`k${i}`, `v${i}`, { sync: i % 2 === 0 });
          expect(await table.get(`k${i}`)).toBe(`v${i}`);
        }),
      );
      expect(await collect(table)).toHaveLength(200);
    });

    it('refuses a prefix that another table has, and what comes after closing', async () => {
      const table = database.table(text('a', 1));
      expect(() => database.table(text('b', 1))).toThrow(PresageError);
      expect(() => database.table(text('b', 256))).toThrow(PresageError);
      expect(database.table(text('a', 1)).name).toBe('a');
      await database.close();
      await expect(table.get('k')).rejects.toMatchObject({ code: 'CANCELLED' });
      await expect(table.put('k', 'v')).rejects.toMatchObject({ code: 'CANCELLED' });
    });
  });
}
