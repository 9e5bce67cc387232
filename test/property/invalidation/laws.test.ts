import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PresageError } from '../../../protocol/errors.ts';
import { compareStamps, HybridClock, MAX_DRIFT_MS } from '../../../protocol/hybrid-clock.ts';
import type { ContentHash } from '../../../protocol/ids.ts';
import {
  decodeCatalogueCall,
  decodeCatalogueGossip,
  decodeCatalogueReply,
  encodeCatalogueGossip,
  encodeCatalogueReply,
} from '../../../protocol/messages/catalogue.ts';
import { decodePurgeCall, decodePurgeGossip, decodePurgeReply } from '../../../protocol/messages/purge.ts';
import type { SignedPurge } from '../../../protocol/purge.ts';
import type { Fence, Stamp } from '../../../protocol/replica.ts';
import { newer, type Version, Versions, variantId } from '../../../protocol/versions.ts';
import {
  invalidationsOf,
  keyIn,
  popOf,
  prefix,
  purgeAt,
  resource,
  tag,
  url,
} from '../../unit/invalidation/pops.ts';

const POPS = [popOf(1), popOf(2), popOf(3)];
const stamp: fc.Arbitrary<Stamp> = fc.record({
  time: fc.nat(20),
  counter: fc.nat(3),
  pop: fc.constantFrom(...POPS),
});
const version: fc.Arbitrary<Version> = fc.record({
  content: fc.constantFrom(...['a', 'b', 'c'].map((c) => c.repeat(64) as ContentHash)),
  size: fc.nat(3),
  validator: fc.constantFrom('', '0'.repeat(16), '1'.repeat(16)),
  stamp,
});

describe('versions', () => {
  it('merging is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(newer(a, b)).toEqual(newer(b, a));
        expect(newer(newer(a, b), c)).toEqual(newer(a, newer(b, c)));
        expect(newer(a, a)).toEqual(a);
        expect([a, b]).toContain(newer(a, b));
      }),
    );
  });

  it('PoPs that heard the same versions in any order and number know the same', () => {
    const id = variantId(keyIn('a/x'), '');
    fc.assert(
      fc.property(
        fc.array(version, { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        (list, dice) => {
          const one = new Versions(() => false);
          for (const each of list) one.merge(id, each);
          const other = new Versions(() => false);
          const shuffled = [...list, ...list].sort(() => (dice.next().value % 2 ? 1 : -1));
          for (const each of shuffled) other.merge(id, each);
          expect(other.get(id)).toEqual(one.get(id));
        },
      ),
    );
  });
});

describe('the clock', () => {
  it('never goes back, passes all it adopted, and stays within the drift of the wall clock', () => {
    const step = fc.record({ wall: fc.nat(200_000), heard: fc.option(fc.nat(400_000)) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const clock = new HybridClock(POPS[0]!);
        let last: Stamp | undefined;
        let highest = 0;
        for (const { wall, heard } of steps) {
          highest = Math.max(highest, wall);
          if (heard !== null) {
            const theirs = { time: heard, counter: 7, pop: POPS[1]! };
            try {
              clock.observe(theirs, wall);
              const mine = clock.next(wall);
              expect(compareStamps(mine, theirs)).toBeGreaterThan(0);
              last = last && compareStamps(last, mine) >= 0 ? last : mine;
            } catch (error) {
              expect((error as PresageError).code).toBe('CLOCK_SKEW');
              expect(heard).toBeGreaterThan(wall + MAX_DRIFT_MS);
            }
          }
          const next = clock.next(wall);
          if (last) expect(compareStamps(next, last)).toBeGreaterThan(0);
          expect(next.time).toBeLessThanOrEqual(highest + MAX_DRIFT_MS + 1);
          last = next;
        }
      }),
    );
  });
});

const RESOURCES = ['a/x', 'a/y', 'b/x'].map((key, i) => resource(key, [`t${i % 2}`]));
const scope = fc.constantFrom(
  url('a/x'),
  url('b/x'),
  tag('t0'),
  tag('t1'),
  prefix('a/'),
  prefix('a/x'),
  prefix(''),
);
const order = fc.record({ issuer: fc.constantFrom(1, 2, 3), scope, soft: fc.boolean() });

/** Purges of three PoPs that hear nothing of each other. */
function issued(orders: readonly { issuer: number; scope: ReturnType<typeof url>; soft: boolean }[]) {
  const issuers = new Map([1, 2, 3].map((n) => [n, invalidationsOf(n)]));
  return orders.map(({ issuer, scope, soft }, i) =>
    purgeAt(issuers.get(issuer)!, scope, { soft, time: 1_000 + 10 * i }),
  );
}

const shuffled = <T>(list: readonly T[], dice: readonly number[]): T[] =>
  list
    .map((item, i) => [dice[i % dice.length] ?? 0, item] as const)
    .sort((a, b) => a[0] - b[0])
    .map(([, item]) => item);
const dice = fc.array(fc.nat(), { minLength: 1, maxLength: 40 });

