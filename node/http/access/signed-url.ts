import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AccessKey } from '../../../protocol/charter.ts';

/** Names of the query parameters that sign a URL. They are no part of what is asked for, nor of any key. */
export const EXPIRES = 'presage-expires';
export const KEY = 'presage-key';
export const PREFIX = 'presage-prefix';
export const SIGNATURE = 'presage-signature';
export const OWN_PARAMETERS: ReadonlySet<string> = new Set([EXPIRES, KEY, PREFIX, SIGNATURE]);

/** What a signature covers: one resource (path and query), or all below a path that ends in `/`. */
export type Scope = { readonly path: string } | { readonly prefix: string };

/** What the signature parameters of a request say; nothing of it is to be believed yet. */
export interface SignatureClaim {
  readonly keyId: string;
  /** Unix seconds. */
  readonly expires: number;
  readonly prefix: string | undefined;
  readonly signature: Buffer;
}

/**
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4) over host, scope, expiry and key id in canonical form, one a line: the same for
 * GET and HEAD, and for every spelling of the URL that means the same resource.
 */
export function signatureOf(key: AccessKey, host: string, scope: Scope, expires: number): Buffer {
  const covered = 'prefix' in scope ? `^${scope.prefix}` : `=${scope.path}`;
  return createHmac('sha256', key.secret)
    .update(`presage-url/1\n${host}\n${covered}\n${expires}\n${key.id}`)
    .digest();
}

/** The parameters that sign a resource or a prefix until `expires` (Unix seconds), as they stand in the query. */
export function signatureQuery(key: AccessKey, host: string, scope: Scope, expires: number): string {
  const signature = signatureOf(key, host, scope, expires).toString('base64url');
  const prefix =
    'prefix' in scope ? `${PREFIX}=${encodeURIComponent(scope.prefix).replaceAll('%2F', '/')}&` : '';
  return `${prefix}${EXPIRES}=${expires}&${KEY}=${key.id}&${SIGNATURE}=${signature}`;
}

/**
 * The signature parameters of a request target: `undefined` if it has none, `'malformed'` if they are incomplete,
 * repeated or unreadable.
 */
export function signatureClaim(target: string): SignatureClaim | 'malformed' | undefined {
  const mark = target.indexOf('?');
  if (mark < 0 || !MENTIONED.test(target)) return undefined;
  const found = new Map<string, string>();
  for (const part of target.slice(mark + 1).split('&')) {
    const equals = part.indexOf('=');
    const name = (equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    if (!OWN_PARAMETERS.has(name)) continue;
    if (found.has(name)) return 'malformed';
    found.set(name, equals < 0 ? '' : part.slice(equals + 1));
  }
  if (found.size === 0) return undefined;
  const [expires, keyId, signature] = [found.get(EXPIRES), found.get(KEY), found.get(SIGNATURE)];
  const prefix = decoded(found.get(PREFIX));
  if (expires === undefined || !/^\d{1,11}$/.test(expires)) return 'malformed';
  if (keyId === undefined || signature === undefined || !/^[\w-]{43}$/.test(signature)) return 'malformed';
  // A prefix that ends within a name would also cover the names that merely begin alike.
  if (found.has(PREFIX) && (prefix === undefined || !/^\/(.*\/)?$/.test(prefix))) return 'malformed';
  return { keyId, expires: Number(expires), prefix, signature: Buffer.from(signature, 'base64url') };
}
const MENTIONED = /presage-/i;

function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Why a signature lets nobody in. */
export type SignatureFault = 'unknown-key' | 'mismatch' | 'expired' | 'outside';

/**
 * Whether a claim covers a resource now. The signature is compared in constant time and before anything else that it
 * covers is looked at. `path` is the canonical path with its query.
 */
export function checkSignature(
  claim: SignatureClaim,
  keys: readonly AccessKey[],
  host: string,
  path: string,
  nowSeconds: number,
): SignatureFault | undefined {
  const key = keys.find(({ id }) => id === claim.keyId);
  if (!key) return 'unknown-key';
  const { prefix, expires } = claim;
  const expected = signatureOf(key, host, prefix === undefined ? { path } : { prefix }, expires);
  if (!timingSafeEqual(expected, claim.signature)) return 'mismatch';
  if (nowSeconds >= expires) return 'expired';
  return prefix === undefined || path.startsWith(prefix) ? undefined : 'outside';
}
