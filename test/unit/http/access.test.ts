import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  checkSignature,
  type Scope,
  signatureClaim,
  signatureQuery,
} from '../../../node/http/access/signed-url.ts';
import { checkToken, mintToken } from '../../../node/http/access/token.ts';
import { canonicalTarget } from '../../../node/http/key.ts';
import type { AccessKey } from '../../../protocol/charter.ts';

const key = (id: string, fill: number): AccessKey => ({ id, secret: new Uint8Array(32).fill(fill) });
const OLD = key('2026-08', 1);
const NEW = key('2026-11', 2);
const HOST = 'films.example.net';
const NOW = 1_800_000_000;

describe('a signed URL', () => {
  const rule = { dropParameters: ['utm_*'], sortParameters: true, ignoreQuery: false };
  const pathOf = (target: string) => canonicalTarget(HOST, target, rule).path;
  const sign = (scope: Scope, expires = NOW + 60, by = NEW) => signatureQuery(by, HOST, scope, expires);
  const check = (target: string, keys: readonly AccessKey[] = [NEW, OLD], host = HOST, now = NOW) => {
    const claim = signatureClaim(target);
    return claim === undefined || claim === 'malformed'
      ? claim
      : (checkSignature(claim, keys, host, pathOf(target), now) ?? 'open');
  };

  it('has the form that the documentation gives', () => {
    const expected = createHmac('sha256', NEW.secret)
      .update('presage-url/1\nfilms.example.net\n=/a/film.mp4?q=1\n1800000060\n2026-11')
      .digest('base64url');
    expect(sign({ path: '/a/film.mp4?q=1' })).toBe(
      `presage-expires=1800000060&presage-key=2026-11&presage-signature=${expected}`,
    );
    expect(sign({ prefix: '/a b/' })).toMatch(/^presage-prefix=\/a%20b\/&presage-expires=/);
  });

  it('opens the resource in every spelling that means the same, and nothing else', () => {
    const query = sign({ path: '/a/film.mp4?q=1&z=2' });
    expect(check(`/a/film.mp4?q=1&z=2&${query}`)).toBe('open');
    expect(check(`/a/./b/../film.mp4?${query}&z=2&utm_source=x&q=1`)).toBe('open');
    for (const other of [
      '/a/film.mp4?q=1',
      '/a/film.mp5?q=1&z=2',
      '/a/film.mp4?q=1&z=2&y=3',
      '/A/film.mp4?q=1&z=2',
    ])
      expect(check(`${other}&${query}`)).toBe('mismatch');
    expect(check(`/a/film.mp4?q=1&z=2&${query}`, [NEW], 'other.example.net')).toBe('mismatch');
    expect(pathOf(`/a/film.mp4?q=1&z=2&${query}`)).toBe('/a/film.mp4?q=1&z=2');
  });

  it('opens all below a prefix, but no name that merely begins like it', () => {
    const query = sign({ prefix: '/films/1/' });
    expect(check(`/films/1/seg/0001.ts?${query}`)).toBe('open');
    expect(check(`/films/1/?${query}`)).toBe('open');
    expect(check(`/films/12/0001.ts?${query}`)).toBe('outside');
    expect(check(`/films/1/../2/0001.ts?${query}`)).toBe('outside');
    expect(check(`/films/2/a?${query.replace('/films/1/', '/films/2/')}`)).toBe('mismatch');
    expect(check(`/films/2/a?${query.replace('presage-prefix=/films/1/&', '')}`)).toBe('mismatch');
  });

  it('is good until the second of its expiry, under any key in force', () => {
    const at = (now: number, keys = [NEW, OLD]) =>
      check(`/a?${sign({ path: '/a' }, NOW, OLD)}`, keys, HOST, now);
    expect(at(NOW - 1)).toBe('open');
    expect(at(NOW)).toBe('expired');
    expect(at(NOW - 1, [NEW])).toBe('unknown-key');
    expect(check(`/a?${sign({ path: '/a' }).replace(String(NOW + 60), String(NOW + 6000))}`)).toBe(
      'mismatch',
    );
    expect(check(`/a?${sign({ path: '/a' }).replace('2026-11', '2026-08')}`)).toBe('mismatch');
  });

  it.each([
    ['none', '/a?x=1', undefined],
    ['none of ours', '/a?presage=1', undefined],
    ['a part', '/a?presage-key=2026-11', 'malformed'],
    ['a repeated one', `/a?${sign({ path: '/a' })}&presage-expires=1`, 'malformed'],
    ['a short one', '/a?presage-expires=1&presage-key=a&presage-signature=abc', 'malformed'],
    ['an expiry that is no number', `/a?${sign({ path: '/a' }).replace('1800', '0x18')}`, 'malformed'],
    ['a prefix within a name', `/a?presage-prefix=/a&${sign({ path: '/a' })}`, 'malformed'],
    ['a broken escape', `/a?presage-prefix=%&${sign({ path: '/a' })}`, 'malformed'],
  ])('that is %s is told apart', (_, target, expected) => {
    expect(signatureClaim(target)).toBe(expected);
  });
});

