import {
  createHash,
  createHmac,
  sign as ed25519Sign,
  verify as ed25519Verify,
  type KeyObject,
} from 'node:crypto';
import * as v from 'valibot';
import { PresageError } from './errors.ts';
import { isKey16, type Key16, key16Of, type PopId, type ResourceKey, secretKeyOf } from './ids.ts';
import { publicKeyFromRaw, publicKeyOf } from './pop-key.ts';
import type { Stamp } from './replica.ts';
import { decode, encode, type MessageSpec } from './wire/codec.ts';
import { bytes, popId, uint } from './wire/schemas.ts';

/** Longest prefix that can be purged, characters: as long as the longest key that the edge accepts. */
export const MAX_PREFIX_LENGTH = 8192;
/** Longest surrogate key, characters: what common caches accept. */
export const MAX_TAG_LENGTH = 1024;
/** A signed record on the wire or on disk, bytes; a real one takes about 130. */
export const MAX_PURGE_BYTES = 512;

/** Purges and only purges are signed under this prefix, so that no other signature passes for one. */
const DOMAIN = Buffer.from('presage purge 1\0', 'latin1');
const SIGNATURE_BYTES = 64;
const FORMAT = 1;
const KINDS = ['url', 'tag', 'prefix'] as const;

export type PurgeKind = (typeof KINDS)[number];

/** What an operator asks to purge, in clear: a canonical key, a surrogate key, or the beginning of canonical keys. */
export type PurgeScope =
  | { readonly kind: 'url'; readonly key: ResourceKey }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'prefix'; readonly prefix: string };

/**
 * What travels instead of names: keyed hashes under the site's secret, which only PoPs that know the site can
 * match. 32 hex digits each, `site` 16.
 */
export interface PurgeTarget {
  readonly kind: PurgeKind;
  readonly site: string;
  readonly scope: string;
  /** Characters of the prefix; 0 for the other kinds. */
  readonly length: number;
}

/** One purge, numbered by its issuer. Hard: content is gone; soft: stale until the origin has confirmed it. */
export interface Purge {
  readonly issuer: PopId;
  /** Rises with every purge of the issuer; not without gaps. */
  readonly seq: number;
  readonly target: PurgeTarget;
  readonly soft: boolean;
  /** When it was issued, for display alone. */
  readonly stamp: Stamp;
}

/** A purge with the very bytes that its issuer signed. */
export interface SignedPurge extends Purge {
  readonly bytes: Uint8Array;
  readonly signature: Uint8Array;
  /** First 8 bytes of SHA-256 of `bytes`, 16 hex digits. */
  readonly id: string;
}

/** Signs with the PoP's own Ed25519 key. */
export type Sign = (bytes: Uint8Array) => Uint8Array;
/** Whether `signature` over `bytes` is by `pop`, and `pop` is one whose purges count. */
export type Verify = (pop: PopId, bytes: Uint8Array, signature: Uint8Array) => boolean;

/** Signs with a PoP's private key. */
export const purgeSigner =
  (key: KeyObject): Sign =>
  (bytes) =>
    new Uint8Array(ed25519Sign(null, bytes, key));

/** Keys of issuers that are kept decoded; making one costs as much as a verification. */
const MAX_KEYS = 1024;

/** Verifies under the key that a peer id holds; `counts` says whose purges count at all. */
export function purgeVerifier(counts: (pop: PopId) => boolean): Verify {
  const keys = new Map<PopId, KeyObject>();
  return (pop, bytes, signature) => {
    if (!counts(pop)) return false;
    try {
      let key = keys.get(pop);
      if (!key) {
        key = publicKeyFromRaw(publicKeyOf(pop));
        if (keys.size >= MAX_KEYS) keys.clear();
        keys.set(pop, key);
      }
      return ed25519Verify(null, bytes, key, signature);
    } catch {
      return false;
    }
  };
}

const SPEC = {
  name: 'purge record',
  maxBytes: MAX_PURGE_BYTES - SIGNATURE_BYTES,
  depth: 1,
  elements: 16,
  schema: v.strictTuple([
    v.literal(FORMAT),
    popId,
    uint(),
    uint(KINDS.length - 1),
    bytes(8, 8),
    bytes(16, 16),
    uint(MAX_PREFIX_LENGTH),
    uint(1),
    uint(),
    uint(2 ** 32 - 1),
  ]),
} satisfies MessageSpec<v.GenericSchema>;

