import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Catalogue } from '../../../protocol/catalogue.ts';
import { PeerHoldings } from '../../../protocol/holdings.ts';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { ContentHash } from '../../../protocol/ids.ts';
import type { Invalidations, Purgeable } from '../../../protocol/invalidation.ts';
import { encodeCatalogueGossip, MAX_REPLY_ROWS, SHARDS } from '../../../protocol/messages/catalogue.ts';
import type { FetchedResponse, Replica, ReplicaSource } from '../../../protocol/replica.ts';
import { validatorOf } from '../../../protocol/versions.ts';
import { invalidationsOf, keyIn, popOf, purgeAt, resource, tag, url } from './pops.ts';

const page = resource('a.example/page', ['news']);
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex') as ContentHash;
const at = (ms: number) => ({ real: ms, demand: ms });

interface Fetched {
  readonly etag?: string | undefined;
  readonly source?: ReplicaSource;
  readonly size?: number;
  readonly variant?: string;
  readonly now?: number;
}

/** A catalogue with its purges, and the shortest way to store something. */
class Fixture {
  readonly invalidations: Invalidations;
  readonly catalogue: Catalogue;
  reconciled = true;

  constructor(n = 1, budgetBytes = 1_000) {
    this.invalidations = invalidationsOf(n);
    this.catalogue = new Catalogue({
      self: popOf(n),
      invalidations: this.invalidations,
      clock: new HybridClock(popOf(n)),
      budgetBytes,
      reconciled: () => this.reconciled,
      cutOff: () => 'revalidate',
      incarnation: 1,
    });
  }

  fetch(what: Purgeable, body: string, options: Fetched = {}): Replica | undefined {
    const { now = 1_000, source = 'client', size = body.length, variant = '' } = options;
    const etag = 'etag' in options ? options.etag : hashOf(body).slice(0, 8);
    const headers: FetchedResponse['headers'] = etag === undefined ? [] : [['etag', etag]];
    const { key, key16, site, tags } = what;
    const response = { variant, status: 200, headers, content: hashOf(body), size, tags, source };
    return this.catalogue.store(
      this.catalogue.begin(key, key16, site),
      { ...response, requestedAt: now, receivedAt: now },
      at(now),
    )?.replica;
  }
}

describe('versions', () => {
  it('are new only if content and validator both differ from the newest known', () => {
    const { catalogue, fetch } = bound(new Fixture());
    const first = fetch(page, 'one', { etag: '"1"' })!;
    expect(fetch(page, 'one', { etag: '"flapping"' })!.version).toEqual(first.version);
    expect(fetch(page, 'one, otherwise put', { etag: 'W/"1"' })!.version).toEqual(first.version);
    const second = fetch(page, 'two', { etag: '"2"' })!;
    expect(second.version).not.toEqual(first.version);
    const third = fetch(page, 'three', { etag: undefined })!;
    expect(third.version).not.toEqual(second.version);
    expect(catalogue.versions.get(page.key16)?.content).toBe(hashOf('three'));
  });

  it('an origin that alternates between two contents makes no version each time', () => {
    const { fetch } = bound(new Fixture());
    const stamps = new Set<string>();
    for (let i = 0; i < 50; i += 1) stamps.add(JSON.stringify(fetch(page, i % 2 ? 'a' : 'b')!.version));
    expect(stamps.size).toBeLessThan(6);
    // A truly new content ends the flapping.
    expect(stamps.has(JSON.stringify(fetch(page, 'c')!.version))).toBe(false);
  });

  it('told by a peer make other content stale, equal content not, and a far stamp nothing', () => {
    const { catalogue, fetch } = bound(new Fixture());
    const held = fetch(page, 'old')!;
    const stamp = { time: 5_000, counter: 0, pop: popOf(2) };
    const told = (body: string, time: number) =>
      catalogue.learn(
        [
          {
            id: page.key16,
            version: { content: hashOf(body), size: 1, validator: '', stamp: { ...stamp, time } },
          },
        ],
        at(6_000),
      );
    told('old', 5_000);
    expect(catalogue.standing(held)).toBe('valid');
    expect(told('from the future', 6_000 + 600_000).early).toHaveLength(1);
    expect(catalogue.standing(held)).toBe('valid');
    expect(told('new', 5_500).early).toEqual([]);
    expect(catalogue.standing(held)).toBe('stale');
    expect(catalogue.adopt({ ...held, receivedAt: 9_000 }, at(9_000))).toBeUndefined();
    // The origin says that the old one is right after all: that is the newest, then.
    const { key, key16, site } = page;
    const change = catalogue.refresh(catalogue.begin(key, key16, site), held, [], 9_000, 9_000, at(9_000));
    expect(catalogue.standing(change!.replica!)).toBe('valid');
    expect(change!.replica!.version.time).toBeGreaterThan(5_500);
  });

  it('weak and strong ETags compare as one, else Last-Modified counts', () => {
    expect(validatorOf([['etag', 'W/"x"']])).toBe(validatorOf([['etag', '"x"']]));
    expect(validatorOf([['last-modified', 'x']])).not.toBe('');
    expect(validatorOf([])).toBe('');
  });
});

