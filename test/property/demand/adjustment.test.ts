import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  adjust,
  DEFAULT_PARAMETERS,
  NO_OUTCOME,
  outcomeOf,
  PARAMETER_BOUNDS,
  type Parameters,
  remember,
} from '../../../protocol/adjustment.ts';
import type { Key16, SiteId } from '../../../protocol/ids.ts';
import { MirrorLedger } from '../../../protocol/mirror-ledger.ts';

const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const kib = fc.integer({ min: 0, max: 1_000_000 });
const lot = fc.record({ usedKiB: kib, unusedKiB: kib, promisedKiB: kib, keptKiB: kib });

test('parameters stay integers within their bounds, and one lot moves the threshold by a tenth at most', () => {
  fc.assert(
    fc.property(fc.array(lot, { maxLength: 60 }), (lots) => {
      let parameters: Parameters = DEFAULT_PARAMETERS;
      let outcome = NO_OUTCOME;
      for (const one of lots) {
        outcome = remember(outcome, one);
        const next = adjust(parameters, outcome, one);
        for (const name of ['threshold', 'safety', 'targets', 'fillShare'] as const) {
          expect(Number.isSafeInteger(next[name])).toBe(true);
          expect(next[name]).toBeGreaterThanOrEqual(PARAMETER_BOUNDS[name][0]);
          expect(next[name]).toBeLessThanOrEqual(PARAMETER_BOUNDS[name][1]);
        }
        expect(Math.abs(next.threshold - parameters.threshold)).toBeLessThanOrEqual(
          parameters.threshold / 10 + 1,
        );
        parameters = next;
      }
    }),
  );
});

test('waste above the target raises the threshold, below lowers it, and no news moves nothing', () => {
  const run = (usedKiB: number, unusedKiB: number) => {
    let parameters: Parameters = DEFAULT_PARAMETERS;
    let outcome = NO_OUTCOME;
    for (let i = 0; i < 30; i += 1) {
      const one = { usedKiB, unusedKiB, promisedKiB: 0, keptKiB: 0 };
      outcome = remember(outcome, one);
      parameters = adjust(parameters, outcome, one);
    }
    return parameters;
  };
  expect(run(100, 900).threshold).toBeGreaterThan(DEFAULT_PARAMETERS.threshold);
  expect(run(900, 100).threshold).toBeLessThan(DEFAULT_PARAMETERS.threshold);
  expect(run(500, 500)).toEqual(DEFAULT_PARAMETERS);
  const judged = { usedKiB: 10, unusedKiB: 90_000, promisedKiB: 0, keptKiB: 0 };
  expect(adjust(DEFAULT_PARAMETERS, judged, NO_OUTCOME)).toEqual(DEFAULT_PARAMETERS);
});

type Step = { at: number; what: 'mirrored' | 'requested' | 'released' | 'mature'; n: number };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    at: fc.integer({ min: 0, max: 50 }),
    what: fc.constantFrom('mirrored' as const, 'requested' as const, 'released' as const, 'mature' as const),
    n: fc.integer({ min: 0, max: 6 }),
  }),
  { maxLength: 80 },
);

test('every mirrored byte is used, unused or open, and the lots add up to the totals', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const ledger = new MirrorLedger();
      let now = 0;
      const sums = { mirrored: 0, used: 0, unused: 0 };
      const take = () => {
        const worth = ledger.take();
        sums.mirrored += worth.mirroredKiB;
        sums.used += worth.usedKiB;
        sums.unused += worth.unusedKiB;
      };
      for (const { at, what, n } of history) {
        now += at;
        if (what === 'mirrored') ledger.mirrored(key(n), 1024 * (n + 1), now, 500);
        else if (what === 'requested') ledger.requested(key(n));
        else if (what === 'released') ledger.released(key(n));
        else ledger.mature(now, 100);
        const { mirrored, used, unused, open } = ledger.totals;
        expect(open.count).toBeGreaterThanOrEqual(0);
        expect(used.bytes + unused.bytes + open.bytes).toBe(mirrored.bytes);
        if (at % 3 === 0) take();
      }
      take();
      const { mirrored, used, unused } = ledger.totals;
      expect(sums.mirrored * 1024).toBe(mirrored.bytes);
      expect(sums.used * 1024).toBe(used.bytes);
      // Bytes taken back after they were told stay owed until as many go unused.
      expect(sums.unused * 1024).toBeGreaterThanOrEqual(unused.bytes);
    }),
  );
});

test('a mirror too young to judge is neither used nor wasted; a late use still counts', () => {
  const ledger = new MirrorLedger();
  ledger.mirrored(key(1), 4096, 0, 700);
  ledger.mature(99, 100);
  expect(ledger.totals.open.count).toBe(1);
  expect(outcomeOf(ledger.take())).toEqual(NO_OUTCOME);
  ledger.mature(100, 100);
  expect(ledger.take()).toEqual({ mirroredKiB: 0, usedKiB: 0, unusedKiB: 4, promisedKiB: 3 });
  expect(ledger.requested(key(1))).toBe(true);
  expect(ledger.requested(key(1))).toBe(false);
  expect(ledger.totals).toMatchObject({ used: { bytes: 4096 }, unused: { bytes: 0 } });
});

test('sites are accounted for apart, 64 at a time, and nothing is lost between them', () => {
  const ledger = new MirrorLedger();
  const sites = Array.from({ length: 70 }, (_, n) => `site-${n}` as SiteId);
  for (const [n, site] of sites.entries()) {
    ledger.mirrored(key(n), 1024 * (n + 1) + 512, 0, 1000, site);
    ledger.mirrored(key(100 + n), 1024 * (n + 1) + 512, 0, 1000, site);
    ledger.requested(key(n));
  }
  ledger.mature(100, 100);
  const first = ledger.takeUses();
  expect(first.length).toBe(64);
  expect(first.map(({ site }) => site)).toEqual(first.map(({ site }) => site).sort());
  const second = ledger.takeUses();
  const told = new Map<string, number>();
  for (const use of [...first, ...second]) {
    told.set(use.site, (told.get(use.site) ?? 0) + use.mirroredKiB);
    expect(use.usedKiB).toBe(use.unusedKiB);
    expect(use.promisedKiB).toBe(use.mirroredKiB);
  }
  expect(told).toEqual(new Map([...told].map(([site]) => [site, 2 * Number(site.slice(5)) + 3])));
  expect(told.size).toBe(70);
  // A late use takes back what was judged unused; it is told once as much again goes unused.
  ledger.requested(key(100));
  expect(ledger.takeUses()).toEqual([
    { site: 'site-0', mirroredKiB: 0, usedKiB: 2, unusedKiB: 0, promisedKiB: 0 },
  ]);
});
