import { describe, expect, test } from 'vitest';
import { Foresight, type ForesightSnapshot } from '../../../forecasting/foresight.ts';
import { RecentDemand } from '../../../forecasting/recent-demand.ts';
import { simulatedCharter } from '../../../node/simulator/presage-policy.ts';
import { DEFAULT_PARAMETERS } from '../../../protocol/adjustment.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import type { Plan } from '../../../protocol/placement.ts';
import type { Summary } from '../../../protocol/summary.ts';
import { tuningKey } from '../../../protocol/tuning.ts';

const REGIONS = ['asia', 'eu'] as RegionId[];
const MEMBERS = REGIONS.map((region, i) => ({ id: `pop-${i}` as PopId, name: `name-${i}`, region }));
const WINDOW = 30_000;
const timing = { windowMs: WINDOW, delayMs: 0, horizonMs: 3_600_000 };
const distances = [
  [0, 200],
  [200, 0],
];
const charter = simulatedCharter(REGIONS, { distances }, timing);
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const foresightOf = () => new Foresight({ self: MEMBERS[1]!.id, charter, members: MEMBERS });

const summaryOf = (
  pop: number,
  sequence: number,
  from: number,
  counts: readonly number[],
  to = from + WINDOW,
): Summary => ({
  pop: MEMBERS[pop]!.id,
  sequence,
  from,
  to,
  requests: 0,
  bytes: 0,
  tail: { requests: 0, bytes: 0 },
  capacities: { storageBudgetMiB: 100, storageFreeMiB: 100, fillKiBps: 1_000, load: 0, state: 'up' },
  worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
  resources: counts.map((count, n) => ({
    ...{ key16: key(n), site: 'site' as SiteId, size: 2_048, kind: 1, group: 0, clients: [1, 0] as const },
    regions: [{ region: REGIONS[pop]!, count, bytes: 0 }],
  })),
  companions: [],
});

describe('what all PoPs were asked for of late', () => {
  test('is the sum over PoPs of the window that began then, in thousandths', () => {
    const foresight = foresightOf();
    foresight.fold(summaryOf(0, 1, 0, [5, 7]));
    foresight.fold(summaryOf(1, 1, 0, [2]));
    foresight.fold({ ...summaryOf(0, 2, WINDOW, [1]), resources: summaryOf(1, 2, WINDOW, [1]).resources });
    expect(foresight.observed(key(0), REGIONS[0]!, 0)).toBe(5_000);
    expect(foresight.observed(key(0), REGIONS[1]!, 0)).toBe(2_000);
    expect(foresight.observed(key(1), REGIONS[0]!, 0)).toBe(7_000);
    expect(foresight.observed(key(1), REGIONS[1]!, 0)).toBe(0);
    expect(foresight.observed(key(0), REGIONS[1]!, WINDOW)).toBe(1_000);
    expect(foresight.observed(key(0), REGIONS[1]!, 0, 2 * WINDOW)).toBe(3_000);
  });

  test('counts windows of clocks that differ by how much of them overlaps', () => {
    const foresight = foresightOf();
    foresight.fold(summaryOf(0, 1, 10_000, [30]));
    expect(foresight.observed(key(0), REGIONS[0]!, 0)).toBe(20_000);
    expect(foresight.observed(key(0), REGIONS[0]!, WINDOW)).toBe(10_000);
    foresight.fold(summaryOf(0, 2, 40_000, [60]));
    expect(foresight.observed(key(0), REGIONS[0]!, WINDOW)).toBe(50_000);
    foresight.fold(summaryOf(0, 3, 70_000, [9], 70_000));
    expect(foresight.observed(key(0), REGIONS[0]!, 2 * WINDOW)).toBe(20_000);
  });

  test('is forgotten after six windows, and bounded however much is told', () => {
    const foresight = foresightOf();
    foresight.fold(summaryOf(0, 1, 0, [5]));
    foresight.prepare(6 * WINDOW);
    expect(foresight.observed(key(0), REGIONS[0]!, 0)).toBe(5_000);
    foresight.prepare(7 * WINDOW);
    expect(foresight.observed(key(0), REGIONS[0]!, 0)).toBe(0);
    const recent = new RecentDemand();
    const many = summaryOf(
      0,
      2,
      0,
      Array.from({ length: 60_000 }, () => 1),
    );
    for (let w = 0; w < 6; w += 1) recent.fold({ ...many, from: w * WINDOW, to: (w + 1) * WINDOW });
    expect(recent.size).toBe(240_000);
    expect(recent.observed(key(1), REGIONS[0]!, WINDOW, WINDOW)).toBe(0);
    expect(recent.observed(key(1), REGIONS[0]!, 5 * WINDOW, WINDOW)).toBe(1_000);
  });
});

