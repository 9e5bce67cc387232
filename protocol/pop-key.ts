import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';
import { PresageError } from './errors.ts';
import type { PopId } from './ids.ts';

/**
 * Ed25519 keys (RFC 8032) and the peer ids made of them. A libp2p peer id of an Ed25519 key is the identity
 * multihash of the key's protobuf, so that either can be computed from the other without libp2p.
 */

/** Identity multihash (0x00) of 36 bytes (0x24): protobuf `{ Type: Ed25519 (1), Data: 32 bytes }`. */
const PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20);
const KEY_BYTES = 32;
const POP_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/;

/** The 32 bytes of an Ed25519 public key; takes the private or the public half. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const raw = Buffer.from(x ?? '', 'base64url');
  if (key.asymmetricKeyType !== 'ed25519' || raw.length !== KEY_BYTES) {
    throw new PresageError('ADMIT_CERTIFICATE', 'the key is not an Ed25519 key');
  }
  return new Uint8Array(raw);
}

/** The public key object of 32 raw bytes. */
export function publicKeyFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== KEY_BYTES) throw new PresageError('ADMIT_CERTIFICATE', 'a public key has 32 bytes');
  const x = Buffer.from(raw).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

/** The peer id of a key. */
export function popIdOf(key: KeyObject | Uint8Array): PopId {
  const raw = key instanceof Uint8Array ? key : rawPublicKey(key);
  const multihash = new Uint8Array(PREFIX.length + KEY_BYTES);
  multihash.set(PREFIX);
  multihash.set(raw, PREFIX.length);
  return base58btc.baseEncode(multihash) as PopId;
}

/** The 32 raw bytes of the public key in a peer id. Fails with `ADMIT_IDENTITY`. */
export function publicKeyOf(pop: PopId): Uint8Array {
  if (!POP_ID.test(pop)) throw new PresageError('ADMIT_IDENTITY', 'not the peer id of an Ed25519 key');
  const multihash = base58btc.baseDecode(pop);
  if (multihash.length !== PREFIX.length + KEY_BYTES || PREFIX.some((byte, i) => multihash[i] !== byte)) {
    throw new PresageError('ADMIT_IDENTITY', 'not the peer id of an Ed25519 key');
  }
  return multihash.slice(PREFIX.length);
}

/** What is signed: the domain, a zero byte, the body. No domain is a prefix of another document's bytes. */
function message(domain: string, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(domain), Uint8Array.of(0), body]);
}

/** Ed25519 signature of `body` under a domain, 64 bytes. */
export function signBody(domain: string, body: Uint8Array, key: KeyObject): Uint8Array {
  return new Uint8Array(sign(null, message(domain, body), key));
}

/** Whether `signature` over the bytes as sent is by `publicKey` (32 raw bytes). Never throws on hostile input. */
export function verifyBody(
  domain: string,
  body: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (signature.length !== 64) return false;
  try {
    return verify(null, message(domain, body), publicKeyFromRaw(publicKey), signature);
  } catch {
    return false;
  }
}
