import { DEFAULT_PARAMETERS } from '../../protocol/adjustment.ts';
import { planHash } from '../../protocol/agreed-plan.ts';
import type { Charter } from '../../protocol/charter.ts';
import { decodeState, encodeState } from '../../protocol/decided-state-codec.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../protocol/ids.ts';
import { type PlanState, plan } from '../../protocol/placement.ts';
import { decodeProposal, proposalBytesMax } from '../../protocol/proposal.ts';
import { seededRandom } from '../../protocol/random.ts';
import { transition } from '../../protocol/transition.ts';
import { trust } from '../property/decision/cluster.ts';
import { decisionLoad } from './decision-load.ts';

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

interface Stage {
  readonly ms: number;
  readonly runs: readonly number[];
}

/**
 * Processor time of this thread: what the worker that decides and plans spends, whatever else runs on the machine.
 * The first run warms up and does not count.
 */
function timed(work: () => unknown): Stage {
  const runs: number[] = [];
  for (let i = 0; i <= RUNS; i += 1) {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    if (i > 0) runs.push(Math.round((user + system) / 1000));
  }
  return { ms: [...runs].sort((a, b) => a - b)[RUNS >> 1]!, runs };
}

/** What follows a decision at one PoP, stage by stage: bodies in, the next state, its bytes, and the plan. */
function deciding(pops: number): Record<string, Stage> {
  const { state, bodies } = decisionLoad(RESOURCES, pops);
  const limit = proposalBytesMax(pops);
  const included = () => bodies.map((body, slot) => ({ slot, proposal: decodeProposal(body, limit) }));
  const proposals = included();
  const chain = 'ab'.repeat(32);
  const next = transition(state, chain, proposals, trust);
  const encoded = encodeState(next);
  return {
    bodies: timed(included),
    transition: timed(() => transition(state, chain, proposals, trust)),
    encode: timed(() => encodeState(next)),
    decode: timed(() => decodeState(encoded)),
  };
}

/**
 * Time to decide and plan for 20,000 resources on 300 PoPs, against the two seconds that an epoch leaves for it; the
 * same at 5 and 30 PoPs beside it.
 */
export async function run(options: {
  json: boolean;
}): Promise<
  { name: string; unit: string; ours: number; peer: number; ratio: number; runs: number[] } & Record<
    string,
    unknown
  >
> {
  const { state, charter } = planningProblem(RESOURCES, POPS, REGIONS);
  const planning = timed(() => plan(state, charter));
  const made = plan(state, charter);
  const hashing = timed(() => planHash(made));
  const sizes = Object.fromEntries([5, 30, POPS].map((pops) => [pops, deciding(pops)]));
  const stages = [...Object.values(sizes[POPS]!), planning, hashing];
  const sum = (of: (stage: Stage) => number) => stages.reduce((total, stage) => total + of(stage), 0);
  const ours = sum(({ ms }) => ms);
  const result = {
    name: 'plan',
    unit: 'ms',
    ours,
    peer: LIMIT_MS,
    ratio: ours / LIMIT_MS,
    runs: planning.runs.map((_, i) => sum(({ runs }) => runs[i]!)),
    resources: RESOURCES,
    pops: POPS,
    placements: made.placements.length,
    planning,
    hashing,
    deciding: sizes,
  };
  if (!options.json) {
    console.log(`${RESOURCES} resources; processor time, median (least to most) of ${RUNS} runs, ms`);
    const show = (name: string, { ms, runs }: Stage) =>
      console.log(`  ${name.padEnd(12)} ${ms} (${Math.min(...runs)} to ${Math.max(...runs)})`);
    for (const [pops, parts] of Object.entries(sizes)) {
      console.log(`deciding, ${pops} PoPs, bodies as long as they may be`);
      for (const [name, stage] of Object.entries(parts)) show(name, stage);
    }
    console.log(`planning, ${POPS} PoPs, ${made.placements.length} placements`);
    show('plan', planning);
    show('hash', hashing);
    console.log(`all for ${POPS} PoPs: ${ours} ms of ${LIMIT_MS} ms`);
  }
  return result;
}
