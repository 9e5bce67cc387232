import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { PresageError } from '../../../protocol/errors.ts';
import type { NameKey } from '../name.ts';

/** ECDSA on P-256 with SHA-256 (RFC 6605). */
export const ALGORITHM = 13;
/** Digest of DS and CDS records: SHA-256 (RFC 4509). */
const DIGEST = 2;
/** Zone key and secure entry point: one key signs all, the keys too (RFC 4034 §2.1.1). */
const FLAGS = 257;
const PROTOCOL = 3;

/** The key of a zone, the same at every PoP. */
export class ZoneKey {
  /** Data of its DNSKEY record. */
  readonly dnskey: Uint8Array;
  /** Tells keys of one zone apart at a glance (RFC 4034 appendix B). */
  readonly tag: number;
  readonly #key: KeyObject;

  /** Takes a private key in PEM. Fails with `CONFIG_INVALID`, `what` named. */
  constructor(pem: string, what: string) {
    try {
      this.#key = createPrivateKey(pem);
    } catch (error) {
      throw new PresageError('CONFIG_INVALID', `${what}: no private key in PEM`, {}, error);
    }
    const { crv, x, y } = this.#key.export({ format: 'jwk' });
    if (crv !== 'P-256' || x === undefined || y === undefined) {
      throw new PresageError('CONFIG_INVALID', `${what}: the key is not of ECDSA on P-256`);
    }
    const point = Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
    this.dnskey = Uint8Array.from([FLAGS >> 8, FLAGS & 255, PROTOCOL, ALGORITHM, ...point]);
    this.tag = keyTag(this.dnskey);
  }

  /** A new private key in PEM. */
  static generate(): string {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  }

  /** Signature as it stands in an RRSIG record: two numbers of 32 bytes (RFC 6605 §4). */
  sign(bytes: Uint8Array): Uint8Array {
    return sign('sha256', bytes, { key: this.#key, dsaEncoding: 'ieee-p1363' });
  }

  /** Data of the DS record that the parent of a zone holds (RFC 4034 §5.1). */
  ds(apex: NameKey): Uint8Array {
    const digest = createHash('sha256').update(Buffer.from(apex, 'latin1')).update(this.dnskey).digest();
    return Uint8Array.from([this.tag >> 8, this.tag & 255, ALGORITHM, DIGEST, ...digest]);
  }
}

/** RFC 4034 appendix B. */
export function keyTag(dnskey: Uint8Array): number {
  let sum = 0;
  dnskey.forEach((byte, at) => {
    sum += at & 1 ? byte : byte << 8;
  });
  return (sum + ((sum >> 16) & 0xffff)) & 0xffff;
}

/** DS and DNSKEY records in presentation format, for the parent zone's keeper. */
export function printKey(name: string, apex: NameKey, key: ZoneKey): { ds: string; dnskey: string } {
  const hex = Buffer.from(key.ds(apex).subarray(4)).toString('hex').toUpperCase();
  const base64 = Buffer.from(key.dnskey.subarray(4)).toString('base64');
  return {
    ds: `${name} IN DS ${key.tag} ${ALGORITHM} ${DIGEST} ${hex}`,
    dnskey: `${name} IN DNSKEY ${FLAGS} ${PROTOCOL} ${ALGORITHM} ${base64}`,
  };
}