/** Methods that can be taken apart from their object. */
function bound(fixture: Fixture) {
  return {
    fixture,
    catalogue: fixture.catalogue,
    invalidations: fixture.invalidations,
    fetch: fixture.fetch.bind(fixture),
  };
}

describe('standing', () => {
  it('a purge while the fetch is under way keeps its content out', () => {
    const { catalogue, invalidations, fetch } = bound(new Fixture());
    const ticket = catalogue.begin(page.key, page.key16, page.site);
    purgeAt(invalidations, tag('news'), { soft: true });
    const response: FetchedResponse = {
      ...{ variant: '', status: 200, headers: [], content: hashOf('x'), size: 1, tags: page.tags },
      ...{ requestedAt: 0, receivedAt: 0, source: 'client' },
    };
    expect(catalogue.store(ticket, response, at(1))).toBeUndefined();
    expect(catalogue.get(page.key16)).toEqual([]);
    expect(fetch(page, 'x')).toBeDefined();
  });

  it('304 lifts a soft purge, not a hard one, and not one that came meanwhile', () => {
    const { catalogue, invalidations, fetch } = bound(new Fixture());
    const { key, key16, site } = page;
    const begin = () => catalogue.begin(key, key16, site);
    const held = fetch(page, 'x')!;
    purgeAt(invalidations, url(key), { soft: true, time: 10 });
    expect(catalogue.standing(held)).toBe('stale');
    const early = begin();
    purgeAt(invalidations, url(key), { soft: true, time: 20 });
    expect(catalogue.refresh(early, held, [], 1, 1, at(1))).toBeUndefined();
    const renewed = catalogue.refresh(
      begin(),
      held,
      [
        ['age', '0'],
        ['content-length', '9'],
      ],
      1,
      1,
      at(1),
    );
    expect(catalogue.standing(renewed!.replica!)).toBe('valid');
    expect(renewed!.replica!.headers.map(([name]) => name)).toEqual(['etag', 'age']);
    purgeAt(invalidations, url(key), { time: 30 });
    expect(catalogue.standing(renewed!.replica!)).toBe('gone');
    expect(catalogue.refresh(begin(), renewed!.replica!, [], 2, 2, at(2))).toBeUndefined();
  });

  it('not reconciled, a site that says so revalidates', () => {
    const { fixture, catalogue, fetch } = bound(new Fixture());
    const held = fetch(page, 'x')!;
    fixture.reconciled = false;
    expect(catalogue.standing(held)).toBe('stale');
    fixture.reconciled = true;
    expect(catalogue.standing(held)).toBe('valid');
  });

  it('a replica is adopted only if its fence covers what is known here', () => {
    const [here, there] = [bound(new Fixture(1)), bound(new Fixture(2))];
    const purge = purgeAt(here.invalidations, url(page.key));
    const theirs = there.fetch(page, 'x')!;
    expect(here.catalogue.adopt(theirs, at(2_000))).toBeUndefined();
    there.invalidations.apply(purge);
    const fenced = there.fetch(page, 'x')!;
    expect(here.catalogue.adopt(fenced, at(2_000))?.replica).toBeDefined();
    expect(here.catalogue.standing(here.catalogue.get(page.key16)[0]!)).toBe('valid');
  });

  it('drops what a purge made unusable, by URL at once and by tag in slices', () => {
    const { catalogue, invalidations, fetch } = bound(new Fixture());
    const others = Array.from({ length: 10 }, (_, i) => resource(`a/${i}`, [i % 2 ? 'odd' : 'even']));
    for (const other of others) fetch(other, `body ${other.key}`);
    fetch(page, 'x');
    const change = catalogue.purged([purgeAt(invalidations, url(page.key))]);
    expect(change.unused).toEqual([hashOf('x')]);
    purgeAt(invalidations, tag('odd'), { time: 50 });
    const replicas = catalogue.shelf[Symbol.iterator]();
    let slices = 0;
    for (let done = false; !done; slices += 1) done = catalogue.sweep(replicas, 3).done;
    expect(slices).toBe(4);
    expect(catalogue.shelf.size).toBe(5);
  });
});

