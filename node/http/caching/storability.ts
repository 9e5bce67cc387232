import type { Directives } from './directives.ts';
import { type Fields, firstOf } from './fields.ts';
import { explicitLifetime, type Heuristic, heuristicLifetime } from './freshness.ts';
import type { Policy } from './policy.ts';
import { varyNames } from './vary.ts';

/** Final statuses that this cache understands; `must-understand` binds it to them (RFC 9111 §5.2.2.3). */
const UNDERSTOOD = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 421, 451, 500, 501, 502, 503,
  504,
]);
/** Statuses that are no whole response of their own. */
const PARTIAL = new Set([206, 304]);

export type NotStored =
  | 'method'
  | 'status'
  | 'partial'
  | 'no-store'
  | 'private'
  | 'authorization'
  | 'vary'
  | 'freshness'
  | 'must-understand'
  | 'set-cookie';

export type Storability =
  | { readonly store: false; readonly why: NotStored }
  | {
      readonly store: true;
      /** Seconds. */
      readonly lifetime: number;
      /** Fields that a qualified `private` or `no-cache` keeps out of the store. */
      readonly omit: readonly string[];
    };

export interface Exchange {
  readonly method: string;
  readonly authorised: boolean;
  readonly requestDirectives: Directives;
  readonly status: number;
  readonly headers: Fields;
  readonly policy: Policy;
}

const no = (why: NotStored): Storability => ({ store: false, why });

/**
 * Whether a shared cache may keep a response (RFC 9111 §3). Nothing without stated freshness is kept, unless a
 * heuristic is configured or a validator allows that it is asked for each time. A response with Set-Cookie needs
 * Cache-Control's word for it: Expires alone, which sites send by habit, is not enough.
 */
export function storability(exchange: Exchange, heuristic: Heuristic | undefined, now: number): Storability {
  const { method, status, headers, policy } = exchange;
  const { directives } = policy;
  if (method !== 'GET') return no('method');
  if (PARTIAL.has(status)) return no('partial');
  if (status < 200 || status > 599) return no('status');
  if (directives.has('must-understand')) {
    if (!UNDERSTOOD.has(status)) return no('must-understand');
  } else if (directives.has('no-store')) return no('no-store');
  if (exchange.requestDirectives.has('no-store')) return no('no-store');
  if (directives.unqualified('private')) return no('private');
  if (varyNames(headers) === '*') return no('vary');
  if (exchange.authorised && !sharable(directives)) return no('authorization');
  const explicit = explicitLifetime(policy, headers, now);
  if (firstOf(headers, 'set-cookie') !== undefined && !statedByDirective(directives)) return no('set-cookie');
  const lifetime = explicit ?? heuristicLifetime(status, policy, headers, heuristic, now);
  const validator = firstOf(headers, 'etag') ?? firstOf(headers, 'last-modified');
  if (lifetime === 0 && validator === undefined) return no('freshness');
  if (explicit === undefined && lifetime === 0 && status !== 200) return no('freshness');
  const omit = [...directives.fieldsOf('private'), ...directives.fieldsOf('no-cache')];
  return { store: true, lifetime: directives.unqualified('no-cache') ? 0 : lifetime, omit };
}

/** What lets a shared cache keep the answer to an authorised request (RFC 9111 §3.5). */
function sharable(directives: Directives): boolean {
  return directives.has('public') || directives.has('must-revalidate') || directives.has('s-maxage');
}

function statedByDirective(directives: Directives): boolean {
  return directives.has('public') || directives.has('s-maxage') || directives.has('max-age');
}
