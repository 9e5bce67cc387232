import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskError } from '../../../node/adapters/blob-files.ts';
import { fileBytes, HEADER_BYTES } from '../../../node/adapters/blob-format.ts';
import { type BlobDependencies, type BlobOptions, openBlobs } from '../../../node/adapters/blobs.ts';
import type { ContentHash } from '../../../protocol/ids.ts';
import { type Blobs, CHUNK_BYTES } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { chunkOf, collect, manifestOf } from '../../contract/blobs/contract.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

describe('blob store', () => {
  let directory: string;
  let metrics: CountingMetrics;
  let opened: Blobs[];
  let seed = 1;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'presage-blobs-'));
    metrics = new CountingMetrics();
    opened = [];
  });
  afterEach(async () => {
    for (const blobs of opened) await blobs.close();
    await rm(directory, { recursive: true, force: true });
  });
  const start = async (options: Partial<BlobOptions> = {}, deps: Partial<BlobDependencies> = {}) => {
    const blobs = await openBlobs(
      { directory, budgetBytes: 2 ** 30, memoryBytes: 2 ** 24, maxObjectBytes: 2 ** 27, ...options },
      { log: silentLog, metrics, random: seededRandom(seed++), ...deps },
    );
    opened.push(blobs);
    return blobs;
  };
  const fileOf = (hash: ContentHash, size: number) =>
    join(directory, hash.slice(0, 2), `${hash}.${size.toString(36)}`);
  const flip = async (hash: ContentHash, size: number, position: number) => {
    const file = await open(fileOf(hash, size), 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    byte[0] = byte[0]! ^ 0x40;
    await file.write(byte, 0, 1, position);
    await file.close();
  };

  it.each([
    ['the magic', 3],
    ['the length', 17],
    ['the seal', 100],
    ['the first chunk', HEADER_BYTES + 5],
    ['the second chunk', HEADER_BYTES + CHUNK_BYTES + 5],
    ['the chunk table', HEADER_BYTES + CHUNK_BYTES + 100 + 40],
  ])(
    'notices a flipped bit in %s, sets the file aside and never serves the byte',
    async (_where, position) => {
      const bytes = randomBytes(CHUNK_BYTES + 100);
      const hash = await (await start()).put(bytes);
      await flip(hash, bytes.length, position);
      const lost: ContentHash[] = [];
      const blobs = await start({}, { lost: (it) => lost.push(it) });
      const served: Buffer[] = [];
      const reading = async () => {
        for await (const piece of blobs.read(hash)) served.push(Buffer.from(piece));
      };
      await expect(reading()).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
      const sent = Buffer.concat(served);
      expect(sent.equals(bytes.subarray(0, sent.length))).toBe(true);
      expect(blobs.has(hash)).toBe(false);
      expect(lost).toEqual([hash]);
      expect(metrics.counts.get('presage_blobs_lost_total CONTENT_MISMATCH')).toBe(1);
      expect(await readdir(join(directory, 'quarantine'))).toEqual([hash]);
      expect(blobs.usage().diskBytes).toBe(0);
      expect(await blobs.put(bytes)).toBe(hash);
      expect((await collect(blobs.read(hash))).equals(bytes)).toBe(true);
    },
  );

  it('notices a truncated file and a vanished one', async () => {
    const bytes = randomBytes(CHUNK_BYTES * 2);
    const hash = await (await start()).put(bytes);
    const file = await open(fileOf(hash, bytes.length), 'r+');
    await file.truncate(CHUNK_BYTES);
    await file.close();
    const blobs = await start();
    await expect(collect(blobs.read(hash))).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    const other = await blobs.put(randomBytes(CHUNK_BYTES * 2));
    await rm(fileOf(other, CHUNK_BYTES * 2));
    await expect(collect(blobs.read(other))).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
    expect(blobs.has(other)).toBe(false);
  });

  it('asks for room before it says that it is full, and counts every byte', async () => {
    const size = 10_000;
    const each = fileBytes({ size, sealed: false });
    const kept: ContentHash[] = [];
    let asked = 0;
    const blobs: Blobs = await start(
      { budgetBytes: 3 * each },
      {
        makeRoom: async (bytes) => {
          asked += bytes;
          const oldest = kept.shift();
          if (oldest && asked < 4 * each) await blobs.delete(oldest);
        },
      },
    );
    for (let n = 0; n < 4; n++) kept.push(await blobs.put(randomBytes(size)));
    expect(blobs.usage()).toMatchObject({ contents: 3, diskBytes: 3 * each });
    expect(asked).toBe(each);
    await expect(blobs.put(randomBytes(10 * size))).rejects.toMatchObject({ code: 'STORE_FULL' });
    expect(blobs.usage().diskBytes).toBeLessThanOrEqual(3 * each);
    expect(await readdir(join(directory, 'temp'))).toEqual([]);
    for (const hash of kept) expect((await collect(blobs.read(hash))).length).toBe(size);
  });

  it('drops unfinished contents before it asks the owner for room', async () => {
    const bytes = randomBytes(CHUNK_BYTES * 3);
    const blobs = await start({ budgetBytes: fileBytes({ size: bytes.length, sealed: false }) + 1000 });
    const assembler = await blobs.resume(manifestOf(bytes));
    await assembler.write(0, chunkOf(bytes, 0));
    await assembler.abort();
    await blobs.put(randomBytes(CHUNK_BYTES * 3));
    expect(await readdir(join(directory, 'partial'))).toEqual([]);
    expect(blobs.usage().contents).toBe(1);
  });

  it('refuses another manifest of a content while that is being put together, and counts what was written of it', async () => {
    const bytes = randomBytes(CHUNK_BYTES * 3);
    const blobs = await start();
    const manifest = manifestOf(bytes);
    const lie = { ...manifest, chunks: manifest.chunks.with(2, manifest.hash) };
    const assembler = await blobs.resume(lie);
    await expect(blobs.resume(manifest)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    await assembler.write(0, chunkOf(bytes, 0));
    await assembler.abort();
    expect((await blobs.resume(manifest)).missing()).toEqual([1, 2]);
    await blobs.close();
    expect(blobs.usage().diskBytes).toBeLessThan(2 * CHUNK_BYTES);
  });

  it('refuses a content above the limit and leaves nothing of it', async () => {
    const blobs = await start({ maxObjectBytes: CHUNK_BYTES * 2 });
    const writer = await blobs.create();
    await writer.write(randomBytes(CHUNK_BYTES * 2));
    await expect(writer.write(randomBytes(1))).rejects.toMatchObject({ code: 'CONTENT_TOO_LARGE' });
    await writer.abort();
    expect(blobs.usage().diskBytes).toBe(0);
    expect(await readdir(join(directory, 'temp'))).toEqual([]);
  });

  it('keeps small contents in memory within its budget and serves them without a copy', async () => {
    const blobs = await start({ memoryBytes: 1_000_000 });
    const hashes: ContentHash[] = [];
    for (let n = 0; n < 50; n++) hashes.push(await blobs.put(randomBytes(50_000)));
    expect(blobs.usage().memoryBytes).toBeLessThanOrEqual(1_000_000);
    const newest = hashes.at(-1)!;
    expect(blobs.peek(newest)).toBe(blobs.peek(newest));
    expect(blobs.peek(hashes[0]!)).toBeUndefined();
    await collect(blobs.read(hashes[0]!));
    expect(blobs.peek(hashes[0]!)?.length).toBe(50_000);
  });

  it('clears the temp area at the start and leaves strange files alone', async () => {
    await start();
    await writeFile(join(directory, 'temp', 'left'), 'x');
    await writeFile(join(directory, 'ab', 'README'), 'x');
    await mkdir(join(directory, 'zz'));
    const blobs = await start();
    expect(await readdir(join(directory, 'temp'))).toEqual([]);
    expect(await readdir(join(directory, 'ab'))).toEqual(['README']);
    expect(blobs.usage().contents).toBe(0);
  });

  it('lists thousands of contents when it opens', async () => {
    await start();
    const names: string[] = [];
    for (let n = 0; n < 4_000; n++) {
      const hash = `${n.toString(16).padStart(8, '0')}${'0'.repeat(56)}`.split('').reverse().join('');
      names.push(join(directory, hash.slice(0, 2), `${hash}.a`));
    }
    for (let at = 0; at < names.length; at += 2000)
      await Promise.all(names.slice(at, at + 2000).map((name) => writeFile(name, '')));
    const blobs = await start();
    expect(blobs.usage().contents).toBe(4_000);
  }, 30_000);

  it('names a full disk and a failing one apart', () => {
    expect(diskError(Object.assign(new Error('x'), { code: 'ENOSPC' }), 'w').code).toBe('STORE_FULL');
    expect(diskError(Object.assign(new Error('x'), { code: 'EDQUOT' }), 'w').code).toBe('STORE_FULL');
    expect(diskError(Object.assign(new Error('x'), { code: 'EIO' }), 'w').code).toBe('STORE_IO');
  });
});
