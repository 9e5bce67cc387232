import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULT_PARAMETERS } from '../../../protocol/adjustment.ts';
import type { Charter } from '../../../protocol/charter.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import {
  type PlanDemand,
  type PlanPop,
  type PlanResource,
  type PlanState,
  plan,
} from '../../../protocol/placement.ts';
import { CANDIDATES_MAX } from '../../../protocol/reach.ts';

const REGIONS = ['asia', 'eu', 'sa', 'us'] as RegionId[];
const SITE = 'site' as SiteId;

const charter: Charter = {
  version: 1,
  cluster: 'test',
  epochMs: 30_000,
  horizonMs: 7_200_000,
  committee: 13,
  regions: REGIONS,
  distances: {
    eu: { us: 90, asia: 180, sa: 200 },
    us: { eu: 90, asia: 150, sa: 120 },
    asia: { eu: 180, us: 150, sa: 280 },
    sa: { eu: 200, us: 120, asia: 280 },
  },
  networks: [],
  countries: {},
  defaultRegion: REGIONS[0]!,
  sites: [
    {
      id: SITE,
      hosts: ['*'],
      origin: 'http://origin.example',
      secret: new Uint8Array(32),
      normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
      allow: ['pop-0', 'pop-1', 'pop-2', 'pop-3', 'pop-4', 'pop-5'],
      private: false,
      shield: 'home',
      cutOff: 'revalidate',
    },
  ],
};

const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const popOf = (i: number, region: RegionId, more: Partial<PlanPop['capacities']> = {}): PlanPop => ({
  id: `id-${String(i).padStart(3, '0')}` as PopId,
  name: `pop-${i}`,
  region,
  capacities: {
    storageBudgetMiB: 100,
    storageFreeMiB: 50,
    fillKiBps: 10_000,
    load: 0,
    state: 'up',
    ...more,
  },
});
const demandOf = (region: RegionId, more: Partial<PlanDemand> = {}): PlanDemand => ({
  region,
  expected: 900,
  chance: 600,
  credit: 600,
  held: false,
  ...more,
});
const resourceOf = (n: number, demand: PlanDemand[], size = 20_000): PlanResource => ({
  key16: key(n),
  site: SITE,
  size,
  demand,
});
const planOf = (pops: PlanPop[], resources: PlanResource[], parameters = DEFAULT_PARAMETERS) =>
  plan({ pops, resources, parameters }, charter);

const arbitraryState: fc.Arbitrary<PlanState> = fc.record({
  parameters: fc.record({
    threshold: fc.integer({ min: 100_000, max: 100_000_000 }),
    safety: fc.integer({ min: 250, max: 1250 }),
    targets: fc.integer({ min: 1, max: 3 }),
    fillShare: fc.integer({ min: 100, max: 800 }),
    wasteTarget: fc.constant(500),
  }),
  pops: fc
    .array(
      fc.record({
        region: fc.constantFrom(...REGIONS),
        storageBudgetMiB: fc.integer({ min: 0, max: 40 }),
        fillKiBps: fc.integer({ min: 0, max: 100 }),
        load: fc.integer({ min: 0, max: 15 }),
        state: fc.constantFrom(
          'up' as const,
          'up' as const,
          'up' as const,
          'drain' as const,
          'sick' as const,
        ),
      }),
      { maxLength: 8 },
    )
    .map((list) => list.map(({ region, ...more }, i) => popOf(i, region, more))),
  resources: fc
    .array(
      fc.record({
        size: fc.oneof(fc.integer({ min: 0, max: 50_000 }), fc.integer({ min: 0, max: 2 ** 40 })),
        demand: fc.uniqueArray(
          fc.record({
            region: fc.constantFrom(...REGIONS),
            expected: fc.integer({ min: 0, max: 0x7fffffff }),
            chance: fc.integer({ min: 0, max: 1000 }),
            credit: fc.integer({ min: 0, max: 1000 }),
            held: fc.boolean(),
          }),
          { selector: (row) => row.region, maxLength: 4 },
        ),
      }),
      { maxLength: 30 },
    )
    .map((list) => list.map(({ size, demand }, i) => resourceOf(i, demand, size))),
});

test('a plan depends on what it is made of, not on the order in which that is listed', () => {
  fc.assert(
    fc.property(arbitraryState, (state) => {
      const turned = {
        ...state,
        pops: [...state.pops].reverse(),
        resources: [...state.resources]
          .reverse()
          .map((resource) => ({ ...resource, demand: [...resource.demand].reverse() })),
      };
      expect(plan(turned, charter).placements).toEqual(plan(state, charter).placements);
    }),
  );
});

