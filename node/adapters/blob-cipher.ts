import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { PresageError } from '../../protocol/errors.ts';

/** What sealing adds to each chunk: the tag of AES-GCM. */
export const TAG_BYTES = 16;
/** Salt of a file's key; stands in its header. */
export const SALT_BYTES = 16;
const NONCE_BYTES = 12;

/**
 * Seals the chunks of one file: AES-256-GCM (NIST SP 800-38D) under a key of the file's own, which HKDF-SHA-256
 * (RFC 5869) makes of the store's key and a random salt. The nonce is the chunk's index: unique, since no two files
 * share a key and a chunk that is written again has, by its hash, the same bytes.
 */
export class ChunkCipher {
  readonly salt: Buffer;
  readonly #key: Buffer;

  constructor(storeKey: Uint8Array, salt: Buffer = randomBytes(SALT_BYTES)) {
    this.salt = salt;
    this.#key = Buffer.from(hkdfSync('sha256', storeKey, salt, 'presage/blob-file/1', 32));
  }

  /** The sealed chunk, `TAG_BYTES` longer than the plain one. */
  seal(index: number, plain: Uint8Array): Buffer {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce(index), { authTagLength: TAG_BYTES });
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** The plain chunk. Fails with `CONTENT_MISMATCH` if it was not sealed so, or with another key. */
  open(index: number, sealed: Buffer): Buffer {
    const end = sealed.length - TAG_BYTES;
    try {
      const cipher = createDecipheriv('aes-256-gcm', this.#key, nonce(index), { authTagLength: TAG_BYTES });
      cipher.setAuthTag(sealed.subarray(end));
      const plain = Buffer.allocUnsafeSlow(end);
      cipher.update(sealed.subarray(0, end)).copy(plain);
      cipher.final();
      return plain;
    } catch (error) {
      throw new PresageError('CONTENT_MISMATCH', 'A sealed chunk does not open with this key', {}, error);
    }
  }
}

function nonce(index: number): Buffer {
  const bytes = Buffer.alloc(NONCE_BYTES);
  bytes.writeUInt32BE(index, NONCE_BYTES - 4);
  return bytes;
}
