import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A PoP's libp2p peer id (Ed25519, base58btc text such as `12D3KooW…`). */
export type PopId = Brand<string, 'PopId'>;

/**
 * The first 16 bytes of HMAC-SHA-256(site secret, canonical key), as 32 lower-case hex digits in memory and
 * 16 bytes on the wire. Hex keeps byte order, so comparing two `Key16` as strings equals `Buffer.compare`.
 */
export type Key16 = Brand<string, 'Key16'>;

/** SHA-256 of content, as 64 lower-case hex digits in memory and 32 bytes on the wire. */
export type ContentHash = Brand<string, 'ContentHash'>;

/** Where clients are; a name from the charter, at most 32 characters of `a-z 0-9 -`. */
export type RegionId = Brand<string, 'RegionId'>;

/** A site of the charter, by name. */
export type SiteId = Brand<string, 'SiteId'>;

/** Canonical resource key: `host/path?query` after the site's normalisation. */
export type ResourceKey = Brand<string, 'ResourceKey'>;

const KEY16 = /^[0-9a-f]{32}$/;
const CONTENT_HASH = /^[0-9a-f]{64}$/;
const REGION = /^[a-z0-9][a-z0-9-]{0,31}$/;

const secretKeys = new WeakMap<Uint8Array, KeyObject>();
/** A secret as HMAC takes it without looking at it anew; it must not change any more. */
export function secretKeyOf(secret: Uint8Array): KeyObject {
  let key = secretKeys.get(secret);
  if (!key) {
    key = createSecretKey(secret);
    secretKeys.set(secret, key);
  }
  return key;
}

/** The anonymous name under which a resource travels in gossip and decisions. */
export function key16Of(key: ResourceKey, siteSecret: Uint8Array): Key16 {
  return createHmac('sha256', secretKeyOf(siteSecret)).update(key).digest('hex').slice(0, 32) as Key16;
}

export const isKey16 = (text: string): text is Key16 => KEY16.test(text);
export const isContentHash = (text: string): text is ContentHash => CONTENT_HASH.test(text);
export const isRegionId = (text: string): text is RegionId => REGION.test(text);

export const key16FromBytes = (bytes: Uint8Array): Key16 => Buffer.from(bytes).toString('hex') as Key16;
export const contentHashFromBytes = (bytes: Uint8Array): ContentHash =>
  Buffer.from(bytes).toString('hex') as ContentHash;
/** Wire form of any hex id (`Key16`, `ContentHash`). */
export const idBytes = (id: Key16 | ContentHash): Uint8Array => Buffer.from(id, 'hex');
