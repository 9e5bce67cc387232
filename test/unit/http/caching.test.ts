import { describe, expect, it } from 'vitest';
import { parseDate } from '../../../node/http/caching/date.ts';
import { DELTA_MAX, Directives, INVALID } from '../../../node/http/caching/directives.ts';
import { endToEnd, type Fields, membersOf } from '../../../node/http/caching/fields.ts';
import {
  ageValue,
  explicitLifetime,
  heuristicLifetime,
  initialAge,
  staleLimits,
} from '../../../node/http/caching/freshness.ts';
import { policyOf } from '../../../node/http/caching/policy.ts';
import { storability } from '../../../node/http/caching/storability.ts';
import { renewed, revalidationFields } from '../../../node/http/caching/validators.ts';
import { canonicalEncodings, variantOf, varyNames } from '../../../node/http/caching/vary.ts';
import { tagsOf } from '../../../node/http/tags.ts';

const NOW = Date.UTC(2026, 10, 23, 5, 0, 0);
const at = (seconds: number) => new Date(NOW + seconds * 1000).toUTCString();
const lifetime = (...headers: [string, string][]) => explicitLifetime(policyOf(headers), headers, NOW);

describe('dates', () => {
  it.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sunday, 06-Nov-94 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sun Nov  6 08:49:37 1994', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Thursday, 18-Aug-50 02:01:18 GMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Thu, 18 AUG 2050 02:01:18 gMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
  ])('%s', (text, expected) => expect(parseDate(text, NOW)).toBe(expected));
  it.each([
    '',
    '0',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 31 Feb 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 25:01:18 GMT',
  ])('refuses %j', (text) => expect(parseDate(text, NOW)).toBeUndefined());
});

describe('directives', () => {
  const read = (...lines: string[]) => new Directives(lines);
  it('reads tokens, quoted strings and flags without regard to case', () => {
    const directives = read('MaX-aGe=003600, No-StOrE', 's-maxage="10"');
    expect(directives.seconds('max-age')).toBe(3600);
    expect(directives.seconds('s-maxage')).toBe(10);
    expect(directives.has('no-store')).toBe(true);
  });
  it.each(["max-age='3600'", 'max-age=-1', 'max-age=1.5', 'max-age=a1', 'max-age', 'max-age=1a'])(
    'finds no number in %s',
    (line) => expect(read(line).seconds('max-age')).toBe(INVALID),
  );
  it.each(['max-age =3600', 'max-age= 3600', 'ext="max-age=3600'])('finds no max-age in %s', (line) =>
    expect(read(line).seconds('max-age')).toBeUndefined(),
  );
  it('does not look into quoted strings, takes the first of two, and caps', () => {
    expect(read('extension="max-age=3600, no-store", max-age=1').seconds('max-age')).toBe(1);
    expect(read('extension="max-age=3600, no-store", max-age=1').has('no-store')).toBe(false);
    expect(read('max-age=1, max-age=1800').seconds('max-age')).toBe(1);
    expect(read('max-age=99999999999').seconds('max-age')).toBe(DELTA_MAX);
  });
  it('lets the wider of a qualified and an unqualified no-cache win', () => {
    expect(read('no-cache="a", no-cache').unqualified('no-cache')).toBe(true);
    expect(read('no-cache, no-cache="a"').unqualified('no-cache')).toBe(true);
    expect(read('no-cache="a, B"', 'no-cache="c"').fieldsOf('no-cache')).toEqual(['a', 'b', 'c']);
  });
});

describe('lists and connection fields', () => {
  it('keeps quoted commas together', () =>
    expect(membersOf(['a, "b, c" ,, d', 'e\\', '"open, x'])).toEqual([
      'a',
      '"b, c"',
      'd',
      'e\\',
      '"open, x',
    ]));
  it('drops hop-by-hop fields and those that Connection names', () =>
    expect(
      endToEnd([
        'Connection',
        'a, Close',
        'A',
        '1',
        'B',
        '2',
        'TE',
        'x',
        'Keep-Alive',
        'x',
        'Upgrade',
        'h2c',
      ]),
    ).toEqual([['b', '2']]));
});

