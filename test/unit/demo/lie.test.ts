import { beforeAll, describe, expect, it } from 'vitest';
import { lie, lieAccount, NO_LIES } from '../../../node/demo/lie.ts';
import { committeesOf, type DecidedState } from '../../../protocol/decided-state.ts';
import type { OwnView } from '../../../protocol/forecast-application.ts';
import { decodeProposal, type Proposal } from '../../../protocol/proposal.ts';
import { buildProposal } from '../../../protocol/proposal-builder.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { transition } from '../../../protocol/transition.ts';
import {
  foundersOf,
  key16,
  originOf,
  proposal,
  REGIONS,
  randomProposal,
  SITES,
  START,
  trust,
  WINDOW,
} from '../../property/decision/cluster.ts';

const FOUNDERS = foundersOf(5);
const LIAR = FOUNDERS[1]!.pop;

const honestView = (height: number): OwnView => ({
  ...{ at: START + height * WINDOW, window: START + height * WINDOW, windowMs: WINDOW, cap: proposal().cap },
  ...{ uses: [], windowShare: 100 },
  resources: Array.from({ length: 20 }, (_, n) => ({
    ...{ key16: key16(n), site: SITES[n % 2]!, size: 1_000 * (n + 1) },
    demand: [{ region: REGIONS[0]!, expected: 4_000, chance: 700, credit: 600, held: false }],
  })),
  observed: () => 2_000,
  series: () => ({ next: 500, mean: 4_000, upper: 9_000 }),
});

const proposed = (state: DecidedState, view: OwnView): Proposal => {
  const whole = { ...view, rulesMin: 1, rulesMax: 1, operations: [], speaks: () => true };
  return decodeProposal(buildProposal(whole, state, committeesOf(state)));
};

describe('a PoP that lies', () => {
  const random = seededRandom(3);
  let account = NO_LIES;
  let state = originOf(5);
  let before = state;
  let proposals: { pop: (typeof FOUNDERS)[number]['pop']; proposal: Proposal }[] = [];

  beforeAll(() => {
    for (let height = 1; height <= 30; height += 1) {
      proposals = FOUNDERS.map(({ pop }) => ({
        pop,
        proposal:
          pop === LIAR
            ? proposed(state, lie(honestView(height), SITES[0]!, REGIONS))
            : randomProposal(random, height),
      }));
      before = state;
      const chain = height.toString(16).padStart(64, '0');
      state = transition(
        before,
        chain,
        proposals.map(({ proposal: said }, slot) => ({ slot, proposal: said })),
        trust,
      );
      account = lieAccount(account, LIAR, proposals, before, state);
    }
  });

  it('proposes what nobody else does, keys of its own making among it', () => {
    expect(account.heights).toBe(30);
    expect(account.wild).toBeGreaterThan(30 * 100);
    expect(account.invented).toBeGreaterThan(30 * 50);
    const own = proposals.find(({ pop }) => pop === LIAR)!.proposal;
    const known = own.entries.find((entry) => entry.key16 === key16(5))!;
    expect(known.cells.map(({ mean, credit, holder }) => [mean, credit, holder])).toEqual(
      REGIONS.map(() => [4_000_000, 1_000, 0]),
    );
  });

  it('moves nothing beyond what others said, and its word comes to count least', () => {
    expect(state.vector.length).toBeGreaterThan(10);
    expect(account).toMatchObject({ followed: 0, inventedDecided: 0 });
    const weights = state.members.map(({ pop, weight }) => [pop === LIAR, weight] as const);
    const own = weights.find(([liar]) => liar)![1];
    for (const [liar, weight] of weights) if (!liar) expect(weight).toBeGreaterThan(own);
  });

  it('would be found out if it were followed', () => {
    const [first, ...rest] = state.vector;
    const raised = { ...first!, cells: first!.cells.map((cell) => ({ ...cell, expected: 4_000_000 })) };
    const followed = lieAccount(NO_LIES, LIAR, proposals, before, { ...state, vector: [raised, ...rest] });
    expect(followed.followed).toBe(raised.cells.length);
    const own = proposals.find(({ pop }) => pop === LIAR)!.proposal;
    const made = own.entries.find(
      (entry) => !state.vector.some(({ key16: known }) => known === entry.key16),
    )!;
    const invention = { ...first!, key16: made.key16 };
    const believed = lieAccount(NO_LIES, LIAR, proposals, before, {
      ...state,
      vector: [...state.vector, invention],
    });
    expect(believed.inventedDecided).toBe(1);
  });

  it('is not counted at a height without its proposal', () => {
    const others = proposals.filter(({ pop }) => pop !== LIAR);
    expect(lieAccount(NO_LIES, LIAR, others, before, state)).toEqual(NO_LIES);
  });
});
