import type { Normalisation } from '../../protocol/charter.ts';
import { PresageError } from '../../protocol/errors.ts';
import type { ResourceKey } from '../../protocol/ids.ts';
import { OWN_PARAMETERS } from './access/signed-url.ts';

/** Longest request target, characters. */
export const TARGET_MAX = 8192;
/** Query parameters of one request; more are refused. */
const PARAMETERS_MAX = 256;

/**
 * Parameters that sign a URL for the origin. They stay in the key, since only the origin can check them; a resource
 * that bears one is never told to other PoPs.
 */
const FOREIGN_SIGNATURE =
  /^(?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|token|access_token|hmac|policy|key-pair-id|__token__|hdnts|hdnea)$/;

const refuse = (why: string): never => {
  throw new PresageError('HTTP_MALFORMED', why);
};

/**
 * Host and port of a Host field or URL authority in canonical form: lower case, without the default port and without
 * a trailing dot. Throws `HTTP_MALFORMED`.
 */
export function canonicalHost(authority: string, defaultPort: number): string {
  const match = HOST.exec(authority);
  if (!match || authority.length > 261) return refuse('The Host field is no host');
  let host = match[1]!.toLowerCase();
  if (host.endsWith('.') && host.length > 1) host = host.slice(0, -1);
  if (
    host === '' ||
    (!host.startsWith('[') && host.split('.').some((label) => label === '' || label.length > 63))
  )
    return refuse('The Host field is no host');
  const port = match[2];
  if (port === undefined || port === '' || Number(port) === defaultPort) return host;
  if (Number(port) < 1 || Number(port) > 65_535) return refuse('The Host field names no port');
  return `${host}:${Number(port)}`;
}
const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{0,5}))?$/;

/** The name without its port. */
export const hostName = (host: string): string => host.replace(/:\d+$/, '');

/** A request target in canonical form. */
export interface Target {
  readonly key: ResourceKey;
  /** Path and query that the origin is asked for: those of the key. */
  readonly path: string;
  readonly hasQuery: boolean;
  /** Whether the query bears a signature or token that the origin checks. */
  readonly signed: boolean;
}

/**
 * The canonical key of a resource. Path: percent-encoding in upper case and only where it is needed, dot segments
 * resolved (and refused where they would climb above the root or are encoded so as to slip past the origin's own
 * check), an empty path is `/`. Query: as the site's rule says, parameters of our own signatures always left out.
 *
 * @param target origin form (`/path?query`), as it stands in the request line
 * @throws PresageError `HTTP_MALFORMED`, `HTTP_TOO_LARGE`
 */
export function canonicalTarget(host: string, target: string, rule: Normalisation): Target {
  if (target.length > TARGET_MAX) throw new PresageError('HTTP_TOO_LARGE', 'The request target is too long');
  if (!target.startsWith('/')) return refuse('The request target is no path');
  if (!TARGET.test(target)) return refuse('The request target holds characters that no URL may hold');
  const mark = target.indexOf('?');
  const path = canonicalPath(mark < 0 ? target : target.slice(0, mark));
  const query = mark < 0 ? undefined : canonicalQuery(target.slice(mark + 1), rule);
  const whole = query === undefined ? path : `${path}?${query}`;
  return {
    key: `${host}${whole}` as ResourceKey,
    path: whole,
    hasQuery: query !== undefined,
    signed: query?.split('&').some((text) => FOREIGN_SIGNATURE.test(nameOf(text))) ?? false,
  };
}
/** Visible ASCII without fragment, quotes, angle brackets, backslash, caret, grave and braces left to encoding. */
const TARGET = /^[!$-;=?-[\]_a-z~|{}"<>^`]*$/;

function canonicalPath(path: string): string {
  const segments: string[] = [];
  const raw = path.split('/').slice(1);
  for (const [at, part] of raw.entries()) {
    const segment = normalisePercent(part);
    const last = at === raw.length - 1;
    if (segment === '.' || segment === '..') {
      if (part !== segment) refuse('A dot segment is hidden by encoding');
      if (segment === '..' && segments.pop() === undefined) refuse('The path climbs above the root');
      if (last) segments.push('');
      continue;
    }
    if (ENCODED_TRICK.test(segment) || (segment.includes('%2F') && DOTS.test(segment)))
      refuse('The path hides a separator or a control character');
    segments.push(segment);
  }
  return `/${segments.join('/')}`;
}
/** Encoded NUL, control characters and backslash: no path needs them, and servers disagree on what they mean. */
const DOTS = /(?:^|%2F)\.\.?(?:%2F|$)/;
const ENCODED_TRICK = /%(?:[01][0-9A-F]|7F|5C)/;

function canonicalQuery(query: string, rule: Normalisation): string | undefined {
  if (rule.ignoreQuery) return undefined;
  const parameters = query.split('&');
  if (parameters.length > PARAMETERS_MAX) return refuse('The query has too many parameters');
  const kept = parameters
    .map((text) => normalisePercent(text))
    .filter((text) => {
      const name = nameOf(text);
      return !OWN_PARAMETERS.has(name) && !rule.dropParameters.some((drop) => dropped(name, drop));
    });
  if (kept.length === 0) return undefined;
  if (rule.sortParameters) {
    const named = kept.filter((text) => text !== '').map((text) => [text.split('=', 1)[0]!, text] as const);
    // Parameters of one name keep their order: it may have a meaning.
    named.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return named.length === 0 ? undefined : named.map(([, text]) => text).join('&');
  }
  return kept.join('&');
}

const nameOf = (parameter: string): string => parameter.split('=', 1)[0]!.toLowerCase();

function dropped(name: string, rule: string): boolean {
  const pattern = rule.toLowerCase();
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** RFC 3986 §6.2.2: escapes of unreserved characters resolved, others in upper case; stray characters escaped. */
function normalisePercent(text: string): string {
  if (PLAIN.test(text)) return text;
  return text.replace(ESCAPE, (found) => {
    if (found.length === 3) {
      const char = String.fromCharCode(Number.parseInt(found.slice(1), 16));
      return UNRESERVED.test(char) ? char : found.toUpperCase();
    }
    if (found === '%') return refuse('A percent sign begins no escape');
    return `%${found.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}
const PLAIN = /^[A-Za-z0-9._~!$&'()*+,;=:@/?-]*$/;
const ESCAPE = /%[0-9A-Fa-f]{2}|["<>^`{|}%[\]]/g;
const UNRESERVED = /[A-Za-z0-9._~-]/;
