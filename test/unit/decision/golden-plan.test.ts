import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { DEFAULT_PARAMETERS } from '../../../protocol/adjustment.ts';
import type { Charter } from '../../../protocol/charter.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { type PlanState, plan } from '../../../protocol/placement.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { tuningKey } from '../../../protocol/tuning.ts';
import { charterOf } from '../../property/decision/charter.ts';

const SITES = ['games', 'news', 'private'] as SiteId[];

/** Equal and unequal distances, all states of health, tight budgets, sites that not every PoP may hold. */
function problem(seed: number): { state: PlanState; charter: Charter } {
  const random = seededRandom(seed);
  const upTo = (max: number) => random.uint32() % (max + 1);
  const regions = Array.from({ length: 9 }, (_, i) => `region-${i}` as RegionId);
  const pops = Array.from({ length: 45 }, (_, i) => ({
    id: `id-${(i * 7919) % 1000}-${i}` as PopId,
    name: `pop-${i}`,
    region: regions[upTo(8)]!,
    capacities: {
      ...{ storageBudgetMiB: upTo(3) * 20, storageFreeMiB: upTo(20), fillKiBps: upTo(400), load: upTo(15) },
      state: (['up', 'up', 'up', 'drain', 'sick'] as const)[upTo(4)]!,
    },
  }));
  const base = charterOf();
  const charter: Charter = {
    ...base,
    regions,
    distances: Object.fromEntries(
      regions.map((region) => [region, Object.fromEntries(regions.map((to) => [to, 5 * upTo(60)]))]),
    ),
    sites: SITES.map((id, i) => ({
      ...base.sites[0]!,
      id,
      allow: i < 2 ? ['*'] : pops.filter((_, pop) => pop % 3 === 0).map(({ name }) => name),
    })),
  };
  const tuned = new Map(
    SITES.flatMap((site) =>
      regions.map((region) => [
        tuningKey(site, region),
        {
          ...DEFAULT_PARAMETERS,
          ...{ threshold: 100_000 * (1 + upTo(40)), safety: 250 + upTo(1000), targets: 1 + upTo(2) },
          fillShare: 100 + upTo(700),
        },
      ]),
    ).slice(5) as [string, typeof DEFAULT_PARAMETERS][],
  );
  const resources = Array.from({ length: 700 }, () => ({
    key16: Array.from({ length: 4 }, () => random.uint32().toString(16).padStart(8, '0')).join('') as Key16,
    site: [...SITES, 'unknown' as SiteId][upTo(10) % 4]!,
    size: 1 << upTo(24),
    ...(upTo(3) === 0 ? {} : { holders: regions.filter(() => upTo(3) === 0) }),
    demand: [...regions, 'elsewhere' as RegionId]
      .filter(() => upTo(2) === 0)
      .map((region) => ({
        ...{ region, expected: upTo(20_000), chance: upTo(1000), credit: upTo(1000) },
        held: upTo(4) === 0,
      })),
  }));
  return { state: { pops, resources, parameters: DEFAULT_PARAMETERS, tuned }, charter };
}

test('the plan is what it has always been, to the last placement and skip', () => {
  const hash = createHash('sha256');
  let placements = 0;
  const reasons = new Set<string>();
  for (let seed = 1; seed <= 12; seed += 1) {
    const { state, charter } = problem(seed);
    const made = plan(state, charter);
    placements += made.placements.length;
    for (const { reason } of made.skips) reasons.add(reason);
    hash.update(
      JSON.stringify([
        made.placements.map((p) => [
          p.key16,
          p.size,
          p.pop,
          p.region,
          p.tier,
          p.purpose,
          p.value,
          p.chance,
          p.expected,
        ]),
        made.skips.map((s) => [s.key16, s.pop, s.region, s.reason, s.value]),
      ]),
    );
  }
  expect([...reasons].sort()).toEqual([
    ...['below-threshold', 'drain', 'no-bandwidth', 'no-credit', 'no-storage', 'not-allowed', 'overloaded'],
    ...['sick', 'too-far'],
  ]);
  expect(placements).toBe(14_952);
  // What follows from the same decided state must not differ between versions under one edition of the rules.
  expect(hash.digest('hex')).toBe('6987db410cd05f786797a8b29007fe01e27fa8ae6a18d657f3f5857aede6d849');
});
