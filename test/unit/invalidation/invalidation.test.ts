import { describe, expect, it } from 'vitest';
import { openPurge, purgeVerifier, signPurge } from '../../../protocol/purge.ts';
import { invalidationsOf, OTHER_SITE, popOf, prefix, purgeAt, resource, SITE, tag, url } from './pops.ts';

const verify = purgeVerifier(() => true);

describe('fences', () => {
  it('a purge of the URL makes content fetched before it gone, and content fetched after it valid', () => {
    const here = invalidationsOf(1);
    const page = resource('a.example/page');
    const before = here.fenceAt(here.ordinal, here.handle(page));
    const begun = here.ordinal;
    purgeAt(here, url('a.example/page'));
    const after = here.fenceAt(here.ordinal, here.handle(page));
    expect(here.covers(before, page)).toBe('gone');
    expect(here.covers(after, page)).toBe('valid');
    // A fetch that began before the purge ends after it: its fence is that of its beginning.
    expect(here.covers(here.fenceAt(begun, here.handle(page)), page)).toBe('gone');
    expect(here.covers(before, resource('a.example/other'))).toBe('valid');
  });

  it('a soft purge makes stale, and a hard one below it still makes gone', () => {
    const here = invalidationsOf(1);
    const page = resource('a.example/page');
    const fresh = here.fenceAt(here.ordinal, here.handle(page));
    purgeAt(here, url('a.example/page'), { soft: true, time: 10 });
    expect(here.covers(fresh, page)).toBe('stale');
    const between = here.fenceAt(here.ordinal, here.handle(page));
    purgeAt(here, url('a.example/page'), { time: 20 });
    expect(here.covers(fresh, page)).toBe('gone');
    expect(here.covers(between, page)).toBe('gone');
    purgeAt(here, url('a.example/page'), { soft: true, time: 30 });
    expect(here.covers(fresh, page)).toBe('gone');
    expect(here.size).toBe(2);
  });

  it('tags and prefixes match within their site alone, prefixes at any character', () => {
    const here = invalidationsOf(1);
    const red = resource('a.example/img/red.png', ['colour', 'red']);
    const green = resource('a.example/img/green.png', ['colour']);
    const alien = resource('a.example/img/red.png', ['red'], OTHER_SITE);
    const none = new Map();
    purgeAt(here, tag('red'));
    expect([red, green, alien].map((r) => here.covers(none, r))).toEqual(['gone', 'valid', 'valid']);
    purgeAt(here, prefix('a.example/img/gr'));
    expect([red, green, alien].map((r) => here.covers(none, r))).toEqual(['gone', 'gone', 'valid']);
    const later = here.fenceAt(here.ordinal, here.handle(red));
    expect(here.covers(later, red)).toBe('valid');
    purgeAt(here, prefix(''), { site: OTHER_SITE, time: 99 });
    expect(here.covers(none, alien)).toBe('gone');
    expect(here.covers(later, red)).toBe('valid');
  });

  it('checks only what came since, and still sees it', () => {
    const here = invalidationsOf(1);
    const handle = here.handle(resource('a.example/p', ['t']));
    purgeAt(here, tag('t'));
    const since = here.ordinal;
    expect(here.check(new Map(), handle, since)).toBe('valid');
    purgeAt(here, prefix('a.ex'), { soft: true, time: 5 });
    expect(here.check(new Map(), handle, since)).toBe('stale');
    expect(here.check(new Map(), handle)).toBe('gone');
  });

  it('does not call content of an unknown site valid', () => {
    const here = invalidationsOf(1);
    const stranger = { ...resource('x/'), site: 'nowhere' as typeof SITE };
    expect(here.covers(new Map(), stranger)).toBe('stale');
    expect(() => here.prepare(url('x/'), stranger.site, false, stamp(1))).toThrow(/no site/);
  });
});

const stamp = (time: number) => ({ time, counter: 0, pop: popOf(1) });

describe('numbers and records', () => {
  it('numbers rise, follow the clock, and never go back with it', () => {
    const here = invalidationsOf(1);
    const first = purgeAt(here, url('a/'), { time: 1_000 });
    const second = purgeAt(here, url('b/'), { time: 500 });
    expect([first.seq, second.seq]).toEqual([1_000, 1_001]);
    const reborn = invalidationsOf(1);
    expect(reborn.apply(second)).toMatchObject({ outcome: 'applied' });
    expect(purgeAt(reborn, url('c/'), { time: 2 }).seq).toBe(1_002);
  });

  it('opens what was signed, and nothing that was changed or signed by another', () => {
    const here = invalidationsOf(1);
    const purge = purgeAt(here, tag('x'), { soft: true });
    expect(openPurge(purge.bytes, purge.signature, verify)).toEqual(purge);
    const other = invalidationsOf(2);
    const theirs = purgeAt(other, tag('x'), { soft: true });
    expect(() => openPurge(purge.bytes, theirs.signature, verify)).toThrow(/not signed/);
    for (let at = 0; at < purge.bytes.length; at += 1) {
      const changed = purge.bytes.slice();
      changed[at] = changed[at]! ^ 1;
      expect(() => openPurge(changed, purge.signature, verify)).toThrow();
    }
    expect(() =>
      openPurge(
        purge.bytes,
        purge.signature,
        purgeVerifier(() => false),
      ),
    ).toThrow();
  });

  it('names neither site nor tag nor path', () => {
    const here = invalidationsOf(1);
    for (const scope of [url('secret.example/x'), tag('secret'), prefix('secret.example/')]) {
      const { bytes } = purgeAt(here, scope, { time: Date.now() });
      expect(Buffer.from(bytes).toString('latin1')).not.toMatch(/secret|shop/);
    }
  });

  it('refuses scopes that are empty or too long', () => {
    const here = invalidationsOf(1);
    expect(() => here.prepare(tag(''), SITE, false, stamp(1))).toThrow();
    expect(() => here.prepare(tag('x'.repeat(1025)), SITE, false, stamp(1))).toThrow();
    expect(() => here.prepare(prefix('x'.repeat(8193)), SITE, false, stamp(1))).toThrow();
  });
});

describe('bounds', () => {
  it('keeps one purge per scope, and purges a whole site rather than exceed its bound', () => {
    const here = invalidationsOf(1, 100);
    for (let i = 0; i < 1_000; i += 1) purgeAt(here, url('a/same'), { time: i });
    expect(here.size).toBe(1);
    for (let i = 0; i < 1_000; i += 1) purgeAt(here, url(`a/${i}`), { time: 2_000 + i });
    expect(here.size).toBeLessThanOrEqual(101);
    for (const i of [0, 1, 500, 999]) expect(here.covers(new Map(), resource(`a/${i}`))).toBe('gone');
    const there = invalidationsOf(2);
    for (const purge of here.list()) there.apply(purge);
    expect(there.digest()).toEqual(here.digest());
  });

  it('refuses an issuer that keeps more than a correct one', () => {
    const here = invalidationsOf(1);
    const template = purgeAt(invalidationsOf(2), url('x/'));
    const sign = () => new Uint8Array(64);
    let refused = 0;
    for (let i = 0; i < 32_770; i += 1) {
      const scope = i.toString(16).padStart(32, '0');
      try {
        here.apply(signPurge({ ...template, seq: i + 10, target: { ...template.target, scope } }, sign));
      } catch {
        refused += 1;
      }
    }
    expect(refused).toBe(2);
  });
});
