import * as v from 'valibot';
import type { MethodSpec } from './method.ts';
import {
  amount,
  choice,
  count,
  flag,
  instant,
  limit,
  list,
  maybe,
  named,
  resource,
  words,
} from './shapes.ts';

/** Methods about what is stored: replicas, tags, purges, and records of the DNS server. */

const tier = choice(['memory', 'disk'], 'where its bytes are');
const source = choice(
  ['client', 'plan', 'speculative'],
  'client: asked for here; plan: mirrored by the plan; speculative: pulled on a RISING report',
);
const standing = choice(
  ['valid', 'stale', 'gone'],
  'valid: served as its freshness says; stale: only after revalidation; gone: purged',
);

const replicas = {
  summary: 'The responses stored here.',
  params: v.strictObject({
    limit: limit(50),
    after: v.optional(words('`next` of the page before')),
    prefix: v.optional(words('only keys that begin so')),
    source: v.optional(source),
  }),
  result: v.object({
    replicas: list(
      v.object({
        ...named,
        variant: words('values of the request fields that Vary names'),
        status: count('status code'),
        content: words('SHA-256'),
        size: count('bytes'),
        tier,
        source,
        standing,
        version: words('time.counter@PoP'),
        receivedAt: instant('when it left the origin, demand time'),
        freshUntil: maybe(instant('end of freshness, demand time')),
        tags: list(v.string(), 'surrogate keys'),
        hits: count('client requests that it answered'),
      }),
      'in order of key',
    ),
    next: maybe(words('to be given as `after` for the next page')),
    total: count('responses stored'),
  }),
} satisfies MethodSpec;

const tag = {
  summary: 'The metadata of a resource.',
  params: v.strictObject({ resource }),
  result: v.object({
    ...named,
    site: maybe(words('site of the charter')),
    replication: choice(
      ['none', 'planned', 'pulling', 'held', 'speculative', 'releasing'],
      'replication status here',
    ),
    priority: amount('value per byte in the last plan; 0 where it is not placed'),
    tier: maybe(tier),
    version: maybe(words('newest known, time.counter@PoP')),
    content: maybe(words('SHA-256 of the newest version')),
    size: maybe(count('bytes')),
    updatedAt: maybe(instant('when the newest version was learned of, demand time')),
    holders: list(
      v.object({ pop: words('peer id'), name: words('name'), version: words('version that it holds') }),
      'PoPs known to hold it',
    ),
    labels: list(v.string(), 'surrogate keys'),
  }),
} satisfies MethodSpec;

const purge = {
  summary: 'Makes stored content gone (or stale) at every PoP, by URL, tag or prefix.',
  params: v.pipe(
    v.strictObject({
      url: v.optional(words('URL or canonical key')),
      tag: v.optional(words('surrogate key')),
      prefix: v.optional(words('beginning of URL or canonical key')),
      soft: v.optional(flag('stale until revalidated instead of gone'), false),
      wait: v.optional(flag('answer only when every reachable PoP has acknowledged'), false),
      timeoutMs: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(600_000), v.description('longest wait')),
        10_000,
      ),
    }),
    v.check(
      ({ url, tag: label, prefix }) => [url, label, prefix].filter((part) => part !== undefined).length === 1,
      'give exactly one of url, tag and prefix',
    ),
  ),
  result: v.object({
    issuer: words('peer id of this PoP'),
    seq: count('number of the purge'),
    target: words('what was purged'),
    soft: flag('whether stale instead of gone'),
    removed: count('replicas that it met here'),
    acknowledged: list(
      v.object({
        pop: words('peer id'),
        name: words('name'),
        afterMs: amount('real ms after it was issued'),
      }),
      'PoPs that have proven it applied, this one first',
    ),
    missing: list(
      v.object({
        pop: words('peer id'),
        name: words('name'),
        code: words('why there is no acknowledgement'),
      }),
      'PoPs that have not; they learn of it when they are back',
    ),
    complete: flag('whether every PoP that can be reached has acknowledged'),
    tookMs: amount('real ms'),
  }),
} satisfies MethodSpec;

const dnsSet = {
  summary:
    'Sets a short-lived TXT record at every PoP, for instance to prove a domain to a certificate authority (RFC 8555).',
  params: v.strictObject({
    name: words('domain name in a zone of ours'),
    type: v.optional(v.literal('TXT'), 'TXT'),
    value: v.pipe(v.string(), v.maxLength(512), v.description('text of the record')),
    ttlSeconds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(86_400), v.description('life of the record')),
      300,
    ),
    wait: v.optional(flag('answer only when every reachable PoP has acknowledged'), false),
    timeoutMs: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(600_000), v.description('longest wait')),
      10_000,
    ),
  }),
  result: v.object({
    name: words('domain name'),
    expiresAt: instant('when the record goes'),
    acknowledged: list(
      v.object({
        pop: words('peer id'),
        name: words('name'),
        afterMs: amount('real ms after it was set'),
      }),
      'PoPs that answer with it now, this one first',
    ),
    missing: list(
      v.object({
        pop: words('peer id'),
        name: words('name'),
        code: words('why there is no acknowledgement'),
      }),
      'PoPs that have not said so; they learn of it when they are back',
    ),
    complete: flag('whether every PoP that can be reached has acknowledged'),
    tookMs: amount('real ms'),
  }),
} satisfies MethodSpec;

export const replicaMethods = { replicas, tag, purge, 'dns.set': dnsSet } as const;
