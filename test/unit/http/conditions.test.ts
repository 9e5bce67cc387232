import { describe, expect, it } from 'vitest';
import type { Fields } from '../../../node/http/caching/fields.ts';
import { parseRanges } from '../../../node/http/caching/ranges.ts';
import { evaluate, parseTags, rangeHolds } from '../../../node/http/caching/validators.ts';

const NOW = Date.UTC(2026, 10, 23, 5, 0, 0);
const at = (seconds: number) => new Date(NOW + seconds * 1000).toUTCString();
const stored: Fields = [
  ['etag', '"abc"'],
  ['last-modified', at(-3000)],
  ['date', at(0)],
];

describe('conditions in the precedence of RFC 9110 §13.2.2', () => {
  it.each([
    [{ ifNoneMatch: '"abc"' }, 'not-modified'],
    [{ ifNoneMatch: 'W/"abc"' }, 'not-modified'],
    [{ ifNoneMatch: '"x", "a,b", "abc"' }, 'not-modified'],
    [{ ifNoneMatch: '*' }, 'not-modified'],
    [{ ifNoneMatch: '"x"' }, 'proceed'],
    [{ ifNoneMatch: '"x"', ifModifiedSince: at(0) }, 'proceed'],
    [{ ifModifiedSince: at(-3000) }, 'not-modified'],
    [{ ifModifiedSince: at(-3001) }, 'proceed'],
    [{ ifModifiedSince: 'yesterday' }, 'proceed'],
    [{ ifMatch: '"abc"' }, 'proceed'],
    [{ ifMatch: 'W/"abc"' }, 'failed'],
    [{ ifMatch: '*' }, 'proceed'],
    [{ ifMatch: '"x"' }, 'failed'],
    [{ ifMatch: '"abc"', ifUnmodifiedSince: at(-9000) }, 'proceed'],
    [{ ifUnmodifiedSince: at(-9000) }, 'failed'],
    [{ ifUnmodifiedSince: at(0) }, 'proceed'],
    [{ ifMatch: '"abc"', ifNoneMatch: '"abc"' }, 'not-modified'],
  ] as const)('%o: %s', (conditions, expected) =>
    expect(evaluate(conditions, 200, stored, NOW)).toBe(expected),
  );

  it('applies to successful responses only', () => {
    expect(evaluate({ ifNoneMatch: '*', ifMatch: '"x"' }, 404, stored, NOW)).toBe('proceed');
  });
  it('lets Date stand in for a missing Last-Modified', () => {
    expect(evaluate({ ifModifiedSince: at(1) }, 200, [['date', at(0)]], NOW)).toBe('not-modified');
    expect(evaluate({ ifModifiedSince: at(-1) }, 200, [['date', at(0)]], NOW)).toBe('proceed');
  });
  it('reads lists of tags that hold commas', () => {
    expect(parseTags('"a,b" , W/"c",d')).toEqual(['"a,b"', 'W/"c"', 'd']);
  });
});

describe('If-Range', () => {
  it.each([
    ['"abc"', true],
    ['W/"abc"', false],
    ['"x"', false],
    [at(-3000), true],
    [at(-2999), false],
    ['rubbish', false],
  ])('%s: %s', (text, expected) => expect(rangeHolds(text, stored, NOW)).toBe(expected));
  it('does not trust a date of the last second', () => {
    const fresh: Fields = [
      ['last-modified', at(0)],
      ['date', at(0)],
    ];
    expect(rangeHolds(at(0), fresh, NOW)).toBe(false);
  });
});

describe('ranges', () => {
  it.each([
    ['bytes=0-1', [[0, 2]]],
    ['bytes=1-', [[1, 10]]],
    ['bytes=-3', [[7, 10]]],
    ['bytes=-30', [[0, 10]]],
    ['BYTES= 2-2 ,', [[2, 3]]],
    ['bytes=8-100', [[8, 10]]],
    [
      'bytes=7-8,0-1',
      [
        [7, 9],
        [0, 2],
      ],
    ],
    ['bytes=0-4,2-6', [[0, 7]]],
    ['bytes=5-6,0-4', [[0, 7]]],
    ['bytes=10-', []],
    ['bytes=-0', []],
  ])('%s', (text, expected) =>
    expect(parseRanges(text, 10)?.map(({ start, end }) => [start, end])).toEqual(expected),
  );
  it.each(['items=0-1', 'bytes=2-1', 'bytes=a-b', 'bytes=-', 'bytes', `bytes=${'0-0,'.repeat(20)}`])(
    'ignores %s',
    (text) => expect(parseRanges(text, 10)).toBeUndefined(),
  );
});
