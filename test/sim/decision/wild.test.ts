import { expect, it } from 'vitest';
import { planStateOf } from '../../../protocol/agreed-plan.ts';
import { committeesOf, type DecidedState } from '../../../protocol/decided-state.ts';
import type { Key16, RegionId } from '../../../protocol/ids.ts';
import { type PlanResource, plan } from '../../../protocol/placement.ts';
import {
  decodeProposal,
  encodeProposal,
  type Proposal,
  proposalBytesMax,
} from '../../../protocol/proposal.ts';
import { buildProposal } from '../../../protocol/proposal-builder.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { transition } from '../../../protocol/transition.ts';
import { charterOf } from '../../property/decision/charter.ts';
import {
  cell,
  entry,
  key16,
  originOf,
  proposal,
  REGIONS,
  SITES,
  START,
  trust,
  WINDOW,
} from '../../property/decision/cluster.ts';

const POPS = 5;
const HEIGHTS = 50;
const RESOURCES = 200;
const VALUE_MAX = 0x7fff_ffff;
/** Slot of the one that may be wild. */
const WILD = 2;

/** Requests of a resource in a region in the window that begins then, thousandths. */
const truth = (number: number, region: RegionId, from: number) =>
  1000 * ((number * 7 + REGIONS.indexOf(region) + ((from - START) / WINDOW) * 3) % 12);
const numbers = new Map(Array.from({ length: RESOURCES }, (_, n) => [key16(n), n]));

/** What one PoP says of a cell over the whole run, and what came of it. */
interface Range {
  least: number;
  most: number;
}

/** Five PoPs, each with errors of its own; one may say a thousandfold, and of keys that do not exist. */
function run(wild: boolean): { state: DecidedState; ranges: Map<string, Range> } {
  const random = seededRandom(5);
  const about = (value: number) => Math.floor((value * (95 + (random.uint32() % 11))) / 100);
  const liar = seededRandom(99);
  const ranges = new Map<string, Range>();
  const note = (name: string, value: number) => {
    const range = ranges.get(name) ?? { least: value, most: value };
    ranges.set(name, { least: Math.min(range.least, value), most: Math.max(range.most, value) });
  };
  let state = originOf(POPS);
  for (let height = 0; height < HEIGHTS; height += 1) {
    const window = START + height * WINDOW;
    const committees = committeesOf(state);
    const limit = proposalBytesMax(POPS);
    const included = state.members.map((_, slot) => {
      const resources = Array.from({ length: RESOURCES }, (__, n): PlanResource => {
        const holder = REGIONS[n % 4]!;
        const demand = [1, 2].map((step) => {
          const credit = about(200 + ((n * 131) % 700));
          const expected = about(2_000 + 100 * (n % 50));
          return { region: REGIONS[(n + step) % 4]!, expected, chance: credit, credit, held: false };
        });
        return { key16: key16(n), site: SITES[0]!, size: 2_000 + 100 * n, demand, holders: [holder] };
      });
      const view = {
        ...proposal({ window }),
        resources,
        observed: (key: Key16, region: RegionId, from: number) => truth(numbers.get(key)!, region, from),
        series: () => undefined,
        windowShare: 5,
        speaks: () => true,
      };
      const said = decodeProposal(buildProposal(view, state, committees), limit);
      const entries = said.entries.map((one) => ({
        ...one,
        cells: one.cells.map((c) => ({
          ...c,
          next: about(truth(numbers.get(one.key16)!, c.region, window)),
        })),
      }));
      const honest: Proposal = { ...said, entries };
      if (!wild || slot !== WILD) {
        for (const { key16: key, cells } of entries) {
          for (const c of cells) {
            note(`${key} ${c.region} expected`, c.mean);
            note(`${key} ${c.region} credit`, c.credit);
          }
        }
      }
      const told = wild && slot === WILD ? exaggerated(honest, liar.uint32() % 1_000_000) : honest;
      return { slot, proposal: decodeProposal(encodeProposal(told), limit) };
    });
    state = transition(state, height.toString(16).padStart(64, '0'), included, trust);
  }
  return { state, ranges };
}

function exaggerated(honest: Proposal, from: number): Proposal {
  const times = (value: number, most = VALUE_MAX) => Math.min(most, value * 1000);
  const invented = Array.from({ length: 150 }, (_, n) =>
    entry(1_000_000 + from + n, [cell(REGIONS[n % 4]!, { mean: VALUE_MAX, chance: 1000, credit: 1000 })]),
  );
  const entries = honest.entries.map((one) => ({
    ...one,
    cells: one.cells.map((c) => ({
      ...c,
      ...{ next: times(c.next), mean: times(c.mean), upper: times(c.upper), observed: times(c.observed) },
      ...{ chance: times(c.chance, 1000), credit: times(c.credit, 1000) },
    })),
  }));
  return proposal({ ...honest, entries: [...entries, ...invented] });
}

it('one wild PoP of five moves nothing beyond what honest ones say, and its word comes to count for nothing', () => {
  const { state, ranges } = run(true);
  expect(state.vector.length).toBe(RESOURCES);
  for (const { key16: key, cells } of state.vector) {
    expect(numbers.has(key)).toBe(true);
    for (const { region, expected, credit } of cells) {
      for (const [name, value] of Object.entries({ expected, credit })) {
        const { least, most } = ranges.get(`${key} ${region} ${name}`)!;
        expect(value).toBeGreaterThanOrEqual(least);
        expect(value).toBeLessThanOrEqual(most);
      }
    }
  }
  const weights = state.members.map(({ weight }) => weight);
  for (const [slot, weight] of weights.entries()) {
    if (slot === WILD) expect(weight).toBeLessThan(20);
    else expect(weight).toBeGreaterThan(900);
  }

  // The plan is that of five honest PoPs but for one placement in 500, where their own errors decide.
  const placed = (decided: DecidedState) =>
    new Set(
      plan(planStateOf(decided), charterOf()).placements.map((p) => `${p.key16} ${p.pop} ${p.purpose}`),
    );
  const withIt = placed(state);
  const without = placed(run(false).state);
  const common = [...withIt].filter((one) => without.has(one)).length;
  expect(withIt.size).toBeGreaterThan(100);
  expect(common / Math.max(withIt.size, without.size)).toBeGreaterThan(0.98);
});
