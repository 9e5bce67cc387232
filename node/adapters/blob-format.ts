import { createHash } from 'node:crypto';
import { PresageError } from '../../protocol/errors.ts';
import type { ContentHash } from '../../protocol/ids.ts';
import { CHUNK_BYTES, type Manifest, type Tier } from '../../protocol/ports.ts';
import { SALT_BYTES, TAG_BYTES } from './blob-cipher.ts';

/**
 * The file of a content: a header of fixed length, the body, the SHA-256 of each chunk of the body.
 *
 *     0  magic "PRSGBLOB"        8
 *     8  version                 u16, little endian as all numbers here
 *    10  tier                    u8   0 disk, 1 memory
 *    11  encoding                u8   0, stored as it is; 1, each chunk sealed, its tag behind it
 *    12  chunk length            u32
 *    16  size of the body        u64
 *    24  SHA-256 of the body     32
 *    56  group                   u32  reserved: companions that are replicated together
 *    60  manifest                u32  reserved: 0, the chunk table stands in this file
 *    64  rules                   u32  reserved
 *    68  salt                    16   of the file's key, if it is sealed
 *    84  zero                    12
 *    96  seal                    32   SHA-256 of bytes 0 … 95 and the chunk table
 *   128  body, then the chunk table
 */
export const HEADER_BYTES = 128;
export const BLOB_VERSION = 1;
const SEALED_BYTES = 96;
const HASH_BYTES = 32;
/** Where the salt stands in the header. */
export const SALT_AT = 68;
const MAGIC = Buffer.from('PRSGBLOB', 'latin1');

export const chunkCount = (size: number): number => Math.ceil(size / CHUNK_BYTES);

/** What is in a file: a content by its hash and length, sealed or as it is. */
export interface BlobName {
  readonly hash: ContentHash;
  readonly size: number;
  readonly sealed: boolean;
}
type Shape = Pick<BlobName, 'size' | 'sealed'>;

const overhead = (sealed: boolean): number => (sealed ? TAG_BYTES : 0);

/** Where chunk `index` begins in its file. */
export const chunkPosition = (index: number, sealed: boolean): number =>
  HEADER_BYTES + index * (CHUNK_BYTES + overhead(sealed));

/** Length of chunk `index` of a content of `size` bytes, in the clear. */
export const chunkLength = (size: number, index: number): number =>
  Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES);

/** Length of that chunk in its file. */
export const storedLength = ({ size, sealed }: Shape, index: number): number =>
  chunkLength(size, index) + overhead(sealed);

/** Where the chunk table begins. */
export const tablePosition = ({ size, sealed }: Shape): number =>
  HEADER_BYTES + size + overhead(sealed) * chunkCount(size);

/** Length of the file that holds a content of `size` bytes. */
export const fileBytes = (shape: Shape): number => tablePosition(shape) + HASH_BYTES * chunkCount(shape.size);

/** A manifest as its file states it. */
export interface Frame extends Manifest {
  /** Salt of the file's key, if it is sealed. */
  readonly salt: Buffer | undefined;
}

export const sha256 = (bytes: Uint8Array): ContentHash =>
  createHash('sha256').update(bytes).digest('hex') as ContentHash;

/** Header and chunk table of a content. */
export function encodeFrame(
  manifest: Manifest,
  tier: Tier,
  salt: Buffer | undefined,
): { header: Buffer; table: Buffer } {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16LE(BLOB_VERSION, 8);
  header.writeUInt8(tier === 'memory' ? 1 : 0, 10);
  header.writeUInt8(salt ? 1 : 0, 11);
  header.writeUInt32LE(CHUNK_BYTES, 12);
  header.writeBigUInt64LE(BigInt(manifest.size), 16);
  header.write(manifest.hash, 24, 'hex');
  salt?.copy(header, SALT_AT);
  const table = Buffer.from(manifest.chunks.join(''), 'hex');
  seal(header, table).copy(header, SEALED_BYTES);
  return { header, table };
}

/** What header and table say, once both have proved whole. Throws `CONTENT_MISMATCH`. */
export function decodeFrame(header: Buffer, table: Buffer, expected: ContentHash): Frame {
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
  const encoding = header.readUInt8(11);
  if (encoding > 1) return damaged('unknown encoding');
  const salt = encoding === 1 ? Buffer.from(header.subarray(SALT_AT, SALT_AT + SALT_BYTES)) : undefined;
  return { hash, size, chunks, salt };
}

function seal(header: Buffer, table: Buffer): Buffer {
  return createHash('sha256').update(header.subarray(0, SEALED_BYTES)).update(table).digest();
}