test('no budget is exceeded, no unavailable or forbidden PoP is used, all numbers are safe integers', () => {
  fc.assert(
    fc.property(arbitraryState, (state) => {
      const { placements, skips } = plan(state, charter);
      for (const pop of state.pops) {
        const own = placements.filter((placement) => placement.pop === pop.id);
        if (own.length === 0) continue;
        expect(pop.capacities.state).toBe('up');
        expect(Number(pop.name.slice(4))).toBeLessThan(6);
        const bytes = own.reduce((sum, { size }) => sum + size, 0);
        expect(bytes).toBeLessThanOrEqual(pop.capacities.storageBudgetMiB * (1 << 20));
        expect(new Set(own.map(({ key16 }) => key16)).size).toBe(own.length);
        const mirrored = own.filter(({ purpose }) => purpose === 'mirror');
        const pulled = mirrored.reduce((sum, { size }) => sum + size, 0);
        expect(pulled).toBeLessThanOrEqual(pop.capacities.fillKiBps * 1024 * 30 * 20);
        for (const { value } of mirrored) expect(value).toBeGreaterThanOrEqual(state.parameters.threshold);
      }
      for (const { value } of [...placements, ...skips]) expect(Number.isSafeInteger(value)).toBe(true);
    }),
  );
});

test('the PoP nearest to the demand gets it; size decides what is worth it', () => {
  const pops = [popOf(0, REGIONS[1]!), popOf(1, REGIONS[3]!)];
  const { placements, skips } = planOf(pops, [
    resourceOf(1, [demandOf(REGIONS[3]!)]),
    resourceOf(2, [demandOf(REGIONS[3]!, { chance: 100, credit: 100 })], 200_000_000),
  ]);
  expect(placements.map(({ key16, pop }) => [key16, pop])).toEqual([[key(1), 'id-001']]);
  expect(skips).toMatchObject([{ key16: key(2), reason: 'below-threshold' }]);
});

test('an unavailable PoP is passed over with its reason, and the next one takes its demand', () => {
  const resource = [resourceOf(1, [demandOf(REGIONS[1]!)], 5_000)];
  const other = popOf(1, REGIONS[3]!);
  const third = popOf(2, REGIONS[0]!);
  for (const state of ['drain', 'sick'] as const) {
    const { placements, skips } = planOf([popOf(0, REGIONS[1]!, { state }), other, third], resource);
    expect(skips).toMatchObject([{ pop: 'id-000', reason: state }]);
    expect(placements).toMatchObject([{ pop: 'id-001' }]);
  }
  const reasonOf = (first: PlanPop) => planOf([first, other], resource).skips[0]?.reason;
  expect(reasonOf(popOf(0, REGIONS[1]!, { storageBudgetMiB: 0 }))).toBe('no-storage');
  expect(reasonOf(popOf(0, REGIONS[1]!, { fillKiBps: 0 }))).toBe('no-bandwidth');
  expect(reasonOf(popOf(0, REGIONS[1]!, { load: 15 }))).toBe('overloaded');
  expect(reasonOf(popOf(9, REGIONS[1]!))).toBe('not-allowed');
});

test('without credit nothing is mirrored, however likely; what clients asked for is kept all the same', () => {
  const pops = [popOf(0, REGIONS[1]!)];
  const { placements, skips } = planOf(pops, [
    resourceOf(1, [demandOf(REGIONS[1]!, { chance: 990, credit: 0 })]),
    resourceOf(2, [demandOf(REGIONS[1]!, { held: true, expected: 50_000 })]),
  ]);
  expect(skips).toMatchObject([{ key16: key(1), reason: 'no-credit' }]);
  expect(placements).toMatchObject([{ key16: key(2), purpose: 'keep', tier: 'memory' }]);
});

test('a mirror is worth the way to the nearest holder, not to the nearest PoP', () => {
  const pops = REGIONS.map((region, i) => popOf(i, region));
  const worthOf = (holders?: RegionId[]) =>
    planOf(pops, [{ ...resourceOf(1, [demandOf(REGIONS[1]!)]), ...(holders && { holders }) }]).placements[0]
      ?.value;
  expect(worthOf([REGIONS[2]!])).toBeGreaterThan(worthOf([REGIONS[3]!])!);
  expect(worthOf()).toBe(worthOf([REGIONS[0]!, REGIONS[2]!, REGIONS[3]!]));
});

test('PoPs of one region share its resources evenly, and only a few candidates are looked at', () => {
  const pops = Array.from({ length: 60 }, (_, i) => ({ ...popOf(i, REGIONS[1]!), name: 'pop-0' }));
  pops.push(popOf(99, REGIONS[3]!));
  const resources = Array.from({ length: 3200 }, (_, i) => resourceOf(i, [demandOf(REGIONS[1]!)]));
  const counts = new Map<string, number>();
  for (const { pop } of planOf(pops, resources).placements) counts.set(pop, (counts.get(pop) ?? 0) + 1);
  expect(counts.size).toBe(CANDIDATES_MAX);
  for (const count of counts.values()) {
    expect(count).toBeGreaterThan(50);
    expect(count).toBeLessThan(160);
  }
});
