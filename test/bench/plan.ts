import { DEFAULT_PARAMETERS } from '../../protocol/adjustment.ts';
import type { Charter } from '../../protocol/charter.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../protocol/ids.ts';
import { type PlanState, plan } from '../../protocol/placement.ts';
import { seededRandom } from '../../protocol/random.ts';

const RESOURCES = 20_000;
const POPS = 300;
const REGIONS = 30;
/** Within which a plan of this size must be made, ms. */
const LIMIT_MS = 2_000;
const RUNS = 7;

/** A full cluster's planning problem: every resource in demand in a third of the regions. */
export function planningProblem(
  resources: number,
  pops: number,
  regions: number,
): { state: PlanState; charter: Charter } {
  const random = seededRandom(1);
  const names = Array.from({ length: regions }, (_, i) => `region-${i}` as RegionId);
  const at = names.map(() => [random.float() * 200, random.float() * 200] as const);
  const between = (a: number, b: number) =>
    5 + Math.round(Math.hypot(at[a]![0] - at[b]![0], at[a]![1] - at[b]![1]));
  const charter: Charter = {
    version: 1,
    cluster: 'bench',
    epochMs: 30_000,
    horizonMs: 7_200_000,
    committee: 0,
    regions: names,
    distances: Object.fromEntries(
      names.map((region, a) => [region, Object.fromEntries(names.map((other, b) => [other, between(a, b)]))]),
    ),
    networks: [],
    countries: {},
    defaultRegion: names[0]!,
    sites: [
      {
        id: 'site' as SiteId,
        hosts: ['*'],
        origin: 'http://origin.example',
        secret: new Uint8Array(32),
        normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
        allow: ['*'],
        private: false,
        shield: 'home',
        cutOff: 'revalidate',
      },
    ],
  };
  const state: PlanState = {
    parameters: { ...DEFAULT_PARAMETERS, targets: 2 },
    pops: Array.from({ length: pops }, (_, i) => ({
      id: `pop-${i.toString().padStart(4, '0')}` as PopId,
      name: `pop-${i}`,
      region: names[i % regions]!,
      capacities: {
        storageBudgetMiB: 20_000,
        storageFreeMiB: 10_000,
        fillKiBps: 20_000,
        load: random.uint32() % 12,
        state: i % 50 === 49 ? 'drain' : 'up',
      },
    })),
    resources: Array.from({ length: resources }, (_, i) => ({
      key16: `${(i * 2654435761) >>> 0}`.padStart(32, '0') as Key16,
      site: 'site' as SiteId,
      size: Math.round(Math.exp(6 + 7 * random.float())),
      holders: names.filter(() => random.float() < 1 / 3),
      demand: names
        .filter(() => random.float() < 1 / 3)
        .map((region) => {
          const chance = Math.floor(1000 * random.float());
          return { region, expected: 4 * chance, chance, credit: chance, held: random.float() < 0.2 };
        }),
    })),
  };
  return { state, charter };
}

/** Time to plan for 20,000 resources on 300 PoPs, against the two seconds that an epoch leaves for it. */
export async function run(options: {
  json: boolean;
}): Promise<
  { name: string; unit: string; ours: number; peer: number; ratio: number; runs: number[] } & Record<
    string,
    unknown
  >
> {
  const { state, charter } = planningProblem(RESOURCES, POPS, REGIONS);
  const runs: number[] = [];
  let placements = 0;
  for (let i = 0; i < RUNS; i += 1) {
    const begun = performance.now();
    placements = plan(state, charter).placements.length;
    runs.push(Math.round(performance.now() - begun));
  }
  const ours = [...runs].sort((a, b) => a - b)[RUNS >> 1]!;
  const result = {
    name: 'plan',
    unit: 'ms',
    ours,
    peer: LIMIT_MS,
    ratio: ours / LIMIT_MS,
    runs,
    resources: RESOURCES,
    pops: POPS,
    placements,
  };
  if (!options.json) {
    console.log(`plan: ${RESOURCES} resources, ${POPS} PoPs, ${placements} placements`);
    console.log(`median ${ours} ms of ${LIMIT_MS} ms; runs ${runs.join(', ')} ms`);
  }
  return result;
}
