import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import { type Blobs, CHUNK_BYTES } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { chunkOf, collect, manifestOf } from '../../contract/blobs/contract.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

const MARK = Buffer.from('the plain text of a private film ');
const plainText = (size: number): Buffer => Buffer.alloc(size, MARK);

describe('sealed contents', () => {
  let directory: string;
  let opened: Blobs[];
  let seed = 1;
  const sealingKey = randomBytes(32);
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'presage-sealed-'));
    opened = [];
  });
  afterEach(async () => {
    for (const blobs of opened) await blobs.close();
    await rm(directory, { recursive: true, force: true });
  });
  const start = async (key = sealingKey, memoryBytes = 2 ** 20) => {
    const blobs = await openBlobs(
      { directory, budgetBytes: 2 ** 30, memoryBytes, maxObjectBytes: 2 ** 27, sealingKey: key },
      { log: silentLog, metrics: new CountingMetrics(), random: seededRandom(seed++) },
    );
    opened.push(blobs);
    return blobs;
  };
  /** Every byte that the store has on disk. */
  const disk = async (): Promise<Buffer> => {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return Buffer.concat(await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))));
  };

  it('never stand on disk in the clear: streamed in, half way, assembled, or called off', async () => {
    const blobs = await start();
    const bytes = plainText(3 * CHUNK_BYTES + 11);
    const writer = await blobs.create({ sealed: true });
    await writer.write(bytes.subarray(0, 2 * CHUNK_BYTES));
    expect((await disk()).length).toBeGreaterThan(CHUNK_BYTES);
    expect((await disk()).includes(MARK)).toBe(false);
    await writer.write(bytes.subarray(2 * CHUNK_BYTES));
    const { hash } = await writer.finish();
    const other = plainText(2 * CHUNK_BYTES + 5);
    const assembler = await blobs.resume(manifestOf(other), { sealed: true });
    await assembler.write(1, chunkOf(other, 1));
    await assembler.abort();
    await blobs.put(plainText(100), { sealed: true });
    expect((await disk()).includes(MARK)).toBe(false);
    expect(
      (await collect(blobs.read(hash, 7, CHUNK_BYTES + 9))).equals(bytes.subarray(7, CHUNK_BYTES + 9)),
    ).toBe(true);
  });

  it('are of no use under another key, and are fetched again', async () => {
    const bytes = plainText(1000);
    const hash = await (await start()).put(bytes, { sealed: true });
    const blobs = await start(randomBytes(32));
    expect(blobs.has(hash)).toBe(true);
    await expect(collect(blobs.read(hash))).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    expect(blobs.has(hash)).toBe(false);
    await blobs.put(bytes, { sealed: true });
    expect((await collect(blobs.read(hash))).equals(bytes)).toBe(true);
  });

  it('do not open when a bit of them changed', async () => {
    const bytes = plainText(1000);
    const hash = await (await start()).put(bytes, { sealed: true });
    const [path] = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.sealed'));
    const file = await open(join(directory, path!), 'r+');
    await file.write(Buffer.from([0xff]), 0, 1, 200);
    await file.close();
    await expect(collect((await start()).read(hash))).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
  });

  it('take the place of what stood in the clear, and its space', async () => {
    const blobs = await start(sealingKey, 0);
    const bytes = plainText(CHUNK_BYTES + 500);
    const hash = await blobs.put(bytes);
    const half = plainText(3 * CHUNK_BYTES);
    const assembler = await blobs.resume(manifestOf(half));
    await assembler.write(0, chunkOf(half, 0));
    await assembler.abort();
    expect((await disk()).includes(MARK)).toBe(true);
    const reader = blobs.read(hash)[Symbol.asyncIterator]();
    const parts = [(await reader.next()).value as Uint8Array];
    await Promise.all([blobs.seal(hash), blobs.seal(hash)]);
    for (let next = await reader.next(); !next.done; next = await reader.next()) parts.push(next.value);
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    await (await blobs.resume(manifestOf(half), { sealed: true })).abort();
    expect((await disk()).includes(MARK)).toBe(false);
    expect((await collect(blobs.read(hash))).equals(bytes)).toBe(true);
    // Nobody can unseal them by bringing them once more.
    await blobs.put(bytes);
    expect((await disk()).includes(MARK)).toBe(false);
    const before = blobs.usage().diskBytes;
    await blobs.delete(hash);
    expect(before - blobs.usage().diskBytes).toBe(128 + bytes.length + 2 * (32 + 16));
    expect(blobs.usage().contents).toBe(0);
  });

  it('of equal bytes look different each time they are stored', async () => {
    const blobs = await start();
    const bytes = plainText(500);
    const seen = new Set<string>();
    for (let round = 0; round < 2; round++) {
      const hash = await blobs.put(bytes, { sealed: true });
      seen.add((await disk()).toString('latin1'));
      await blobs.delete(hash);
    }
    expect(seen.size).toBe(2);
  });
});