const planOf = (pop: number, chance: number): Plan => ({
  placements: [
    {
      ...{ key16: key(0), size: 2_048, pop: MEMBERS[pop]!.id, region: REGIONS[pop]! },
      ...{ tier: 'disk', purpose: 'mirror', value: 1, chance, expected: 1 },
    },
  ],
  skips: [],
});

describe('a plan from elsewhere', () => {
  test('is what is explained, what is shared out, and what mirrors are accounted by', () => {
    const foresight = foresightOf();
    foresight.fold(summaryOf(0, 1, 0, [5]));
    foresight.prepare(WINDOW, [{ key16: key(0), region: REGIONS[0]!, next: 3, mean: 900, upper: 1_200 }]);
    expect(foresight.outlook(key(0), REGIONS[0]!)).toEqual({ next: 3, mean: 900, upper: 1_200 });
    expect(foresight.outlook(key(0), REGIONS[1]!)).toBeUndefined();
    expect(foresight.resources).toMatchObject([{ key16: key(0), demand: [{ expected: 900, held: true }] }]);
    const own = foresight.ownPlan();
    expect(own.placements).toMatchObject([{ pop: 'pop-0', purpose: 'keep' }]);
    expect(foresight.explain(key(0))).toMatchObject({ placements: [], agreed: false });
    const site = 'site' as SiteId;
    const tuned = new Map([[tuningKey(site, REGIONS[1]!), { ...DEFAULT_PARAMETERS, targets: 3 }]]);
    expect(foresight.adopt(planOf(1, 750), tuned)).toMatchObject([{ key16: key(0), purpose: 'mirror' }]);
    expect(foresight.explain(key(0))).toMatchObject({
      agreed: true,
      placements: [{ pop: 'pop-1' }],
      parameters: [
        { region: 'asia', parameters: { targets: 1 } },
        { region: 'eu', parameters: { targets: 3 } },
      ],
    });
    expect(foresight.tunings).toBe(tuned);
    foresight.mirrored(key(0), 2_048, WINDOW);
    foresight.requested(key(0));
    expect(foresight.takeUses()).toEqual([
      { site: 'site', mirroredKiB: 2, usedKiB: 2, unusedKiB: 0, promisedKiB: 1 },
    ]);
    expect(foresight.adopt(own)).toEqual([]);
    expect(foresight.tunings).toBeUndefined();
    expect(foresight.explain(key(0)).parameters).toMatchObject([{ parameters: DEFAULT_PARAMETERS }, {}]);
  });

  test('leaves what summaries tell of mirrors apart from what proposals tell', () => {
    const foresight = foresightOf();
    foresight.fold(summaryOf(0, 1, 0, [5]));
    foresight.adopt(planOf(1, 1000));
    foresight.mirrored(key(0), 2_047, 0);
    foresight.mirrored(key(9), 4_096, 0);
    expect(foresight.takeUses()).toEqual([
      { site: 'site', mirroredKiB: 1, usedKiB: 0, unusedKiB: 0, promisedKiB: 0 },
    ]);
    expect(foresight.takeUses()).toEqual([]);
    expect(foresight.takeWorth()).toMatchObject({ mirroredKiB: 6 });
    foresight.mirrored(key(1), 1, 0);
    foresight.released(key(0));
    // The rest of the KiB, and what was given up unused.
    expect(foresight.takeUses()).toEqual([
      { site: 'site', mirroredKiB: 0, usedKiB: 0, unusedKiB: 1, promisedKiB: 1 },
    ]);
  });
});

test('a snapshot of an earlier edition, or a damaged one, is taken back as far as it goes', () => {
  const foresight = foresightOf();
  foresight.restore({
    edition: 1,
    ledger: [
      [4_096, 1, 0, 0, 0, 0],
      [[key(3), 4_096, 0, 500, 'open'], [key(4), 'x'], 7],
    ],
    parameters: { ...DEFAULT_PARAMETERS, threshold: Number.NaN, targets: 2 },
    outcome: null,
  } as unknown as Partial<ForesightSnapshot>);
  expect(foresight.mirrors).toMatchObject({ mirrored: { bytes: 4_096, count: 1 }, open: { count: 1 } });
  expect(foresight.parameters).toEqual({ ...DEFAULT_PARAMETERS, targets: 2 });
  expect(foresight.requested(key(3))).toBe(true);
  expect(foresight.takeUses()).toEqual([]);
  expect(foresight.takeWorth()).toMatchObject({ usedKiB: 4 });
  for (const edition of [0, 2, undefined]) foresight.restore({ edition } as never);
  expect(foresight.mirrors.used.count).toBe(1);
});
