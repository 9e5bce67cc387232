import { describe, expect, it } from 'vitest';
import { essence, searchVariance } from '../../../node/http/caching/search-variance.ts';

const read = (...lines: string[]) => searchVariance(lines.map((line) => ['no-vary-search', line] as const));
/** Whether two queries name one resource under a rule. */
const one = (rule: string, a: string, b: string): boolean => {
  const variance = read(rule);
  return variance === undefined ? a === b : essence(a, variance) === essence(b, variance);
};

describe('No-Vary-Search', () => {
  it.each([
    ['params', 'a=1&b=2', 'c=3', true],
    ['params', '', 'c=3', true],
    ['params=?0', 'a=1', 'a=2', false],
    ['params=("a")', 'a=1&b=2', 'b=2', true],
    ['params=("a")', 'a=1&b=2', 'a=1&b=3', false],
    ['params=("a" "c")', 'c=1&b=2', 'b=2&a=9', true],
    ['params=("a")', 'A=1', 'A=2', false],
    ['params, except=("id")', 'id=1&x=2', 'y=3&id=1', true],
    ['params, except=("id")', 'id=1', 'id=2', false],
    ['params, except=()', 'id=1', 'id=2', true],
    ['key-order', 'a=1&b=2', 'b=2&a=1', true],
    ['key-order', 'a=1&a=2', 'a=2&a=1', false],
    ['key-order=?0', 'a=1&b=2', 'b=2&a=1', false],
    ['key-order, params=("x")', 'a=1&x=0&b=2', 'b=2&a=1', true],
    ['params=("a b")', 'a+b=1', 'a%20b=2', true],
    ['params=("a%20b")', 'a+b=1', '', true],
    ['params=("%C3%A9")', '%c3%a9=1', '', true],
    ['params=("a&b")', 'a%26b=1', '', true],
    ['params=("a=b")', 'a%3Db=1', '', true],
    ['params=("")', '=1', '', true],
    // What is not known is for others.
    ['params=("a"), new=1', 'a=1', 'a=2', true],
  ])('%s: %s and %s', (rule, a, b, expected) => {
    expect(one(rule, a, b)).toBe(expected);
    expect(one(rule, b, a)).toBe(expected);
  });

  it.each([
    ['empty'],
    ['params=1', 'params=1'],
    ['params="a"', 'params="a"'],
    ['params=(a)', 'params=(a)'],
    ['params=("a" 1)', 'params=("a" 1)'],
    ['except=("a")', 'except=("a")'],
    ['params=("b"), except=("a")', 'params=("b"), except=("a")'],
    ['params, except="a"', 'params, except="a"'],
    ['params, except', 'params, except'],
    ['key-order=1', 'key-order=1'],
    ['params=()', 'params=()'],
    ['params=("a"', 'params=("a"'],
    ['Params', 'Params'],
    ['(', '('],
  ])('counts every difference where it is %s', (_what, ...lines) => {
    expect(read(...lines)).toBeUndefined();
  });

  it('is one dictionary in however many lines, the last of a name counting', () => {
    expect(read('key-order', 'params=("a")')?.id).toBe(read('params=("a"), key-order')?.id);
    expect(read('params', 'params=("b" "a")')?.id).toBe(read('params=("a" "b")')?.id);
  });
});