describe('freshness', () => {
  it('prefers the targeted field, then s-maxage, max-age, Expires', () => {
    expect(lifetime(['cache-control', 'max-age=1, s-maxage=60'], ['expires', at(500)])).toBe(60);
    expect(lifetime(['cache-control', 'max-age=5'], ['expires', at(500)])).toBe(5);
    expect(lifetime(['date', at(0)], ['expires', at(500)])).toBe(500);
    expect(lifetime(['date', at(400)], ['expires', at(300)])).toBe(0);
    expect(lifetime(['cdn-cache-control', 'max-age=9'], ['cache-control', 'no-store, max-age=1'])).toBe(9);
    expect(lifetime(['cdn-cache-control', 'no-transform'], ['expires', at(500)], ['date', at(0)])).toBe(
      undefined,
    );
  });
  it.each(['', 'max-age="9"', 'max-age=1.5', 'max-age=9, &&&', 'MaX-aGe=9', 'max-age'])(
    'ignores the targeted field %j as a whole',
    (line) => expect(lifetime(['cdn-cache-control', line], ['cache-control', 'max-age=7'])).toBe(7),
  );
  it('takes unreadable freshness for none', () => {
    expect(lifetime(['cache-control', 'max-age=abc'], ['expires', at(500)])).toBe(0);
    expect(lifetime(['expires', '0'])).toBe(0);
    expect(lifetime(['expires', at(5)], ['expires', at(6)])).toBe(0);
    expect(lifetime()).toBeUndefined();
  });
  it('guesses only where it is told to', () => {
    const headers: Fields = [
      ['last-modified', at(-86_400)],
      ['date', at(0)],
    ];
    const rule = { fraction: 0.1, maxSeconds: 5000 };
    expect(heuristicLifetime(200, policyOf(headers), headers, undefined, NOW)).toBe(0);
    expect(heuristicLifetime(200, policyOf(headers), headers, rule, NOW)).toBe(5000);
    expect(heuristicLifetime(404, policyOf(headers), headers, { ...rule, maxSeconds: 1e9 }, NOW)).toBe(8640);
    expect(heuristicLifetime(201, policyOf(headers), headers, rule, NOW)).toBe(0);
    const open: Fields = [...headers, ['cache-control', 'public']];
    expect(heuristicLifetime(599, policyOf(open), open, rule, NOW)).toBe(5000);
  });
  it.each([
    ['30', 30],
    ['0, 7200', 0],
    ['7200, 0', 7200],
    ['abc', 0],
    ['-5', 0],
    ['7200.0', 0],
    ['99999999999', DELTA_MAX],
  ])('Age %s is %i s', (text, expected) => expect(ageValue([['age', text]])).toBe(expected));
  it('corrects the age on arrival for the delay and the date', () => {
    expect(initialAge([['age', '30']], NOW - 2500, NOW)).toBe(32);
    expect(initialAge([['date', at(-100)]], NOW, NOW)).toBe(100);
    expect(initialAge([['date', at(100)]], NOW, NOW)).toBe(0);
  });
  it('knows what may be served stale', () => {
    const limits = (line: string) => staleLimits(new Directives([line]));
    expect(limits('max-age=1, stale-while-revalidate=5')).toMatchObject({
      whileRevalidate: 5,
      forbidden: false,
    });
    expect(limits('s-maxage=1')).toMatchObject({ ifError: undefined, forbidden: true });
    expect(limits('s-maxage=1, stale-if-error=9')).toMatchObject({ ifError: 9 });
    for (const strict of ['must-revalidate', 'proxy-revalidate', 'no-cache'])
      expect(limits(`max-age=1, stale-if-error=9, stale-while-revalidate=9, ${strict}`)).toEqual({
        whileRevalidate: 0,
        ifError: undefined,
        forbidden: true,
      });
  });
});

describe('storability', () => {
  const judge = (
    headers: Fields,
    change: Partial<Parameters<typeof storability>[0]> = {},
  ): ReturnType<typeof storability> =>
    storability(
      {
        method: 'GET',
        authorised: false,
        requestDirectives: Directives.NONE,
        status: 200,
        headers,
        policy: policyOf(headers),
        ...change,
      },
      undefined,
      NOW,
    );
  const control = (line: string): Fields => [['cache-control', line]];
  it.each([
    ['no-store', control('max-age=60, no-store'), {}],
    ['private', control('private, max-age=60'), {}],
    ['freshness', [], {}],
    ['freshness', control('max-age=0'), {}],
    ['vary', [...control('max-age=60'), ['vary', 'a, *']], {}],
    ['method', control('max-age=60'), { method: 'POST' }],
    ['partial', control('max-age=60'), { status: 206 }],
    ['must-understand', control('max-age=60, must-understand'), { status: 599 }],
    ['authorization', control('max-age=60'), { authorised: true }],
    [
      'set-cookie',
      [
        ['expires', at(60)],
        ['set-cookie', 'a=b'],
      ],
      {},
    ],
    ['no-store', control('max-age=60'), { requestDirectives: new Directives(['no-store']) }],
  ] as [string, Fields, object][])('refuses for %s', (why, headers, change) =>
    expect(judge(headers, change)).toEqual({ store: false, why }),
  );
  it.each([
    [60, control('max-age=60'), {}],
    [60, control('max-age=60, no-store, must-understand'), {}],
    [60, control('max-age=60'), { status: 599 }],
    [60, control('max-age=60, public'), { authorised: true }],
    [60, control('s-maxage=60'), { authorised: true }],
    [60, control('max-age=60, must-revalidate'), { authorised: true }],
    [60, [...control('max-age=60'), ['set-cookie', 'a=b']], {}],
    [0, [['etag', '"a"']], {}],
    [0, [...control('no-cache, max-age=60'), ['etag', '"a"']], {}],
  ] as [number, Fields, object][])('stores for %i s', (seconds, headers, change) =>
    expect(judge(headers, change)).toMatchObject({ store: true, lifetime: seconds }),
  );
  it('keeps out the fields that a qualified directive names', () =>
    expect(judge(control('max-age=60, private="x-user", no-cache="set-cookie"'))).toMatchObject({
      store: true,
      omit: ['x-user', 'set-cookie'],
    }));
});

