import { createHash } from 'node:crypto';
import type { OwnView } from '../../protocol/forecast-application.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../protocol/ids.ts';
import { encodeSummary } from '../../protocol/messages/summary.ts';
import type { PlanResource } from '../../protocol/placement.ts';
import { seededRandom } from '../../protocol/random.ts';

/** Resources that a PoP sees enough of to forecast; their popularity follows Zipf's law, as that of the Web does. */
export const RESOURCES = 1_000;
const REGIONS = ['africa', 'asia', 'europe', 'north', 'oceania', 'south'] as RegionId[];
const SITES = ['shop', 'video', 'news'] as SiteId[];
const HORIZON_EPOCHS = 20;

const key16 = (n: number): Key16 =>
  createHash('sha256').update(`resource ${n}`).digest('hex').slice(0, 32) as Key16;

interface Known {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly size: number;
  /** Requests expected in a window, thousandths, by region. */
  readonly demand: readonly (readonly [region: RegionId, expected: number])[];
}

const random = seededRandom(1);
const KNOWN: readonly Known[] = Array.from({ length: RESOURCES }, (_, rank) => ({
  key16: key16(rank),
  site: SITES[rank % SITES.length]!,
  size: Math.round(2_000 * 2 ** (random.float() * 12)),
  demand: REGIONS.filter(() => random.float() < 0.5).map((region) => {
    const share = random.float();
    return [region, Math.round((3_000_000 * share) / (rank + 5))] as const;
  }),
}));
const BY_KEY = new Map(KNOWN.map((known) => [known.key16, known]));

/** Of all resources so many change their demand in an epoch; the rest are forecast nearly as in the epoch before. */
const CHANGING = 0.05;

const draw = (...numbers: readonly number[]): number =>
  seededRandom(numbers.reduce((sum, number) => (Math.imul(sum, 31) + number * 7_919) >>> 0, 17)).float();

/** What this PoP makes of a number that all look at: up to a tenth off for good, up to a hundredth anew each epoch. */
function said(expected: number, pop: number, epoch: number, n: number): number {
  const changed = draw(n, epoch) < CHANGING ? 0.5 + draw(epoch, n) : 1;
  const own = 0.9 + 0.2 * draw(pop, n);
  return Math.round(expected * changed * own * (0.99 + 0.02 * draw(pop, epoch, n)));
}

/** The forecasts of PoP number `pop` in an epoch. */
export function viewOf(pop: number, epoch: number, epochMs: number): OwnView {
  const window = epoch * epochMs;
  const resources = KNOWN.map(
    ({ demand, ...one }, n): PlanResource => ({
      ...one,
      holders: demand.slice(0, 1).map(([region]) => region),
      demand: demand.map(([region, expected]) => ({
        ...{ region, expected: said(HORIZON_EPOCHS * expected, pop, epoch, n), held: n % 3 === 0 },
        chance: Math.min(1_000, 100 + Math.round(expected / 100)),
        credit: Math.min(1_000, 50 + Math.round(expected / 150)),
      })),
    }),
  );
  const expected = (key: Key16, region: RegionId) =>
    BY_KEY.get(key)?.demand.find(([one]) => one === region)?.[1] ?? 0;
  return {
    ...{
      at: Date.now(),
      window,
      windowMs: epochMs,
      windowShare: Math.round(1_000 / HORIZON_EPOCHS),
      resources,
    },
    cap: { storageBudgetMiB: 200_000, fillKiBps: 50_000, load: 3, state: 'up' },
    uses: SITES.map((site) => ({
      site,
      mirroredKiB: 5_000,
      usedKiB: 3_000,
      unusedKiB: 900,
      promisedKiB: 3_500,
    })),
    observed: (key, region) => said(expected(key, region), 0, epoch, 1),
    series: (key, region) => {
      const next = said(expected(key, region), pop, epoch, 2);
      return { next, mean: HORIZON_EPOCHS * next, upper: HORIZON_EPOCHS * 2 * next };
    },
  };
}

/** The summary that the same PoP shares of the same window: what it was asked for itself. */
export function summaryOf(
  pop: number,
  self: PopId,
  epoch: number,
  epochMs: number,
  pops: number,
): Uint8Array {
  const own = REGIONS[pop % REGIONS.length]!;
  const resources = KNOWN.flatMap(({ demand, ...one }, n) => {
    const regions = demand
      .filter(([region]) => region === own || n % 7 === pop % 7)
      .map(([region, expected]) => ({
        ...{ region, count: Math.ceil(said(expected, pop, epoch, n) / 1_000 / Math.max(1, pops / 6)) },
        bytes: one.size,
      }));
    return regions.length === 0
      ? []
      : [{ ...one, kind: n % 10, group: n % 5_000, clients: [n, n] as const, regions }];
  });
  return encodeSummary(
    {
      ...{ pop: self, sequence: epoch, from: epoch * epochMs, to: (epoch + 1) * epochMs, requests: 90_000 },
      ...{ bytes: 9e9, tail: { requests: 20_000, bytes: 1e9 }, resources },
      capacities: {
        storageBudgetMiB: 200_000,
        storageFreeMiB: 90_000,
        fillKiBps: 50_000,
        load: 3,
        state: 'up',
      },
      worth: { mirroredKiB: 5_000, usedKiB: 3_000, unusedKiB: 900, promisedKiB: 3_500 },
      companions: resources.slice(0, 200).map((_, n) => [n, (n * 7 + 1) % resources.length, 3] as const),
    },
    pops,
  );
}
