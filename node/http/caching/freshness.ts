import { parseDate } from './date.ts';
import { DELTA_MAX, type Directives, INVALID } from './directives.ts';
import { type Fields, firstOf, linesOf } from './fields.ts';
import type { Policy } from './policy.ts';

/** When freshness is not stated, it may be guessed as a share of the time since the last change (RFC 9111 §4.2.2). */
export interface Heuristic {
  /** Share of the time since Last-Modified; 0.1 is usual. */
  readonly fraction: number;
  /** Never longer than this, seconds. */
  readonly maxSeconds: number;
}

/** Statuses whose definition allows heuristic freshness (RFC 9110 §15.1). */
const HEURISTIC = new Set([200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]);

/**
 * Freshness lifetime in seconds (RFC 9111 §4.2.1) for a shared cache, or `undefined` if the response states none.
 * Unreadable freshness is none: 0. `now` is Unix ms of the clock by which the origin's dates are read.
 */
export function explicitLifetime(policy: Policy, headers: Fields, now: number): number | undefined {
  const { directives } = policy;
  for (const name of ['s-maxage', 'max-age']) {
    const seconds = directives.seconds(name);
    if (seconds === INVALID) return 0;
    if (seconds !== undefined) return seconds;
  }
  if (policy.targeted) return undefined;
  const expires = linesOf(headers, 'expires');
  if (expires.length === 0) return undefined;
  const at = expires.length === 1 ? parseDate(expires[0]!, now) : undefined;
  if (at === undefined) return 0;
  const date = parseDate(firstOf(headers, 'date') ?? '', now) ?? now;
  return clamp((at - date) / 1000);
}

/** Lifetime guessed from Last-Modified, seconds; 0 where guessing is not allowed. */
export function heuristicLifetime(
  status: number,
  policy: Policy,
  headers: Fields,
  heuristic: Heuristic | undefined,
  now: number,
): number {
  if (!heuristic || (!HEURISTIC.has(status) && !policy.directives.has('public'))) return 0;
  const modified = parseDate(firstOf(headers, 'last-modified') ?? '', now);
  if (modified === undefined) return 0;
  const date = parseDate(firstOf(headers, 'date') ?? '', now) ?? now;
  return Math.floor(Math.min(clamp(((date - modified) / 1000) * heuristic.fraction), heuristic.maxSeconds));
}

/**
 * Age that a response had when it arrived, seconds (`corrected_initial_age`, RFC 9111 §4.2.3). All three times are
 * Unix ms of the real clock.
 */
export function initialAge(headers: Fields, requestedAt: number, receivedAt: number): number {
  const date = parseDate(firstOf(headers, 'date') ?? '', receivedAt);
  const apparent = date === undefined ? 0 : Math.max(0, Math.floor((receivedAt - date) / 1000));
  const delay = Math.max(0, Math.floor((receivedAt - requestedAt) / 1000));
  return Math.max(apparent, ageValue(headers) + delay);
}

/** Value of Age, seconds. Of a list the first member counts; what is no number is ignored (RFC 9111 §5.1). */
export function ageValue(headers: Fields): number {
  const lines = linesOf(headers, 'age');
  if (lines.length === 0) return 0;
  const text = lines.join(',').split(',')[0]!.trim();
  return /^\d+$/.test(text) ? Math.min(Number(text), DELTA_MAX) : 0;
}

/** How long beyond its lifetime a response may still be served, seconds, by the reason. */
export interface StaleLimits {
  readonly whileRevalidate: number;
  /** After a failure of the origin; `undefined` if the response does not say. */
  readonly ifError: number | undefined;
  /** Nothing that the operator or the client says lets the stale response be served unasked. */
  readonly forbidden: boolean;
}

/**
 * What a response says of its stale use. `must-revalidate`, `proxy-revalidate` and `no-cache` forbid it altogether;
 * `s-maxage` (RFC 9111 §4.2.4) unless the response itself grants it by one of RFC 5861's directives.
 */
export function staleLimits(directives: Directives): StaleLimits {
  const strict =
    directives.has('must-revalidate') ||
    directives.has('proxy-revalidate') ||
    directives.unqualified('no-cache');
  const granted = (name: string): number | undefined => {
    const seconds = strict ? undefined : directives.seconds(name);
    return typeof seconds === 'number' ? seconds : undefined;
  };
  return {
    whileRevalidate: granted('stale-while-revalidate') ?? 0,
    ifError: granted('stale-if-error'),
    forbidden: strict || directives.has('s-maxage'),
  };
}

const clamp = (seconds: number): number => Math.max(0, Math.min(DELTA_MAX, seconds));
