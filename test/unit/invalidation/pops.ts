import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import type { Key16, PopId, ResourceKey, SiteId } from '../../../protocol/ids.ts';
import { key16Of } from '../../../protocol/ids.ts';
import { Invalidations, type Purgeable } from '../../../protocol/invalidation.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import { type PurgeScope, purgeSigner, type SignedPurge } from '../../../protocol/purge.ts';

/** The PKCS #8 frame of an Ed25519 private key (RFC 8410); the 32 bytes of the seed follow. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The same key for the same number, every time. */
export function keyOf(n: number): KeyObject {
  const seed = createHash('sha256').update(`pop ${n}`).digest();
  return createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
}

export const popOf = (n: number): PopId => popIdOf(keyOf(n));

export const SITE = 'shop' as SiteId;
export const OTHER_SITE = 'blog' as SiteId;
const SECRETS = new Map<SiteId, Uint8Array>([
  [SITE, new Uint8Array(32).fill(1)],
  [OTHER_SITE, new Uint8Array(32).fill(2)],
]);
export const secretOf = (site: SiteId): Uint8Array | undefined => SECRETS.get(site);

export const keyIn = (text: string, site = SITE): Key16 => key16Of(text as ResourceKey, secretOf(site)!);

export const resource = (text: string, tags: readonly string[] = [], site = SITE): Purgeable => ({
  key: text as ResourceKey,
  key16: keyIn(text, site),
  site,
  tags,
});

export const url = (key: string): PurgeScope => ({ kind: 'url', key: key as ResourceKey });
export const tag = (name: string): PurgeScope => ({ kind: 'tag', tag: name });
export const prefix = (text: string): PurgeScope => ({ kind: 'prefix', prefix: text });

/** The purges of PoP `n`. */
export function invalidationsOf(n: number, maxPurgesPerIssuer?: number): Invalidations {
  return new Invalidations({
    self: popOf(n),
    secretOf,
    sign: purgeSigner(keyOf(n)),
    ...(maxPurgesPerIssuer !== undefined && { maxPurgesPerIssuer }),
  });
}

/** Issues and applies at once, as if the disk took no time. */
export function purgeAt(
  at: Invalidations,
  scope: PurgeScope,
  { soft = false, time = 1, site = SITE } = {},
): SignedPurge {
  const purges = at.prepare(scope, site, soft, { time, counter: 0, pop: at.self });
  for (const purge of purges) at.apply(purge);
  return purges[0]!;
}