describe('purges', () => {
  const runs = { numRuns: 30 };

  it('the set does not depend on order or repetition, nor does what it says of any content', () => {
    fc.assert(
      fc.property(fc.array(order, { maxLength: 20 }), dice, dice, (orders, first, second) => {
        const purges = issued(orders);
        const [a, b] = [invalidationsOf(8), invalidationsOf(9)];
        for (const purge of shuffled(purges, first)) a.apply(purge);
        for (const purge of shuffled([...purges, ...purges], second)) b.apply(purge);
        const byIssuer = (x: { issuer: string }, y: { issuer: string }) => (x.issuer < y.issuer ? -1 : 1);
        expect(a.digest().sort(byIssuer)).toEqual(b.digest().sort(byIssuer));
        expect(a.differing(b.digest())).toEqual([]);
        for (const one of RESOURCES) {
          for (const fence of fencesOf(purges)) expect(a.covers(fence, one)).toBe(b.covers(fence, one));
        }
      }),
      runs,
    );
  });

  it('compaction changes nothing: the set says what all purges together say', () => {
    fc.assert(
      fc.property(fc.array(order, { maxLength: 20 }), dice, (orders, first) => {
        const purges = issued(orders);
        const here = invalidationsOf(8);
        for (const purge of shuffled(purges, first)) here.apply(purge);
        for (const one of RESOURCES) {
          for (const fence of fencesOf(purges)) {
            const hits = purges.filter(
              (purge, i) => matchesOne(orders[i]!.scope, one) && purge.seq > (fence.get(purge.issuer) ?? -1),
            );
            const expected = hits.some(({ soft }) => !soft) ? 'gone' : hits.length > 0 ? 'stale' : 'valid';
            expect(here.covers(fence, one)).toBe(expected);
          }
        }
      }),
      runs,
    );
  });

  it('content fetched at a position is covered for all applied by then and for nothing after', () => {
    fc.assert(
      fc.property(fc.array(order, { minLength: 1, maxLength: 20 }), fc.nat(), (orders, at) => {
        const purges = issued(orders);
        const here = invalidationsOf(8);
        const cut = at % purges.length;
        for (const purge of purges.slice(0, cut)) here.apply(purge);
        const begun = here.ordinal;
        for (const one of RESOURCES) {
          expect(here.check(here.fenceAt(begun, here.handle(one)), here.handle(one))).toBe('valid');
        }
        for (const purge of purges.slice(cut)) here.apply(purge);
        for (const one of RESOURCES) {
          const late = orders.slice(cut).some(({ scope }) => matchesOne(scope, one));
          const fence = here.fenceAt(begun, here.handle(one));
          expect(here.check(fence, here.handle(one)) === 'valid').toBe(!late);
        }
      }),
      runs,
    );
  });

  it('checking step by step says the same as checking at once', () => {
    fc.assert(
      fc.property(fc.array(order, { maxLength: 20 }), (orders) => {
        const here = invalidationsOf(8);
        const handles = RESOURCES.map((one) => here.handle(one));
        const rank = { valid: 0, stale: 1, gone: 2 };
        const worst: ('valid' | 'stale' | 'gone')[] = handles.map(() => 'valid');
        const none: Fence = new Map();
        for (const purge of issued(orders)) {
          const since = here.ordinal;
          here.apply(purge);
          handles.forEach((handle, i) => {
            const found = here.check(none, handle, since);
            if (rank[found] > rank[worst[i]!]) worst[i] = found;
            expect(worst[i]).toBe(here.check(none, handle));
          });
        }
      }),
      runs,
    );
  });
});

function matchesOne(scope: ReturnType<typeof url>, one: (typeof RESOURCES)[number]): boolean {
  if (scope.kind === 'url') return scope.key === one.key;
  return scope.kind === 'tag' ? one.tags.includes(scope.tag) : one.key.startsWith(scope.prefix);
}

/** Fences that cover each prefix of what each issuer issued. */
function fencesOf(purges: readonly SignedPurge[]): Fence[] {
  const fences: Fence[] = [new Map()];
  const seen = new Map<SignedPurge['issuer'], number>();
  for (const { issuer, seq } of purges) {
    seen.set(issuer, seq);
    fences.push(new Map(seen), new Map([[issuer, seq]]));
  }
  return fences;
}

describe('hostile bytes', () => {
  const decoders = [
    decodePurgeGossip,
    decodePurgeCall,
    (data: Uint8Array) => decodePurgeReply(data, 'push'),
    (data: Uint8Array) => decodePurgeReply(data, 'compare'),
    decodeCatalogueGossip,
    decodeCatalogueCall,
    decodeCatalogueReply,
  ];

  it('no bytes do more than a coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(decoders.length - 1), (data, i) => {
        try {
          decoders[i]!(data);
        } catch (error) {
          expect(error).toBeInstanceOf(PresageError);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('a message that was tampered with is refused or read as another, never a crash; whole ones survive', () => {
    const held = { content: 'a'.repeat(64) as ContentHash, size: 5, fence: new Map([[POPS[0]!, 9]]) };
    const rows = [{ id: variantId(keyIn('a/x'), ''), held }, { id: variantId(keyIn('a/y'), 'ab'.repeat(8)) }];
    fc.assert(
      fc.property(version, fc.nat(), fc.nat(255), (one, at, byte) => {
        const delta = { incarnation: 3, after: 1, upTo: 4, rows: [...rows, { ...rows[0]!, version: one }] };
        const data = encodeCatalogueGossip(delta);
        expect(decodeCatalogueGossip(data)).toEqual(delta);
        const page = { kind: 'page', incarnation: 3, upTo: 4, next: 17, rows: delta.rows } as const;
        expect(decodeCatalogueReply(encodeCatalogueReply(page))).toEqual(page);
        const changed = data.slice();
        changed[at % data.length] = byte;
        try {
          decodeCatalogueGossip(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(PresageError);
        }
      }),
    );
  });
});
