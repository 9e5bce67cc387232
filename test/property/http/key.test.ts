import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalHost, canonicalTarget } from '../../../node/http/key.ts';
import type { Normalisation } from '../../../protocol/charter.ts';
import { codeOf, PresageError } from '../../../protocol/errors.ts';

const PLAIN: Normalisation = { dropParameters: [], sortParameters: false, ignoreQuery: false };
const SORTED: Normalisation = {
  dropParameters: ['utm_*', 'fbclid'],
  sortParameters: true,
  ignoreQuery: false,
};
const keyOf = (target: string, rule = PLAIN) =>
  canonicalTarget('a.example', target, rule).key.slice('a.example'.length);
const attempt = (target: string, rule = PLAIN): string | undefined => {
  try {
    return keyOf(target, rule);
  } catch (error) {
    if (error instanceof PresageError) return undefined;
    throw error;
  }
};

describe('canonical keys', () => {
  it.each([
    ['/', '/'],
    ['/a/./b/../c', '/a/c'],
    ['/a/..', '/'],
    ['/a/.', '/a/'],
    ['/%7euser/%2Fx', '/~user/%2Fx'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/a b"<>'.replace(' ', '%20'), '/a%20b%22%3C%3E'],
    ['/a?x=1&a=2', '/a?x=1&a=2'],
    ['/a?', '/a?'],
    ['/a?presage-signature=abc&presage-expires=1&x=1', '/a?x=1'],
    ['//double//slash', '//double//slash'],
  ])('%s becomes %s', (target, expected) => expect(keyOf(target)).toBe(expected));

  it.each([
    ['/a?b=2&a=1&utm_source=x&fbclid=y&a=0', '/a?a=1&a=0&b=2'],
    ['/a?utm_source=x', '/a'],
  ])('%s becomes %s where parameters are sorted', (target, expected) =>
    expect(keyOf(target, SORTED)).toBe(expected),
  );

  it('ignores the query where it is told to', () =>
    expect(keyOf('/a?b=2', { ...PLAIN, ignoreQuery: true })).toBe('/a'));

  it.each([
    '/..',
    '/a/../../b',
    '/%2e%2e/b',
    '/a/%2E%2e/b',
    '/a/.%2e/',
    '/..%2fetc/passwd',
    '/a%2f..%2fb',
    '/a%00',
    '/a%0d%0aSet-Cookie:x',
    '/a%5c..%5cb',
    '/a\\b',
    '/a%',
    '/a%zz',
    '/a#b',
    '/a b',
    '/\u00e9',
    'a',
    '*',
    '',
  ])('refuses %j', (target) => {
    expect(() => keyOf(target)).toThrow(PresageError);
  });

  it('refuses what is too long', () => {
    const code = (target: string) => {
      try {
        keyOf(target);
        return undefined;
      } catch (error) {
        return codeOf(error);
      }
    };
    expect(code(`/${'a'.repeat(9000)}`)).toBe('HTTP_TOO_LARGE');
    expect(code(`/?${'a&'.repeat(300)}`)).toBe('HTTP_MALFORMED');
  });

  it('tells a query that the origin signed', () => {
    expect(canonicalTarget('a', '/a?X-Amz-Signature=1', PLAIN).signed).toBe(true);
    expect(canonicalTarget('a', '/a?x=1', PLAIN).signed).toBe(false);
  });

  const piece = fc.constantFrom(
    'a',
    'B',
    '.',
    '..',
    '/',
    '%2e',
    '%2F',
    '%41',
    '%',
    '%c3%a9',
    '&',
    '=',
    '?',
    '"',
    '~',
    '+',
    '',
  );
  const targets = fc.array(piece, { maxLength: 24 }).map((parts) => `/${parts.join('')}`);

  it('is idempotent, and never leaves a dot segment', () =>
    fc.assert(
      fc.property(targets, fc.constantFrom(PLAIN, SORTED), (target, rule) => {
        const once = attempt(target, rule);
        if (once === undefined) return;
        expect(keyOf(once, rule)).toBe(once);
        expect(
          once
            .split('?')[0]!
            .split('/')
            .some((part) => part === '.' || part === '..'),
        ).toBe(false);
        expect(/[^!-~]/.test(once)).toBe(false);
      }),
      { numRuns: 2000 },
    ));

  it('is one key for all spellings of a path', () =>
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9~._-]{1,12}$/), fc.boolean(), (name, upper) => {
        fc.pre(name !== '.' && name !== '..');
        const escaped = [...name]
          .map((char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
          .map((text) => (upper ? text.toUpperCase() : text))
          .join('');
        expect(keyOf(`/x/../${escaped}`)).toBe(keyOf(`/${name}`));
      }),
      { numRuns: 500 },
    ));

  it('does not depend on the order of differently named parameters where they are sorted', () =>
    fc.assert(
      fc.property(
        fc
          .uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { maxLength: 8 })
          .chain((names) =>
            fc.tuple(
              fc.constant(names),
              fc.shuffledSubarray(names, { minLength: names.length, maxLength: names.length }),
            ),
          ),
        ([names, shuffled]) => {
          const query = (list: string[]) => list.map((name) => `${name}=1`).join('&');
          expect(keyOf(`/a?${query(shuffled)}`, SORTED)).toBe(keyOf(`/a?${query(names)}`, SORTED));
        },
      ),
    ));

  it('survives any text', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        attempt(text);
        attempt(`/${text}`, SORTED);
      }),
    ));
});

describe('canonical hosts', () => {
  it.each([
    ['EXAMPLE.com', 'example.com'],
    ['example.com:80', 'example.com'],
    ['example.com.', 'example.com'],
    ['example.com:8080', 'example.com:8080'],
    ['[2001:DB8::1]:80', '[2001:db8::1]'],
    ['127.0.0.1:', '127.0.0.1'],
  ])('%s becomes %s', (given, expected) => expect(canonicalHost(given, 80)).toBe(expected));
  it.each([
    '',
    'a b',
    'a..b',
    'user@host',
    'a/b',
    'a:99999',
    'a:0',
    'a,b',
    '[::1',
    'a\r\nb',
    '.',
    'x'.repeat(64),
  ])('refuses %j', (given) => expect(() => canonicalHost(given, 80)).toThrow(PresageError));
});
