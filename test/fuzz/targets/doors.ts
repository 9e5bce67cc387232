import type { IncomingMessage } from 'node:http';
import * as packets from 'dns-packet';
import { parseDictionary, parseItem, parseList } from 'structured-headers';
import { Query } from '../../../node/dns/query.ts';
import { Zones } from '../../../node/dns/zone.ts';
import { parseZoneFile } from '../../../node/dns/zone-file.ts';
import { checkSignature, signatureClaim, signatureQuery } from '../../../node/http/access/signed-url.ts';
import { checkToken, mintToken } from '../../../node/http/access/token.ts';
import { parseDate } from '../../../node/http/caching/date.ts';
import { Directives } from '../../../node/http/caching/directives.ts';
import { endToEnd, type Fields, trailingFields } from '../../../node/http/caching/fields.ts';
import { initialAge } from '../../../node/http/caching/freshness.ts';
import { policyOf } from '../../../node/http/caching/policy.ts';
import { parseRanges } from '../../../node/http/caching/ranges.ts';
import { essence, type SearchVariance, searchVariance } from '../../../node/http/caching/search-variance.ts';
import { storability } from '../../../node/http/caching/storability.ts';
import { evaluate, parseTags, rangeHolds, renewed } from '../../../node/http/caching/validators.ts';
import { favouriteLanguage, variantOf, varyNames } from '../../../node/http/caching/vary.ts';
import { canonicalHost, canonicalTarget } from '../../../node/http/key.ts';
import { EdgeRequest } from '../../../node/http/request.ts';
import { createWorld, query, subnet } from '../../unit/dns/world.ts';
import { bytesOf, mustHold, type Shape, type Target, textOf } from '../target.ts';

const NOW = 1_800_000_000_000;
const text: Shape = 'text';

const world = createWorld();
const names = [
  'cdn.example',
  'WWW.cdn.example',
  'alias2.cdn.example',
  'long.cdn.example',
  'x.wild.cdn.example',
];
const queries = names.flatMap((name, index) => [
  query(name, ['A', 'AAAA', 'TXT', 'ANY', 'SOA'][index]!),
  query(name, 'A', {
    edns: {
      size: 4096,
      dnssecOk: true,
      options: [subnet(1, 24, [198, 51, 100]), [10, new Uint8Array(8)], [3, new Uint8Array(0)]],
    },
  }),
]);

function answered(transport: 'udp' | 'tcp') {
  return (input: Uint8Array): unknown => {
    const before = Buffer.from(input);
    const answer = world.raw(input, '203.0.113.5', transport);
    mustHold(before.equals(input), 'the query was changed');
    if (!answer) return 'dropped';
    mustHold(answer.length <= (transport === 'udp' ? 1_232 : 65_535), 'the answer is too long');
    const decoded = packets.decode(Buffer.from(answer));
    mustHold(decoded.id === before.readUInt16BE(0), 'the answer is to another query');
    return `rcode ${answer[3]! & 15}`;
  };
}