describe('vary', () => {
  const variant = (names: string[], ...fields: [string, string][]) =>
    variantOf(names, (name) => fields.filter(([field]) => field === name).map(([, value]) => value));
  it('lists names once, sorted, and finds the star wherever it stands', () => {
    expect(
      varyNames([
        ['vary', 'B, a'],
        ['vary', 'A,'],
      ]),
    ).toEqual(['a', 'b']);
    for (const line of ['*', ', *', 'a, *', '*, *']) expect(varyNames([['vary', line]])).toBe('*');
  });
  it('levels what means the same and nothing else', () => {
    expect(variant(['foo'], ['foo', '1, 2'])).toBe(variant(['foo'], ['foo', '1'], ['foo', ' 2 ']));
    expect(variant(['foo'], ['foo', '1, 2'])).not.toBe(variant(['foo'], ['foo', '2, 1']));
    expect(variant(['foo'], ['foo', ''])).not.toBe(variant(['foo']));
    expect(variant(['a', 'b'], ['a', '1'])).not.toBe(variant(['a', 'b'], ['b', '1']));
    expect(variant(['accept-language'], ['accept-language', 'en, De;q=0.5'])).toBe(
      variant(['accept-language'], ['accept-language', 'de; q=0.50 , EN;q=1']),
    );
  });
});

describe('codings', () => {
  it.each([
    [['gzip, deflate, br, zstd'], 'br, gzip'],
    [['BR;q=0.5', 'x, GZIP'], 'br, gzip'],
    [['gzip;q=0, br'], 'br'],
    [['deflate'], ''],
    [[], ''],
  ])('%j are %j', (lines, expected) => expect(canonicalEncodings(lines)).toBe(expected));
  it('makes one variant of all that take neither', () => {
    const of = (...lines: string[]) => variantOf(['accept-encoding'], () => lines);
    expect(of()).toBe(of('identity'));
    expect(of('gzip')).not.toBe(of());
  });
});

describe('validation', () => {
  it('carries both validators', () =>
    expect(
      revalidationFields([
        ['etag', 'W/"a"'],
        ['last-modified', at(0)],
      ]),
    ).toEqual([
      ['if-none-match', 'W/"a"'],
      ['if-modified-since', at(0)],
    ]));
  it('renews fields by a 304, but not those that describe the stored bytes', () =>
    expect(
      renewed(
        [
          ['a', '1'],
          ['b', '1'],
          ['b', '2'],
          ['content-encoding', 'gzip'],
          ['age', '9'],
          ['etag', '"x"'],
        ],
        [
          ['b', '3'],
          ['content-encoding', 'br'],
          ['etag', '"y"'],
          ['c', '4'],
        ],
      ),
    ).toEqual([
      ['a', '1'],
      ['content-encoding', 'gzip'],
      ['etag', '"x"'],
      ['b', '3'],
      ['c', '4'],
      ['age', '0'],
    ]));
});

describe('tags', () => {
  it('reads both fields and bounds them', () => {
    expect(
      tagsOf([
        ['surrogate-key', 'a b  c'],
        ['cache-tag', 'd, e f ,a'],
      ]),
    ).toEqual(['a', 'b', 'c', 'd', 'e f']);
    const many = Array.from({ length: 1000 }, (_, n) => `t${n}`).join(' ');
    expect(tagsOf([['surrogate-key', `${'x'.repeat(200)} ${many}`]])).toHaveLength(64);
  });
});
