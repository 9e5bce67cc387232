import { execFileSync, fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevel } from '../../../node/adapters/level.ts';
import { recordTable } from '../../../node/adapters/level-record.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

const spec = recordTable(
  'things',
  7,
  v.object({ id: v.number(), name: v.string(), at: v.map(v.string(), v.number()) }),
);
const thing = (id: number) => ({ id, name: `thing ${id}`, at: new Map([['x', id]]) });

describe('the database on a disk that misbehaves', () => {
  let directory: string;
  let metrics: CountingMetrics;
  const open = () => openLevel(directory, { log: silentLog, metrics });
  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'presage-level-')), 'db');
    metrics = new CountingMetrics();
  });
  afterEach(() => rmSync(join(directory, '..'), { recursive: true }));

  it('keeps records with maps', async () => {
    const database = await open();
    await database.table(spec).put('a', thing(1), { sync: true });
    expect(await database.table(spec).get('a')).toEqual(thing(1));
    await database.close();
  });

  it('refuses a directory that is in use', async () => {
    const database = await open();
    await expect(open()).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    await database.close();
  });

  it('says that it cannot open where there is a file', async () => {
    writeFileSync(join(directory, '..', 'file'), '');
    const path = join(directory, '..', 'file', 'db');
    await expect(openLevel(path, { log: silentLog, metrics })).rejects.toMatchObject({ code: 'STORE_IO' });
  });

  it('sets aside records with any byte changed, cut or swapped, counts them, and keeps their bytes', async () => {
    let database = await open();
    await database.table(spec).batch(
      Array.from({ length: 40 }, (_, id) => ({
        type: 'put' as const,
        key: `k${String(id).padStart(2, '0')}`,
        value: thing(id),
      })),
    );
    await database.close();
    const raw = new Level<string, Uint8Array>(directory, { valueEncoding: 'view' });
    const damaged = new Set<string>();
    let at = 0;
    for await (const [key, value] of raw.iterator()) {
      at += 1;
      if (at % 2 === 0) continue;
      damaged.add(key);
      const copy = Buffer.from(value);
      if (at % 8 === 1) copy.writeUInt8(copy[at % copy.length]! ^ 0x41, at % copy.length);
      await raw.put(
        key,
        at % 8 === 3 ? copy.subarray(0, at % copy.length) : at % 8 === 5 ? Buffer.alloc(0) : copy,
      );
      // A record that stands under another's key is as wrong as a damaged one.
      if (at % 8 === 7) await raw.put(key, (await raw.get('07k01')) ?? copy);
    }
    await raw.close();

    database = await open();
    const left: string[] = [];
    for await (const [key] of database.table(spec).entries()) left.push(key);
    expect(left).toHaveLength(40 - damaged.size);
    expect(metrics.counts.get('errors_total STORE_CORRUPT')).toBe(damaged.size);
    await database.close();
    const again = new Level<string, Uint8Array>(directory, { valueEncoding: 'view' });
    expect((await again.keys({ gte: 'ff' }).all()).map((key) => key.slice(2))).toEqual([...damaged].sort());
    await again.close();
  });

  it.each(['CURRENT', 'MANIFEST'])('repairs a damaged %s and keeps the records', async (part) => {
    let database = await open();
    for (let id = 0; id < 50; id += 1)
      await database.table(spec).put(`k${id}`, thing(id), { sync: id === 49 });
    await database.close();
    const name = readdirSync(directory).find((file) => file.startsWith(part)) ?? part;
    writeFileSync(join(directory, name), 'garbage');
    database = await open();
    expect(await database.table(spec).get('k42')).toEqual(thing(42));
    expect(metrics.counts.get('errors_total STORE_CORRUPT')).toBe(1);
    await database.close();
  });

  it('loses no synced write to a kill, and opens again', async () => {
    const child = fork(new URL('./level-writer.ts', import.meta.url), [directory], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    let acknowledged = -1;
    await new Promise<void>((resolve) => {
      child.on('message', (id) => {
        acknowledged = Number(id);
        if (acknowledged >= 200) child.kill('SIGKILL');
      });
      child.on('close', () => resolve());
    });
    const database = await open();
    for (let id = 0; id <= acknowledged; id += 1)
      expect(await database.table(spec).get(`k${id}`)).toEqual(thing(id));
    await database.close();
    expect(readFileSync(join(directory, 'CURRENT'), 'utf8')).toMatch(/^MANIFEST/);
  });

  it('refuses writes with a clear word while the disk is full, reads on, and writes again when there is room', async () => {
    // A limit on the size of files stands for the full disk: it needs no mount and no other user's consent.
    const child = fork(new URL('./level-filler.ts', import.meta.url), [directory], {
      execPath: '/bin/sh',
      execArgv: ['-c', 'ulimit -S -f 512; exec "$0" "$@"', process.execPath],
    });
    const reports: Record<string, unknown>[] = [];
    child.on('message', (report: Record<string, unknown>) => {
      reports.push(report);
      if (reports.length > 1) return;
      execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited']);
      child.send('there is room');
    });
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(reports).toMatchObject([{ code: 'STORE_FULL', readable: true }, { readable: true }]);
    expect(reports[1]?.lines).toEqual([
      'the database cannot be written; reads go on',
      'the database can be written again',
    ]);
    const stored = Number(reports[0]?.stored);
    const database = await open();
    const blocks = database.table({
      name: 'blocks',
      prefix: 3,
      encode: (b: Uint8Array) => b,
      decode: (b) => b,
    });
    for (let id = 0; id < stored; id += 1) expect((await blocks.get(`k${id}`))?.[0]).toBe(id % 251);
    expect(await blocks.get('again')).toHaveLength(4096);
    await database.close();
  });
});
