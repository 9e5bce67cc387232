import { describe, expect, it } from 'vitest';
import { DEFAULT_PARAMETERS } from '../../../protocol/adjustment.ts';
import { planHash, planStateOf } from '../../../protocol/agreed-plan.ts';
import { type DecidedState, originState } from '../../../protocol/decided-state.ts';
import { decodeState, encodeState } from '../../../protocol/decided-state-codec.ts';
import { plan } from '../../../protocol/placement.ts';
import type { Proposal } from '../../../protocol/proposal.ts';
import { transition } from '../../../protocol/transition.ts';
import { untuned } from '../../../protocol/tuning.ts';
import { charterOf } from '../../property/decision/charter.ts';
import {
  cell,
  entry,
  founder,
  genesis,
  originOf,
  proposal,
  REGIONS,
  SITES,
  trust,
} from '../../property/decision/cluster.ts';

const [EAST, NORTH, , WEST] = REGIONS;
const entries = Array.from({ length: 20 }, (_, n) =>
  entry(n, [cell(EAST!), cell(NORTH!, { chance: 0, credit: 0, mean: 0, holder: 1 }), cell(WEST!)]),
);

function decided(
  heights: number,
  say: (slot: number) => Proposal | undefined,
  from = originOf(4),
): DecidedState {
  let state = from;
  for (let i = 0; i < heights; i += 1) {
    const included = state.members.flatMap((_, slot) => {
      const said = say(slot);
      return said === undefined ? [] : [{ slot, proposal: said }];
    });
    state = transition(state, 'ab'.repeat(32), included, trust);
  }
  return state;
}

const regionsOf = (state: DecidedState) =>
  new Set(plan(planStateOf(state), charterOf()).placements.map(({ region }) => region));

describe('the plan of a decided state', () => {
  it('mirrors where demand is expected, at the same hash from the state and from its bytes', () => {
    const state = decided(3, () => proposal({ entries }));
    expect(regionsOf(state)).toEqual(new Set([EAST, WEST]));
    const again = decodeState(encodeState(state));
    expect(planHash(plan(planStateOf(again), charterOf()))).toBe(
      planHash(plan(planStateOf(state), charterOf())),
    );
  });

  it('treats every site and region by its own parameters', () => {
    const state = decided(3, () => proposal({ entries }));
    const strict = { ...DEFAULT_PARAMETERS, threshold: 1_000_000_000 };
    const tunings = [{ ...untuned(SITES[0]!, EAST!), parameters: strict }];
    expect(regionsOf({ ...state, tunings })).toEqual(new Set([WEST]));
    const idle = { ...DEFAULT_PARAMETERS, fillShare: 0 };
    const atWest = [{ ...untuned(SITES[0]!, WEST!), parameters: idle }];
    const { placements, skips } = plan(planStateOf({ ...state, tunings: atWest }), charterOf());
    const west = state.members.find(({ region }) => region === WEST)!.pop;
    expect(placements.filter(({ pop }) => pop === west)).toEqual([]);
    expect(skips.some(({ pop, reason }) => pop === west && reason === 'no-bandwidth')).toBe(true);
  });

  it('values demand that fades by its distance to some PoP, not as if the content were nowhere', () => {
    const near = [cell(EAST!, { credit: 40 }), cell(NORTH!, { chance: 0, credit: 0, mean: 0, holder: 1 })];
    const known = decided(3, () => proposal({ entries: [entry(1, near)] }));
    const worth = (state: DecidedState) => {
      const { placements, skips } = plan(planStateOf(state), charterOf());
      return Math.max(...[...placements, ...skips].map(({ value }) => value));
    };
    let fading = known;
    for (let height = 0; height < 3; height += 1) {
      fading = decided(1, () => proposal({ entries: [] }), fading);
      expect(worth(fading)).toBeLessThan(worth(known));
    }
    // The state may forget who holds what is asked for still.
    const vector = known.vector.map((one) => ({ ...one, cells: one.cells.filter(({ holder }) => !holder) }));
    expect(worth({ ...known, vector })).toBeLessThanOrEqual(worth(known));
  });

  it('leaves out who has never spoken, and gives nothing to who has been silent for long', () => {
    const first = decided(1, (slot) => (slot === 0 ? undefined : proposal({ entries })));
    expect(planStateOf(first).pops.length).toBe(3);
    const silent = decided(
      7,
      (slot) => (slot === 0 ? undefined : proposal({ entries })),
      decided(1, () => proposal({ entries })),
    );
    const [{ capacities } = { capacities: undefined }] = planStateOf(silent).pops;
    expect(capacities?.state).toBe('sick');
  });

  it('counts what a PoP claims up to the ceilings of its certificate', () => {
    const founders = [0, 1, 2, 3].map((n) =>
      founder(n, { storageCeilingMiB: 100 * n, fillCeilingKiBps: 7 * n }),
    );
    const state = decided(1, () => proposal({ entries }), originState(genesis, founders));
    const claims = new Map(planStateOf(state).pops.map(({ name, capacities }) => [name, capacities]));
    expect(claims.get('pop-3')).toMatchObject({ storageBudgetMiB: 300, fillKiBps: 21 });
    // A ceiling of 0 is none.
    expect(claims.get('pop-0')).toMatchObject({ storageBudgetMiB: 10_000, fillKiBps: 10_000 });
  });
});
