import { type Site, siteAllows } from '../../../protocol/charter.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { Resolved } from '../context.ts';
import type { EdgeRequest } from '../request.ts';
import { checkSignature, type SignatureFault, signatureClaim } from './signed-url.ts';
import { checkToken, type TokenFault } from './token.ts';

/** Methods that a private site answers: what signs a URL says nothing of changing what is behind it. */
const METHODS = new Set(['GET', 'HEAD']);

const SIGNATURE_FAULTS: Record<SignatureFault, string> = {
  'unknown-key': 'The URL is signed with a key that is not in force',
  mismatch: 'The signature does not fit the URL',
  expired: 'The signed URL has expired',
  outside: 'The signature covers another path',
};
const TOKEN_FAULTS: Record<Exclude<TokenFault, 'outside'>, string> = {
  malformed: 'The token cannot be read',
  'unknown-key': 'The token is signed with a key that is not in force',
  mismatch: 'The signature of the token is wrong',
  expired: 'The token is not in force now',
  audience: 'The token is for another site',
};

/**
 * Lets a request for a private site pass, or throws `HTTP_FORBIDDEN` with the status and the challenge to answer with:
 * 421 where this PoP may not hold the site, 401 without credentials or with a bad token (RFC 6750 §3), 403 with a bad
 * signature or a token for other paths. A token of ours ends here: neither the origin nor the cache sees it, so that
 * RFC 9111 §3.5 does not apply to what it opened.
 *
 * @param now real Unix ms
 */
export function admitPrivate(request: EdgeRequest, resolved: Resolved, pop: string, now: number): void {
  const { site, key } = resolved;
  if (!siteAllows(site, pop)) refuse(421, 'This PoP may not hold the site');
  if (!METHODS.has(request.method))
    refuse(405, 'A private site answers GET and HEAD alone', 'allow: GET, HEAD');
  const seconds = now / 1000;
  const keys = site.accessKeys ?? [];
  const claim = signatureClaim(request.target);
  const token = bearerToken(request.lines('authorization'));
  if (claim !== undefined && claim !== 'malformed') {
    const host = key.slice(0, key.indexOf('/'));
    const fault = checkSignature(claim, keys, host, resolved.path, seconds);
    if (fault === undefined) return;
    if (token === undefined) refuse(403, SIGNATURE_FAULTS[fault]);
  } else if (claim === 'malformed' && token === undefined) {
    refuse(403, 'The parameters that sign the URL are incomplete or unreadable');
  }
  if (token === undefined) refuse(401, 'A signed URL or a bearer token is needed', challenge(site));
  const fault = checkToken(token, keys, site.id, resolved.path, seconds);
  if (fault === 'outside')
    refuse(403, 'The token does not open this path', challenge(site, 'insufficient_scope'));
  if (fault !== undefined) refuse(401, TOKEN_FAULTS[fault], challenge(site, 'invalid_token'));
  request.consumeAuthorization();
}

/** RFC 6750 §2.1; more than one field is none that could be trusted. */
function bearerToken(lines: readonly string[]): string | undefined {
  return lines.length === 1 ? /^Bearer +([\w.~+/-]+=*)$/i.exec(lines[0]!)?.[1] : undefined;
}

const challenge = (site: Site, error?: string): string =>
  `www-authenticate: Bearer realm="${site.id}"${error === undefined ? '' : `, error="${error}"`}`;

function refuse(status: number, reason: string, field?: string): never {
  throw new PresageError('HTTP_FORBIDDEN', reason, { status, ...(field !== undefined && { field }) });
}
