import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ContentHash } from '../../../protocol/ids.ts';
import { type Blobs, CHUNK_BYTES, type Manifest } from '../../../protocol/ports.ts';

/** A store under test, and a way to open the same one again as after a restart. */
export interface BlobsUnderTest {
  open(): Promise<Blobs>;
  clean(): Promise<void>;
}

export const sha256Of = (bytes: Uint8Array): ContentHash =>
  createHash('sha256').update(bytes).digest('hex') as ContentHash;

export function manifestOf(bytes: Uint8Array): Manifest {
  const chunks: ContentHash[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    chunks.push(sha256Of(bytes.subarray(at, at + CHUNK_BYTES)));
  return { hash: sha256Of(bytes), size: bytes.length, chunks };
}

export const chunkOf = (bytes: Uint8Array, index: number): Uint8Array =>
  bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);

export async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}

/** What every implementation of the `Blobs` port holds to. */
export function blobsContract(name: string, prepare: () => Promise<BlobsUnderTest>): void {
  describe(`Blobs contract: ${name}`, () => {
    let under: BlobsUnderTest;
    let blobs: Blobs;
    beforeEach(async () => {
      under = await prepare();
      blobs = await under.open();
    });
    afterEach(async () => {
      await blobs.close();
      await under.clean();
    });
    const sizes = [0, 1, 10_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17];

    it.each(sizes)('gives back %i bytes under their SHA-256, also after a restart', async (size) => {
      const bytes = randomBytes(size);
      const hash = await blobs.put(bytes);
      expect(hash).toBe(sha256Of(bytes));
      for (let round = 0; round < 2; round++) {
        expect(blobs.has(hash)).toBe(true);
        expect(blobs.size(hash)).toBe(size);
        expect((await collect(blobs.read(hash))).equals(bytes)).toBe(true);
        expect(await blobs.chunkHashes(hash)).toEqual(manifestOf(bytes).chunks);
        await blobs.close();
        blobs = await under.open();
      }
    });

    it('reads any range, in pieces of at most a chunk', async () => {
      const bytes = randomBytes(2 * CHUNK_BYTES + 999);
      const hash = await blobs.put(bytes);
      const cuts = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, bytes.length];
      for (const start of cuts)
        for (const end of cuts) {
          const pieces: Uint8Array[] = [];
          for await (const piece of blobs.read(hash, start, end)) pieces.push(piece);
          expect(pieces.every((piece) => piece.length <= CHUNK_BYTES)).toBe(true);
          expect(Buffer.concat(pieces).equals(bytes.subarray(start, Math.max(start, end)))).toBe(true);
        }
    });

    it('streams unknown content in, whatever the pieces', async () => {
      const bytes = randomBytes(2 * CHUNK_BYTES + 5);
      const writer = await blobs.create();
      for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7) % 100_003)
        await writer.write(bytes.subarray(at, at + step));
      const stored = await writer.finish();
      expect(stored).toEqual({ ...manifestOf(bytes) });
      expect((await collect(blobs.read(stored.hash))).equals(bytes)).toBe(true);
    });

    it('shows nothing of a writer that was called off', async () => {
      const writer = await blobs.create();
      await writer.write(randomBytes(CHUNK_BYTES + 1));
      await writer.abort();
      expect([...blobs.list()]).toEqual([]);
      expect(blobs.usage().diskBytes).toBe(0);
    });

    it('keeps one copy of what is stored twice at once', async () => {
      const bytes = randomBytes(5000);
      const [first, second] = await Promise.all([blobs.put(bytes), blobs.put(bytes)]);
      expect(first).toBe(second);
      expect(blobs.usage().contents).toBe(1);
      const before = blobs.usage().diskBytes;
      await blobs.put(bytes);
      expect(blobs.usage().diskBytes).toBe(before);
    });

    it('forgets what is deleted, and can store it again', async () => {
      const bytes = randomBytes(5000);
      const hash = await blobs.put(bytes);
      await Promise.all([blobs.delete(hash), blobs.put(bytes)]);
      await blobs.delete(hash);
      expect(blobs.has(hash)).toBe(false);
      expect(blobs.peek(hash)).toBeUndefined();
      await expect(collect(blobs.read(hash))).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
      expect(blobs.usage()).toMatchObject({ contents: 0, diskBytes: 0, memoryBytes: 0 });
      expect(await blobs.put(bytes)).toBe(hash);
      expect((await collect(blobs.read(hash))).equals(bytes)).toBe(true);
    });

    it('goes on serving a reader while the content is deleted', async () => {
      const bytes = randomBytes(4 * CHUNK_BYTES);
      const hash = await blobs.put(bytes);
      const reader = blobs.read(hash)[Symbol.asyncIterator]();
      const parts = [(await reader.next()).value as Uint8Array];
      await blobs.delete(hash);
      for (let next = await reader.next(); !next.done; next = await reader.next()) parts.push(next.value);
      expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    });

    it('moves contents to and from memory', async () => {
      const bytes = randomBytes(CHUNK_BYTES * 2);
      const hash = await blobs.put(bytes);
      await blobs.setTier(hash, 'memory');
      expect(Buffer.from(blobs.peek(hash) ?? []).equals(bytes)).toBe(true);
      expect([...blobs.list()]).toEqual([{ hash, size: bytes.length, tier: 'memory' }]);
      await blobs.setTier(hash, 'disk');
      expect(blobs.peek(hash)).toBeUndefined();
      expect((await collect(blobs.read(hash))).equals(bytes)).toBe(true);
    });

    it('assembles known content from chunks in any order', async () => {
      const bytes = randomBytes(3 * CHUNK_BYTES + 100);
      const manifest = manifestOf(bytes);
      const assembler = await blobs.resume(manifest);
      expect(assembler.missing()).toEqual([0, 1, 2, 3]);
      for (const index of [2, 0, 3, 1]) await assembler.write(index, chunkOf(bytes, index));
      expect(blobs.has(manifest.hash)).toBe(false);
      await assembler.finish();
      expect((await collect(blobs.read(manifest.hash))).equals(bytes)).toBe(true);
      expect((await blobs.resume(manifest)).missing()).toEqual([]);
    });

    it('refuses a chunk that is not what the manifest says, and stays usable', async () => {
      const bytes = randomBytes(CHUNK_BYTES + 10);
      const manifest = manifestOf(bytes);
      const assembler = await blobs.resume(manifest);
      const wrong = Buffer.from(chunkOf(bytes, 0));
      wrong[17] = wrong[17]! ^ 1;
      await expect(assembler.write(0, wrong)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
      await expect(assembler.write(0, chunkOf(bytes, 1))).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
      await expect(assembler.write(7, chunkOf(bytes, 1))).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
      await expect(assembler.finish()).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
      await assembler.write(1, chunkOf(bytes, 1));
      await assembler.write(0, chunkOf(bytes, 0));
      await assembler.finish();
      expect(blobs.has(manifest.hash)).toBe(true);
    });

    it('refuses chunks that fit their manifest when the manifest lies about the whole', async () => {
      const bytes = randomBytes(CHUNK_BYTES + 10);
      const lie = { ...manifestOf(bytes), hash: sha256Of(randomBytes(4)) };
      const assembler = await blobs.resume(lie);
      await assembler.write(0, chunkOf(bytes, 0));
      await assembler.write(1, chunkOf(bytes, 1));
      await expect(assembler.finish()).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
      expect(blobs.has(lie.hash)).toBe(false);
      expect(blobs.usage().diskBytes).toBe(0);
    });

    it('resumes after a restart with the chunks that were written', async () => {
      const bytes = randomBytes(4 * CHUNK_BYTES + 3);
      const manifest = manifestOf(bytes);
      const first = await blobs.resume(manifest);
      await first.write(0, chunkOf(bytes, 0));
      await first.write(2, chunkOf(bytes, 2));
      await blobs.close();
      blobs = await under.open();
      expect([...blobs.list()]).toEqual([]);
      const second = await blobs.resume(manifest);
      expect(second.missing()).toEqual([1, 3, 4]);
      for (const index of second.missing()) await second.write(index, chunkOf(bytes, index));
      await second.finish();
      expect((await collect(blobs.read(manifest.hash))).equals(bytes)).toBe(true);
    });

    it('goes on for one of two who put together the same when the other gives up', async () => {
      const bytes = randomBytes(2 * CHUNK_BYTES);
      const manifest = manifestOf(bytes);
      const [one, two] = [await blobs.resume(manifest), await blobs.resume(manifest)];
      await one.write(0, chunkOf(bytes, 0));
      await one.abort();
      await one.abort();
      for (const index of two.missing()) await two.write(index, chunkOf(bytes, index));
      await two.finish();
      expect((await collect(blobs.read(manifest.hash))).equals(bytes)).toBe(true);
    });

    it('begins again for one who comes in the moment in which the last gives up', async () => {
      const bytes = randomBytes(2 * CHUNK_BYTES);
      const manifest = manifestOf(bytes);
      const one = await blobs.resume(manifest);
      await one.write(0, chunkOf(bytes, 0));
      const ended = one.abort();
      const two = await blobs.resume(manifest);
      await ended;
      expect(two.missing()).toEqual([1]);
      await two.write(1, chunkOf(bytes, 1));
      await two.finish();
      expect((await collect(blobs.read(manifest.hash))).equals(bytes)).toBe(true);
    });

    it('assembles a content after a manifest that lied about its length or its chunks was given up', async () => {
      const bytes = randomBytes(2 * CHUNK_BYTES - 50);
      const manifest = manifestOf(bytes);
      const [first, second] = manifest.chunks as [ContentHash, ContentHash];
      const liesOf = [
        { ...manifest, size: manifest.size - 7 },
        { ...manifest, chunks: [first, sha256Of(randomBytes(4))] },
        { ...manifest, chunks: [second, first] },
      ];
      for (const lie of liesOf) {
        const assembler = await blobs.resume(lie);
        await assembler.write(0, chunkOf(bytes, 0)).catch(() => undefined);
        await expect(assembler.write(1, chunkOf(bytes, 1))).rejects.toMatchObject({
          code: 'CONTENT_MISMATCH',
        });
        await assembler.abort();
      }
      const assembler = await blobs.resume(manifest);
      for (const index of assembler.missing()) await assembler.write(index, chunkOf(bytes, index));
      await assembler.finish();
      expect((await collect(blobs.read(manifest.hash))).equals(bytes)).toBe(true);
    });

    it('refuses manifests that contradict themselves or are too large', async () => {
      const manifest = manifestOf(randomBytes(CHUNK_BYTES + 10));
      for (const bad of [
        { ...manifest, size: manifest.size + CHUNK_BYTES },
        { ...manifest, chunks: manifest.chunks.slice(1) },
        { ...manifest, hash: 'zz' as ContentHash },
        { ...manifest, size: -1, chunks: [] },
        { ...manifest, size: 0.5 },
      ])
        await expect(blobs.resume(bad)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
      const huge = { ...manifest, size: Number.MAX_SAFE_INTEGER };
      await expect(blobs.resume(huge)).rejects.toMatchObject({ code: 'CONTENT_TOO_LARGE' });
    });
  });
}