describe('a bearer token', () => {
  const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forge = (header: unknown, claims: unknown, by: AccessKey | undefined = NEW) => {
    const input = `${base64(header)}.${base64(claims)}`;
    return `${input}.${by ? createHmac('sha256', by.secret).update(input).digest('base64url') : ''}`;
  };
  const check = (token: string, path = '/a/b?x=1', keys = [NEW, OLD]) =>
    checkToken(token, keys, 'films', path, NOW) ?? 'open';
  const HEADER = { alg: 'HS256', kid: NEW.id };
  const CLAIMS = { aud: 'films', exp: NOW + 60 };

  it('opens its site, or the paths that it names', () => {
    expect(check(mintToken(NEW, { site: 'films', expires: NOW + 60 }))).toBe('open');
    const scoped = mintToken(OLD, { site: 'films', expires: NOW + 60, paths: ['/a/', '/c'] });
    expect([check(scoped), check(scoped, '/c?d'), check(scoped, '/c/d'), check(scoped, '/ab')]).toEqual([
      'open',
      'open',
      'outside',
      'outside',
    ]);
    expect(check(forge({ alg: 'HS256' }, { ...CLAIMS, aud: ['music', 'films'] }, OLD))).toBe('open');
  });

  it.each([
    ['without a signature', forge({ alg: 'none' }, CLAIMS, undefined), 'malformed'],
    ['of algorithm none, signed', forge({ alg: 'none' }, CLAIMS), 'malformed'],
    ['of another algorithm', forge({ alg: 'HS512', kid: NEW.id }, CLAIMS), 'malformed'],
    ['with extensions that must be understood', forge({ ...HEADER, crit: ['b64'] }, CLAIMS), 'malformed'],
    ['by a stranger', forge({ alg: 'HS256' }, CLAIMS, key('x', 9)), 'mismatch'],
    ['by a key of another name', forge({ alg: 'HS256', kid: OLD.id }, CLAIMS, NEW), 'mismatch'],
    ['by a retired key', forge({ alg: 'HS256', kid: '2026-01' }, CLAIMS), 'unknown-key'],
    ['for another site', forge(HEADER, { ...CLAIMS, aud: 'music' }), 'audience'],
    ['for no site', forge(HEADER, { exp: NOW + 60 }), 'malformed'],
    ['that never ends', forge(HEADER, { aud: 'films' }), 'malformed'],
    ['that has ended', forge(HEADER, { ...CLAIMS, exp: NOW }), 'expired'],
    ['that is not in force yet', forge(HEADER, { ...CLAIMS, nbf: NOW + 1 }), 'expired'],
    ['with paths that are none', forge(HEADER, { ...CLAIMS, paths: 'x' }), 'malformed'],
    ['of two parts', 'a.b', 'malformed'],
    ['that is no JSON', 'a.b.c', 'malformed'],
    ['that is too long', `${'a'.repeat(5000)}.b.c`, 'malformed'],
  ])('%s lets nobody in', (_, token, fault) => {
    expect(check(token)).toBe(fault);
  });
});
