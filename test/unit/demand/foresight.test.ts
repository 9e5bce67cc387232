import { expect, test } from 'vitest';
import { Foresight } from '../../../forecasting/foresight.ts';
import { simulatedCharter } from '../../../node/simulator/presage-policy.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';
import type { Summary } from '../../../protocol/summary.ts';
import { DemandWindow } from '../../../protocol/window.ts';

const REGIONS = ['asia', 'eu', 'us'] as RegionId[];
const MEMBERS = REGIONS.map((region, i) => ({ id: `pop-${i}` as PopId, name: `name-${i}`, region }));
const WINDOW = 300_000;
const distances = [
  [0, 200, 150],
  [200, 0, 90],
  [150, 90, 0],
];
const timing = { windowMs: WINDOW, delayMs: 0, horizonMs: 2 * 3_600_000 };
const charter = simulatedCharter(REGIONS, { distances }, timing);
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const foresightOf = (i: number) => new Foresight({ self: MEMBERS[i]!.id, charter, members: MEMBERS });

/** A day in which small resources spread to all regions within hours and large ones stay where they began. */
function* windows(count: number): Generator<{ at: number; summaries: Summary[] }> {
  const random = seededRandom(11);
  const open = MEMBERS.map(({ id }) => new DemandWindow(id, 0, 1));
  for (let w = 0; w < count; w += 1) {
    const at = (w + 1) * WINDOW;
    for (let n = Math.max(0, 3 * w - 60); n < 3 * w; n += 1) {
      const popular = n % 4 === 0;
      for (let i = 0; i < MEMBERS.length; i += 1) {
        if (random.float() > (popular ? 0.12 : i === n % 3 ? 0.05 : 0)) continue;
        for (let k = 0; k < (popular ? 3 : 1); k += 1) {
          open[i]!.observe({
            ...{ key16: key(n), site: 'site' as SiteId, region: REGIONS[i]!, shareable: true },
            ...{ bytes: 4000, size: popular ? 4000 : 900_000, clientPrefix: random.uint32(), at: at - 1000 },
          });
        }
      }
    }
    const capacities = {
      ...{ storageBudgetMiB: 1000, storageFreeMiB: 500, fillKiBps: 10_000, load: 0, state: 'up' as const },
    };
    const worth = { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 };
    yield { at, summaries: open.map((window) => window.close(at, capacities, worth)) };
  }
}

test('PoPs that hear the same plan the same, each reads off its share, and explains it', () => {
  const all = MEMBERS.map((_, i) => foresightOf(i));
  let mirrors = 0;
  for (const { at, summaries } of windows(150)) {
    const outcomes = all.map((foresight) => {
      for (const summary of summaries) expect(foresight.fold(summary)).toBe(true);
      expect(foresight.fold(summaries[0]!)).toBe(false);
      return foresight.epoch(at);
    });
    for (const [i, { plan, ownShare }] of outcomes.entries()) {
      expect(plan).toEqual(outcomes[0]!.plan);
      expect(ownShare.map(({ key16 }) => key16)).toEqual(
        plan.placements.filter(({ pop }) => pop === MEMBERS[i]!.id).map(({ key16 }) => key16),
      );
      mirrors += ownShare.length;
    }
    for (const { key16, region } of outcomes[0]!.plan.placements) {
      const { placements, regions, reasons } = all[0]!.explain(key16);
      expect(placements.length).toBeGreaterThan(0);
      expect(regions.some((one) => one.region === region)).toBe(false);
      expect(reasons.find((one) => one.region === region)?.factors.length).toBeGreaterThan(10);
    }
  }
  expect(all[0]!.skill.trust).toBeGreaterThan(0);
  expect(mirrors).toBeGreaterThan(50);
  expect(all[0]!.explain(key(999_999))).toMatchObject({ known: false, placements: [], demand: [] });
});

test('a restart brings back what was learned', () => {
  const before = foresightOf(0);
  for (const { at, summaries } of windows(60)) {
    for (const summary of summaries) before.fold(summary);
    before.epoch(at);
  }
  before.mirrored(key(1), 4096, 1);
  const after = foresightOf(0);
  after.history.fromRows(structuredClone(before.history.toRows()), before.history.windows());
  after.restore(structuredClone(before.snapshot()));
  expect(after.skill).toEqual(before.skill);
  expect(after.parameters).toEqual(before.parameters);
  expect(after.mirrors).toEqual(before.mirrors);
  expect(after.snapshot()).toEqual(before.snapshot());
  after.restore({ edition: 1, arrivals: 'no', companions: 3, features: [[]], ledger: {} } as never);
  expect(after.skill).toEqual(before.skill);
});

test('forecasts of established series keep content where it is asked for, and choose its tier', () => {
  const foresight = foresightOf(1);
  let now = 0;
  for (const { at, summaries } of windows(30)) {
    for (const summary of summaries) foresight.fold(summary);
    now = at;
  }
  const outlook = { key16: key(4), region: REGIONS[1]!, next: 500, mean: 20_000, upper: 30_000 };
  const { ownShare } = foresight.epoch(now, [outlook]);
  expect(ownShare).toMatchObject([{ key16: key(4), purpose: 'keep', tier: 'memory' }]);
});

test('a PoP that has fallen silent takes no mirrors, and a use of a mirror counts once', () => {
  const foresight = foresightOf(0);
  const [first] = windows(1);
  for (const summary of first!.summaries) foresight.fold(summary);
  const outlook = {
    key16: first!.summaries[0]?.resources[0]?.key16 ?? key(0),
    region: REGIONS[0]!,
    next: 1,
    mean: 9000,
    upper: 9000,
  };
  foresight.fold({
    ...first!.summaries[0]!,
    sequence: 2,
    from: WINDOW,
    to: 20 * WINDOW,
    resources: [
      {
        key16: outlook.key16,
        site: 'site' as SiteId,
        size: 100,
        kind: 0,
        group: 0,
        clients: [1, 0],
        regions: [{ region: REGIONS[0]!, count: 5, bytes: 100 }],
      },
    ],
  });
  const { plan } = foresight.epoch(20 * WINDOW, [outlook]);
  expect(plan.placements.map(({ pop }) => pop)).toEqual(['pop-0']);
  foresight.mirrored(key(7), 10_240, 0);
  expect(foresight.requested(key(7))).toBe(true);
  expect(foresight.requested(key(7))).toBe(false);
  expect(foresight.takeWorth()).toMatchObject({ mirroredKiB: 10, usedKiB: 10, unusedKiB: 0 });
  expect(foresight.takeWorth()).toMatchObject({ mirroredKiB: 0, usedKiB: 0 });
});
