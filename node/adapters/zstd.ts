import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { PresageError } from '../../protocol/errors.ts';
import type { Compressor } from '../../protocol/ports.ts';

/** Below this size the frame's overhead and the call outweigh what is saved, bytes. */
const WORTH_BYTES = 1_024;
/** A chunk must shrink by an eighth, or the reader's time to expand it is not paid for. */
const WORTH_SHARE = 7 / 8;

/** zstd level 1 (RFC 8878): about 500 MB/s here, so a chunk costs the main thread half a millisecond. */
export const zstd: Compressor = {
  compress(bytes) {
    if (bytes.length < WORTH_BYTES) return undefined;
    const packed = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    return packed.length <= bytes.length * WORTH_SHARE ? packed : undefined;
  },
  expand(bytes, maxBytes) {
    try {
      return zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, maxBytes) });
    } catch (error) {
      throw new PresageError('CONTENT_MISMATCH', 'a compressed chunk does not expand', {}, error);
    }
  },
};