const hex = (data: Uint8Array) => Buffer.from(data).toString('hex');
const unhex = (text: string) => Buffer.from(text, 'hex');
const signed = (body: Uint8Array) => Buffer.concat([DOMAIN, body]);

/** The anonymous names of one site's scopes. */
export class SiteScopes {
  readonly secret: Uint8Array;
  readonly site: string;

  constructor(secret: Uint8Array) {
    this.secret = secret;
    this.site = this.#hash('site', '').slice(0, 16);
  }

  /** Tags compare byte for byte; surrogate keys have no case rule. */
  tag(tag: string): string {
    return this.#hash('tag', tag);
  }

  prefix(prefix: string): string {
    return this.#hash('prefix', prefix);
  }

  /** Fails with `RPC_PARAMS` if the scope is empty or too long. */
  target(scope: PurgeScope): PurgeTarget {
    const site = this.site;
    switch (scope.kind) {
      case 'url':
        return { kind: 'url', site, scope: key16Of(scope.key, this.secret), length: 0 };
      case 'tag':
        if (scope.tag.length === 0 || scope.tag.length > MAX_TAG_LENGTH) {
          throw new PresageError('RPC_PARAMS', `a tag has 1 to ${MAX_TAG_LENGTH} characters`);
        }
        return { kind: 'tag', site, scope: this.tag(scope.tag), length: 0 };
      case 'prefix':
        if (scope.prefix.length > MAX_PREFIX_LENGTH) {
          throw new PresageError('RPC_PARAMS', `a prefix has at most ${MAX_PREFIX_LENGTH} characters`);
        }
        return {
          kind: 'prefix',
          site,
          scope: this.prefix(scope.prefix),
          length: scope.prefix.length,
        };
    }
  }

  /** A NUL separates the hash domains from each other and from `key16Of`, whose keys hold no NUL. */
  #hash(kind: string, text: string): string {
    return createHmac('sha256', secretKeyOf(this.secret))
      .update(`\0${kind}\0${text}`)
      .digest('hex')
      .slice(0, 32);
  }
}

/** Encodes and signs a purge; these bytes are what is stored, sent and verified ever after. */
export function signPurge(purge: Purge, sign: Sign): SignedPurge {
  const body = encode([
    FORMAT,
    purge.issuer,
    purge.seq,
    KINDS.indexOf(purge.target.kind),
    unhex(purge.target.site),
    unhex(purge.target.scope),
    purge.target.length,
    purge.soft ? 1 : 0,
    purge.stamp.time,
    purge.stamp.counter,
  ]);
  return { ...purge, bytes: body, signature: sign(signed(body)), id: purgeId(body) };
}

export const purgeId = (body: Uint8Array): string =>
  createHash('sha256').update(body).digest('hex').slice(0, 16);

/** Reads a record and checks its signature. Fails with `WIRE_*`. */
export function openPurge(body: Uint8Array, signature: Uint8Array, verify: Verify): SignedPurge {
  const purge = readPurge(body, signature);
  if (signature.length !== SIGNATURE_BYTES || !verify(purge.issuer, signed(body), signature)) {
    throw new PresageError('WIRE_SIGNATURE', `a purge in the name of ${purge.issuer} is not signed by it`);
  }
  return purge;
}

/** Reads a record whose signature was checked before it was stored. Fails with `WIRE_*`. */
export function readPurge(body: Uint8Array, signature: Uint8Array): SignedPurge {
  const [, issuer, seq, kind, site, scope, length, soft, time, counter] = decode(body, SPEC);
  const target: PurgeTarget = { kind: KINDS[kind]!, site: hex(site), scope: hex(scope), length };
  if (target.kind !== 'prefix' && length !== 0) {
    throw new PresageError('WIRE_SCHEMA', 'only the purge of a prefix has a length');
  }
  return {
    issuer,
    seq,
    target,
    soft: soft === 1,
    stamp: { time, counter, pop: issuer },
    bytes: body,
    signature,
    id: purgeId(body),
  };
}

/** The key16 that a URL purge names. */
export function key16OfPurge(purge: Purge): Key16 | undefined {
  const { kind, scope } = purge.target;
  return kind === 'url' && isKey16(scope) ? scope : undefined;
}