/** Header lines of a message, split as Node does it. */
function linesIn(input: Uint8Array): string[] {
  return textOf(input)
    .split('\n')
    .flatMap((line) => {
      const colon = line.indexOf(':');
      return colon <= 0 ? [] : [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
}
const lowered = (raw: readonly string[]): Fields => endToEnd(raw);

const keys = [{ id: 'k1', secret: new Uint8Array(32).fill(4) }];
const rule = { dropParameters: ['utm_*', 'sid'], sortParameters: true, ignoreQuery: false };

const IGNORES_A: SearchVariance = { names: new Set(['a']), allBut: false, ordered: true, id: '' };

/** Everything that the edge reads from the head of a request. */
function requestRead(input: Uint8Array): unknown {
  const [start = '', ...rest] = textOf(input).split('\n');
  const [method = '', url = ''] = start.split(' ');
  const rawHeaders = linesIn(bytesOf(rest.join('\n')));
  const message = { rawHeaders, method, url, httpVersionMajor: 1, socket: {} } as unknown as IncomingMessage;
  const request = new EdgeRequest(message);
  const host = canonicalHost(request.host, 80);
  const target = canonicalTarget(host, request.target, rule);
  const again = canonicalTarget(host, target.path, rule);
  mustHold(again.key === target.key, `the key of a canonical path is another: ${target.key} ${again.key}`);
  const { conditions, directives } = request;
  const stored: Fields = [
    ['etag', '"a"'],
    ['last-modified', 'Sun, 06 Nov 1994 08:49:37 GMT'],
  ];
  evaluate(conditions, 200, stored, NOW);
  rangeHolds(conditions.ifRange, stored, NOW);
  for (const name of ['max-age', 'max-stale', 'min-fresh']) directives.seconds(name);
  const ranges = parseRanges(request.range ?? '', 1_000);
  let last = -1;
  for (const { start: from, end } of ranges ?? []) {
    mustHold(from < end && end <= 1_000 && from > last, 'ranges overlap or leave the content');
    last = end;
  }
  favouriteLanguage(request.lines('accept-language'));
  variantOf(['accept-encoding', 'accept-language', 'cookie'], request.lines);
  const claim = signatureClaim(request.target);
  if (typeof claim === 'object') checkSignature(claim, keys, host, target.path, NOW / 1000);
  return `${request.method.slice(0, 4)} ${ranges?.length}`;
}

/** Everything that the edge reads from the head of an origin's response. */
function responseRead(input: Uint8Array): unknown {
  const headers = lowered(linesIn(input));
  const policy = policyOf(headers);
  const verdict = storability(
    {
      ...{ method: 'GET', authorised: false, requestDirectives: Directives.NONE, status: 200 },
      ...{ headers, policy },
    },
    { fraction: 0.1, maxSeconds: 3_600 },
    NOW,
  );
  if (verdict.store)
    mustHold(verdict.lifetime >= 0 && Number.isFinite(verdict.lifetime), 'a lifetime that is none');
  mustHold(initialAge(headers, NOW - 5, NOW) >= 0, 'a negative age');
  varyNames(headers);
  searchVariance(headers);
  trailingFields(Object.fromEntries(headers));
  const update = renewed(headers, [['etag', '"b"']]);
  mustHold(update.length <= headers.length + 1, 'an update has grown');
  return verdict.store ? 'stored' : verdict.why;
}

function structured(input: Uint8Array): unknown {
  const value = textOf(input);
  policyOf([['cdn-cache-control', value]]);
  const variance = searchVariance([['no-vary-search', value]]) ?? IGNORES_A;
  const counted = essence(value, variance);
  if (variance.names.size > 0 && !variance.allBut)
    for (const name of variance.names)
      mustHold(
        essence(`${value}&${encodeURIComponent(name.toWellFormed())}=1`, variance) === counted || name === '',
        'a parameter that makes no difference makes one',
      );
  parseTags(value);
  parseDate(value, NOW);
  for (const parse of [parseDictionary, parseList, parseItem]) {
    try {
      parse(value);
    } catch (error) {
      // The library throws an error of its own on what is not well formed; callers catch it.
      mustHold(error instanceof Error && !(error instanceof RangeError), 'not refused but broken');
    }
  }
  return undefined;
}

const minted = mintToken(keys[0]!, { site: 'shop', expires: NOW / 1000 + 60, paths: ['/a/'] });
const zone = `$ORIGIN cdn.example.
$TTL 1h
@ IN SOA ns1 hostmaster ( 1 7200 3600
  1209600 300 ) ; comment
@ NS ns1
ns1 A 192.0.2.1
www 300 IN AAAA 2001:db8::1
txt TXT "a \\"quoted\\" text" more
_sip._tcp SRV 10 20 5060 sip.example.
@ CAA 0 issue "ca.example"
@ HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1
mx MX 10 mail
`;

/** What clients, resolvers and origins send, and what operators write for the name server. */
export const doorTargets: readonly Target[] = [
  {
    name: 'dns-query',
    share: 4,
    shape: 'bytes',
    seeds: queries,
    run: (input) => `${new Query().parse(input)}`,
  },
  { name: 'dns-udp', share: 4, shape: 'bytes', seeds: queries, maxBytes: 1_500, run: answered('udp') },
  { name: 'dns-tcp', share: 4, shape: 'bytes', seeds: queries, maxBytes: 65_535, run: answered('tcp') },
  {
    ...{ name: 'zone-file', shape: text, seeds: [bytesOf(zone)], maxBytes: 64 * 1024 },
    words: [
      '$ORIGIN',
      '$TTL',
      '$INCLUDE',
      ' IN ',
      ' TXT ',
      ' HTTPS ',
      ' SVCB ',
      '1w2d',
      '\\065',
      '"',
      '( ',
      ' )',
      '@',
    ],
    run: (input) => {
      const records = parseZoneFile(textOf(input), 'cdn.example');
      return new Zones([{ name: 'cdn.example', records }]) && undefined;
    },
  },
  {
    ...{ name: 'http-request', share: 3, shape: text, run: requestRead, maxBytes: 16 * 1024 },
    seeds: [
      'GET /a/b/../c%2Fd?utm_x=1&b=2&a=%41 HTTP/1.1\nHost: shop.example:80\nAccept-Language: de, en;q=0.5\nRange: bytes=0-9,20-29,-5',
      'GET http://shop.example/x?q HTTP/1.1\nHost: other\nCache-Control: no-cache, max-age="5", max-stale\nIf-None-Match: W/"a", "b"\nIf-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT',
      `GET /a/${signatureQuery(keys[0]!, 'shop.example', { prefix: '/a/' }, NOW / 1000)} HTTP/1.1\nhost: shop.example\nif-range: "a"`,
      'HEAD / HTTP/1.1\nHost: [2001:db8::1]:8080\nVia: 1.1 a, 1.1 b\nPragma: no-cache\nAccept-Encoding: gzip;q=0, br, *',
    ].map(bytesOf),
    words: [
      'bytes=',
      'q=0.',
      'presage-signature=',
      'presage-prefix=%2F',
      '/./',
      '/../',
      '%2e%2e',
      '%5C',
      '\nHost: ',
      '*/*',
    ],
  },
  {
    ...{ name: 'http-response', share: 3, shape: text, run: responseRead, maxBytes: 16 * 1024 },
    seeds: [
      'Cache-Control: max-age=60, private="set-cookie, x", stale-if-error=5\nAge: 5\nDate: Sun, 06 Nov 1994 08:49:37 GMT\nVary: Accept, *',
      'CDN-Cache-Control: max-age=5, no-cache="a"\nExpires: Sun Nov  6 08:49:37 1994\nConnection: x-a, close\nX-A: 1\nETag: "x"',
      'cache-control: no-cache, must-understand, s-maxage=x\nset-cookie: a=b\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT',
    ].map(bytesOf),
    words: [
      'max-age=',
      's-maxage',
      'no-store',
      'must-understand',
      'immutable',
      ', ',
      '="',
      '\nCache-Control: ',
      '\nVary: ',
    ],
  },
  {
    ...{ name: 'structured-field', share: 3, shape: text, run: structured, maxBytes: 8_192 },
    seeds: [
      'max-age=60, a;b=1, (1 2);c',
      '"text", :AQI=:, ?1, @1659578233, %"f%c3%bc"',
      'W/"a", "b"',
      'params=("a" "b+c" "d&e" "%c3%a9"), key-order',
      'params, except=("id"), key-order=?0',
    ].map(bytesOf),
    words: [':AA==:', '?0', '?1', '(', ')', ';a', '1.5', '@1', '%"', '*a/b'],
  },
  {
    ...{
      name: 'bearer-token',
      share: 3,
      shape: text,
      seeds: [bytesOf(minted)],
      words: ['eyJ', '.', '==', 'bnVsbA'],
    },
    run: (input) => checkToken(textOf(input), keys, 'shop', '/a/b', NOW / 1000),
  },
];