describe('storage', () => {
  const sized = (i: number) => resource(`a/${i}`);

  it('speculative goes first, then mirrored and unused, then what clients wanted longest ago', () => {
    const { catalogue, fetch } = bound(new Fixture(1, 400));
    fetch(sized(1), 'client', { size: 100, now: 1 });
    fetch(sized(2), 'mirrored', { size: 100, now: 2, source: 'plan' });
    fetch(sized(3), 'speculative', { size: 100, now: 3, source: 'speculative' });
    const used = fetch(sized(4), 'used mirror', { size: 100, now: 4, source: 'plan' })!;
    catalogue.touch(used, 5_000);
    const left = () => [1, 2, 3, 4, 5, 6, 7].filter((i) => catalogue.get(sized(i).key16).length > 0);
    fetch(sized(5), 'five', { size: 100, now: 6_000 });
    expect(left()).toEqual([1, 2, 4, 5]);
    fetch(sized(6), 'six', { size: 100, now: 7_000 });
    expect(left()).toEqual([1, 4, 5, 6]);
    // Nothing mirrored pushes out what clients asked for lately; it does what nobody asked for in an hour.
    expect(fetch(sized(7), 'seven', { size: 100, now: 8_000, source: 'plan' })).toBeUndefined();
    expect(left()).toEqual([1, 4, 5, 6]);
    fetch(sized(7), 'seven', { size: 100, now: 4_000_000, source: 'plan' });
    expect(left()).toContain(7);
    expect(catalogue.shelf.bytes).toBe(400);
  });

  it('a content that several resources share counts once, and is unused only after the last', () => {
    const { catalogue, fetch } = bound(new Fixture());
    fetch(sized(1), 'same', { size: 700 });
    fetch(sized(2), 'same', { size: 700 });
    expect(catalogue.shelf.bytes).toBe(700);
    expect(catalogue.drop(sized(1).key16, '').unused).toEqual([]);
    expect(catalogue.drop(sized(2).key16, '').unused).toEqual([hashOf('same')]);
    expect(catalogue.shelf.bytes).toBe(0);
  });

  it('refuses what can never fit, and bounds the variants of one resource', () => {
    const { catalogue, fetch } = bound(new Fixture(1, 10_000));
    expect(fetch(sized(1), 'huge', { size: 10_001 })).toBeUndefined();
    for (let i = 0; i < 100; i += 1) fetch(page, `v${i}`, { variant: `accept: ${i}` });
    expect(catalogue.get(page.key16)).toHaveLength(64);
  });
});

