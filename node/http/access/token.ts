import { createHmac, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import type { AccessKey } from '../../../protocol/charter.ts';

/** Longest token that is looked at, characters. */
const TOKEN_MAX = 4096;
/** Paths that one token may name. */
const PATHS_MAX = 64;

/**
 * Bearer tokens: JSON Web Tokens (RFC 7519) in compact form (RFC 7515), signed with HS256 (RFC 7518 §3.2) and with
 * nothing else, as RFC 8725 §3.1 asks: the key decides on the algorithm, not the token.
 */
export interface TokenClaims {
  /** Site that it is for. */
  readonly site: string;
  /** Unix seconds. */
  readonly expires: number;
  /** Paths that it opens, all of the site by default; one that ends in `/` opens all below it. */
  readonly paths?: readonly string[];
}

const headerSchema = v.object({
  alg: v.literal('HS256'),
  kid: v.optional(v.string()),
  // RFC 7515 §4.1.11: an extension that must be understood, and is not, makes the token invalid.
  crit: v.optional(v.never()),
});
const path = v.pipe(v.string(), v.startsWith('/'));
const claimsSchema = v.object({
  aud: v.union([v.string(), v.array(v.string())]),
  exp: v.pipe(v.number(), v.finite()),
  nbf: v.optional(v.pipe(v.number(), v.finite())),
  paths: v.optional(v.pipe(v.array(path), v.maxLength(PATHS_MAX))),
});

export function mintToken(key: AccessKey, { site, expires, paths }: TokenClaims): string {
  const input = `${base64({ alg: 'HS256', typ: 'JWT', kid: key.id })}.${base64({
    aud: site,
    exp: expires,
    ...(paths && { paths }),
  })}`;
  return `${input}.${mac(key, input).toString('base64url')}`;
}

/** Why a token lets nobody in; `outside`: it is good, but not for this path. */
export type TokenFault = 'malformed' | 'unknown-key' | 'mismatch' | 'expired' | 'audience' | 'outside';

/** Whether a token opens a path of a site now. Claims are read only after the signature has proved true. */
export function checkToken(
  token: string,
  keys: readonly AccessKey[],
  site: string,
  resource: string,
  nowSeconds: number,
): TokenFault | undefined {
  const parts = token.split('.');
  const [head, body, signature] = parts;
  if (token.length > TOKEN_MAX || parts.length !== 3 || !COMPACT.test(token)) return 'malformed';
  const header = v.safeParse(headerSchema, parsed(head!));
  if (!header.success) return 'malformed';
  const { kid } = header.output;
  const candidates = kid === undefined ? keys : keys.filter(({ id }) => id === kid);
  if (candidates.length === 0) return 'unknown-key';
  const given = Buffer.from(signature!, 'base64url');
  if (given.length !== 32) return 'malformed';
  const input = `${head}.${body}`;
  if (!candidates.some((key) => timingSafeEqual(mac(key, input), given))) return 'mismatch';
  const claims = v.safeParse(claimsSchema, parsed(body!));
  if (!claims.success) return 'malformed';
  const { aud, exp, nbf, paths } = claims.output;
  if (nowSeconds >= exp || (nbf !== undefined && nowSeconds < nbf)) return 'expired';
  if (!(Array.isArray(aud) ? aud.includes(site) : aud === site)) return 'audience';
  const bare = resource.split('?', 1)[0] ?? '';
  const open = paths?.some((each) => (each.endsWith('/') ? bare.startsWith(each) : bare === each)) ?? true;
  return open ? undefined : 'outside';
}

const COMPACT = /^[\w.-]+$/;
const mac = (key: AccessKey, input: string): Buffer =>
  createHmac('sha256', key.secret).update(input).digest();
const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function parsed(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
