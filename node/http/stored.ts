import type { Replica } from '../../protocol/replica.ts';
import { type Fields, firstOf, linesOf, membersOf } from './caching/fields.ts';
import {
  ageValue,
  explicitLifetime,
  type Heuristic,
  heuristicLifetime,
  type StaleLimits,
  staleLimits,
} from './caching/freshness.ts';
import { policyOf } from './caching/policy.ts';
import { type SearchVariance, searchVariance } from './caching/search-variance.ts';
import { favouriteLanguage, type RequestLines, variantOf, varyNames } from './caching/vary.ts';
import { guarded } from './guard.ts';

/** Fields that the edge writes itself when it serves a stored response. */
const OWN = new Set(['content-length', 'age', 'connection', 'via', 'cache-status', 'transfer-encoding']);
/** Fields of a 304: those that RFC 9110 §15.4.5 asks for. */
const WITH_304 = new Set([
  'cache-control',
  'content-location',
  'date',
  'etag',
  'expires',
  'vary',
  'last-modified',
]);

/** What serving a replica needs, worked out once a replica. Times are ms. */
export class StoredResponse {
  readonly replica: Replica;
  readonly isPrivate: boolean;
  readonly names: readonly string[] | '*';
  readonly lifetimeMs: number;
  readonly limits: StaleLimits;
  /** Demand ms at which the response was made, as far as its age tells. */
  readonly bornAt: number;
  readonly contentType: string | undefined;
  /** Language of a response that differs by nothing but Accept-Language, if it says so. */
  readonly language: string | undefined;
  readonly setsCookie: boolean;
  /** For which other queries it stands. */
  readonly variance: SearchVariance | undefined;
  readonly via: string;
  readonly upstreamStatus: string | undefined;
  /** Demand ms of its last use here; 0 before the first. */
  usedAt = 0;
  readonly #fields: string[] = [];
  readonly #short: string[] = [];
  #stamped: string[] | undefined;
  #stampedAge = -1;

  constructor(replica: Replica, heuristic: Heuristic | undefined, via: string, isPrivate: boolean) {
    this.replica = replica;
    this.isPrivate = isPrivate;
    const { headers } = replica;
    const policy = policyOf(headers);
    this.names = varyNames(headers);
    const noCache = policy.directives.unqualified('no-cache');
    const explicit = explicitLifetime(policy, headers, replica.receivedAt);
    const seconds =
      explicit ?? heuristicLifetime(replica.status, policy, headers, heuristic, replica.receivedAt);
    this.lifetimeMs = noCache ? 0 : seconds * 1000;
    this.limits = staleLimits(policy.directives);
    this.bornAt = replica.receivedAt - ageValue(headers) * 1000;
    this.contentType = firstOf(headers, 'content-type');
    const languages = membersOf(linesOf(headers, 'content-language'));
    const negotiated = this.names.length === 1 && this.names[0] === 'accept-language';
    this.language = negotiated && languages.length === 1 ? languages[0]?.toLowerCase() : undefined;
    this.setsCookie = firstOf(headers, 'set-cookie') !== undefined;
    this.variance = searchVariance(headers);
    this.upstreamStatus = firstOf(headers, 'cache-status');
    const upstreamVia = firstOf(headers, 'via');
    this.via = upstreamVia === undefined ? via : `${upstreamVia}, ${via}`;
    for (const [name, value] of isPrivate ? guarded(headers) : headers) {
      if (OWN.has(name)) continue;
      this.#fields.push(name, value);
      if (WITH_304.has(name)) this.#short.push(name, value);
    }
  }

  /**
   * Whether a request selects it (RFC 9111 §4.1): all that it varies by is the same, or it is in the very language that
   * the client wants above all others, which the origin would choose too.
   */
  selectedBy(lines: RequestLines): boolean {
    if (this.names === '*') return false;
    if (this.names.length === 0 || variantOf(this.names, lines) === this.replica.variant) return true;
    return this.language !== undefined && favouriteLanguage(lines('accept-language')) === this.language;
  }

  get headers(): Fields {
    return this.replica.headers;
  }

  ageMs(now: number): number {
    return Math.max(0, now - this.bornAt);
  }

  fresh(now: number): boolean {
    return this.lifetimeMs > this.ageMs(now);
  }

  /** Ms past the end of freshness; negative while fresh. */
  stalenessMs(now: number): number {
    return this.ageMs(now) - this.lifetimeMs;
  }

  /** Whether it may stand in for a failing origin (RFC 5861 §4, RFC 9111 §4.2.4); the default is the operator's. */
  mayStandIn(now: number, defaultSeconds: number): boolean {
    const { forbidden, ifError } = this.limits;
    const seconds = ifError ?? (forbidden ? undefined : defaultSeconds);
    return seconds !== undefined && this.stalenessMs(now) <= seconds * 1000;
  }

  /**
   * Head of a fresh 200 with the whole body; the same array for all requests of one second, so it must not be
   * changed.
   */
  freshHead(now: number, pop: string): string[] {
    const age = Math.floor(this.ageMs(now) / 1000);
    if (this.#stamped && age === this.#stampedAge) return this.#stamped;
    const ttl = Math.floor(this.lifetimeMs / 1000) - age;
    const head = this.head(age, `${pop}; hit; ttl=${ttl}`);
    if (this.replica.status !== 204) head.push('content-length', String(this.replica.size));
    this.#stamped = head;
    this.#stampedAge = age;
    return head;
  }

  /** Fields of a 304 while it is fresh. */
  freshShortHead(now: number, pop: string): string[] {
    const age = Math.floor(this.ageMs(now) / 1000);
    return this.shortHead(age, `${pop}; hit; ttl=${Math.floor(this.lifetimeMs / 1000) - age}`);
  }

  /** Stored fields, Age, Via and Cache-Status; without Content-Length. */
  head(ageSeconds: number, cacheStatus: string): string[] {
    const status = this.upstreamStatus === undefined ? cacheStatus : `${this.upstreamStatus}, ${cacheStatus}`;
    return [...this.#fields, 'age', String(ageSeconds), 'via', this.via, 'cache-status', status];
  }

  /** Fields of a 304. */
  shortHead(ageSeconds: number, cacheStatus: string): string[] {
    return [...this.#short, 'age', String(ageSeconds), 'via', this.via, 'cache-status', cacheStatus];
  }
}