describe('holdings', () => {
  it('a peer learns of adds, removals and gaps, and after a restart of everything', () => {
    const [here, there] = [bound(new Fixture(1)), bound(new Fixture(2))];
    const announce = (change: { announce: readonly string[] } | undefined) => {
      for (const id of change?.announce ?? []) here.catalogue.log.append(id);
    };
    const store = (i: number) => {
      here.fetch(resource(`a/${i}`), `b${i}`);
      announce({ announce: [resource(`a/${i}`).key16] });
    };
    const hear = () => {
      const delta = here.catalogue.log.publish()!;
      return { delta, next: there.catalogue.peers.heard(popOf(1), delta) };
    };
    const converse = (first: ReturnType<typeof there.catalogue.peers.first> | undefined) => {
      let call = first;
      let calls = 0;
      for (; call; calls += 1) {
        call = there.catalogue.peers.answered(popOf(1), call, here.catalogue.log.answer(call));
      }
      return calls;
    };
    const known = (i: number) => there.catalogue.peers.holders(resource(`a/${i}`).key16).length;
    store(1);
    converse(there.catalogue.peers.first(popOf(1)));
    expect(known(1)).toBe(1);
    hear();
    store(2);
    expect(hear().next).toBeUndefined();
    expect(known(2)).toBe(1);
    store(3);
    here.catalogue.log.publish();
    store(4);
    const { next } = hear();
    expect(next).toMatchObject({ kind: 'log' });
    converse(next);
    expect([known(3), known(4)]).toEqual([1, 1]);
    announce(here.catalogue.drop(resource('a/3').key16, ''));
    hear();
    expect(known(3)).toBe(0);
    expect(there.catalogue.holders(resource('a/4').key16)).toMatchObject([
      { pop: popOf(1), content: hashOf('b4'), variant: '' },
    ]);
    // A holder whose fence does not cover a purge known here is not named.
    purgeAt(there.invalidations, url('a/4'));
    expect(there.catalogue.holders(resource('a/4').key16)).toEqual([]);
  });

  it("what a soft purge has made stale is nobody's to take, until it is confirmed", () => {
    const [here, there] = [bound(new Fixture(1)), bound(new Fixture(2))];
    const held = here.fetch(page, 'x')!;
    const tell = (announce: readonly string[]) => {
      for (const id of announce) here.catalogue.log.append(id);
      const delta = here.catalogue.log.publish();
      if (delta) there.catalogue.peers.heard(popOf(1), delta);
      return there.catalogue.holders(page.key16).map(({ pop }) => pop);
    };
    expect(tell([held.key16])).toEqual([popOf(1)]);
    purgeAt(here.invalidations, tag('news'), { soft: true });
    const sweep = () => here.catalogue.sweep(here.catalogue.shelf[Symbol.iterator](), 9).change;
    // The other does not hold it, so it does not know its tags: it has to be told, and once is enough.
    const { announce, unused } = sweep();
    expect([tell(announce), unused]).toEqual([[], []]);
    expect(sweep().announce).toEqual([]);
    const { key, key16, site } = page;
    const confirmed = here.catalogue.refresh(here.catalogue.begin(key, key16, site), held, [], 9, 9, at(9));
    expect(tell(confirmed!.announce)).toEqual([popOf(1)]);
    // By URL the other sees for itself that the fence does not cover it.
    purgeAt(there.invalidations, url(key), { soft: true, time: 50 });
    expect(there.catalogue.holders(key16)).toEqual([]);
  });

  it('pages of a large catalogue stay within a frame, and all come', () => {
    const here = bound(new Fixture());
    const version = {
      content: hashOf('x'),
      size: 1,
      validator: '',
      stamp: { time: 1, counter: 0, pop: popOf(1) },
    };
    const idOf = (i: number) => (i * 0x10_0001).toString(16).padStart(9, '0').padEnd(32, '0');
    for (let i = 0; i < 15_000; i += 1) here.catalogue.restoreVersion(idOf(i), version);
    let shard = 0;
    let rows = 0;
    let pages = 0;
    while (shard < SHARDS) {
      const reply = here.catalogue.log.answer({ kind: 'page', shard });
      if (reply.kind !== 'page') throw new Error('not a page');
      expect(reply.rows.length).toBeLessThanOrEqual(MAX_REPLY_ROWS);
      rows += reply.rows.length;
      shard = reply.next;
      pages += 1;
    }
    expect([rows, pages]).toEqual([15_000, 2]);
    for (let i = 0; i < 300; i += 1) here.catalogue.log.append(idOf(i));
    const delta = here.catalogue.log.publish()!;
    expect(encodeCatalogueGossip(delta).length).toBeLessThan(64 * 1024);
    expect(here.catalogue.log.unpublished).toBe(100);
  });
});

describe('what is known of peers', () => {
  it('is bounded: peers share evenly, and what was told last is kept', () => {
    const peers = new PeerHoldings(2_000);
    const idOf = (i: number) => keyIn(`a/${i}`);
    const held = { content: hashOf('x'), size: 1, fence: new Map() };
    for (const n of [1, 2]) {
      const rows = Array.from({ length: 1_500 }, (_, i) => ({ id: idOf(i), held }));
      peers.heard(popOf(n), { incarnation: 1, after: 0, upTo: 1_500, rows });
    }
    expect([peers.countOf(popOf(1)), peers.countOf(popOf(2))]).toEqual([1_500, 1_000]);
    peers.heard(popOf(1), { incarnation: 2, after: 0, upTo: 1, rows: [{ id: idOf(9_999), held }] });
    expect(peers.countOf(popOf(1))).toBe(1_000);
    expect(peers.holders(idOf(9_999))).toHaveLength(1);
    expect(peers.holders(idOf(0))).toEqual([]);
    peers.forget(popOf(2));
    expect(peers.holders(idOf(1_400)).map(({ pop }) => pop)).toEqual([popOf(1)]);
  });
});

describe('tags', () => {
  it('show how a resource stands', () => {
    const { catalogue, fetch } = bound(new Fixture());
    expect(catalogue.tagOf(page.key16)).toMatchObject({ status: 'none', holders: [], labels: [] });
    catalogue.note(page.key16, { pulling: true, priority: 3, key: page.key }, 5);
    expect(catalogue.tagOf(page.key16)).toMatchObject({ status: 'pulling', priority: 3, key: page.key });
    const held = fetch(page, 'x', { source: 'plan' })!;
    expect(catalogue.tagOf(page.key16)).toMatchObject({
      ...{ status: 'mirrored', tier: 'disk', content: hashOf('x'), labels: ['news'] },
      ...{ version: held.version, site: page.site, size: 1 },
    });
    catalogue.touch(held, 10);
    expect(catalogue.tagOf(page.key16).status).toBe('client');
  });
});
