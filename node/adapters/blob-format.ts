import { createHash } from 'node:crypto';
import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import { CHUNK_BYTES, type Manifest, type Tier } from '../../protocol/ports.ts';

/**
 * The file of a content: a header of fixed length, the body, the SHA-256 of each chunk of the body.
 *
 *     0  magic "PRSGBLOB"        8
 *     8  version                 u16, little endian as all numbers here
 *    10  tier                    u8   0 disk, 1 memory
 *    11  encoding                u8   reserved: 0, stored as it is
 *    12  chunk length            u32
 *    16  size of the body        u64
 *    24  SHA-256 of the body     32
 *    56  group                   u32  reserved: companions that are replicated together
 *    60  manifest                u32  reserved: 0, the chunk table stands in this file
 *    64  rules                   u32  reserved
 *    68  zero                    28
 *    96  seal                    32   SHA-256 of bytes 0 … 95 and the chunk table
 *   128  body, then the chunk table
 */
export const HEADER_BYTES = 128;
export const BLOB_VERSION = 1;
const SEALED_BYTES = 96;
const HASH_BYTES = 32;
const MAGIC = Buffer.from('PRSGBLOB', 'latin1');

export const chunkCount = (size: number): number => Math.ceil(size / CHUNK_BYTES);

/** Length of the file that holds a content of `size` bytes. */
export const fileBytes = (size: number): number => HEADER_BYTES + size + HASH_BYTES * chunkCount(size);

export const sha256 = (bytes: Uint8Array): ContentHash =>
  createHash('sha256').update(bytes).digest('hex') as ContentHash;

/** Header and chunk table of a content. */
export function encodeFrame(manifest: Manifest, tier: Tier): { header: Buffer; table: Buffer } {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16LE(BLOB_VERSION, 8);
  header.writeUInt8(tier === 'memory' ? 1 : 0, 10);
  header.writeUInt32LE(CHUNK_BYTES, 12);
  header.writeBigUInt64LE(BigInt(manifest.size), 16);
  header.write(manifest.hash, 24, 'hex');
  const table = Buffer.from(manifest.chunks.join(''), 'hex');
  seal(header, table).copy(header, SEALED_BYTES);
  return { header, table };
}

/** What header and table say, once both have proved whole. Throws `CONTENT_MISMATCH`. */
export function decodeFrame(header: Buffer, table: Buffer, expected: ContentHash): Manifest {
  const damaged = (why: string): never => {
    throw new PresageError('CONTENT_MISMATCH', `Blob ${expected}: ${why}`, { hash: expected });
  };
  if (header.length < HEADER_BYTES || !header.subarray(0, 8).equals(MAGIC)) return damaged('no blob header');
  if (header.readUInt16LE(8) !== BLOB_VERSION) return damaged('unknown blob version');
  if (header.readUInt32LE(12) !== CHUNK_BYTES) return damaged('unknown chunk length');
  if (!seal(header, table).equals(header.subarray(SEALED_BYTES, HEADER_BYTES)))
    return damaged('broken seal of the header');
  const hash = header.toString('hex', 24, 24 + HASH_BYTES) as ContentHash;
  if (hash !== expected) return damaged('header of another content');
  const size = Number(header.readBigUInt64LE(16));
  const chunks: ContentHash[] = [];
  for (let at = 0; at < table.length; at += HASH_BYTES)
    chunks.push(table.toString('hex', at, at + HASH_BYTES) as ContentHash);
  if (chunks.length !== chunkCount(size)) return damaged('chunk table of another length');
  return { hash, size, chunks };
}

function seal(header: Buffer, table: Buffer): Buffer {
  return createHash('sha256').update(header.subarray(0, SEALED_BYTES)).update(table).digest();
}
