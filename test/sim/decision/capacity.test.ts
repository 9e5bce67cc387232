import { expect, test } from 'vitest';
import { committeesOf, type DecidedState, turnAfter } from '../../../protocol/decided-state.ts';
import type { Key16 } from '../../../protocol/ids.ts';
import type { PlanResource } from '../../../protocol/placement.ts';
import { decodeProposal, type Proposal, proposalBytesMax } from '../../../protocol/proposal.ts';
import { buildProposal } from '../../../protocol/proposal-builder.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { transition } from '../../../protocol/transition.ts';
import {
  key16,
  originOf,
  proposal,
  REGIONS,
  SITES,
  START,
  trust,
  WINDOW,
} from '../../property/decision/cluster.ts';

/** Heights within which all that 5 PoPs know is decided, though a body has room for a fifth of it. */
const REACHED = 8;
/** How far apart the PoPs' forecasts of one thing are, percent. */
const NOISE = 10;

/** PoPs that know the same resources, each with errors of its own. */
class Cluster {
  state: DecidedState;
  bytes = 0;
  readonly #own: readonly (readonly PlanResource[])[];

  constructor(pops: number, resources: number, distinct = pops) {
    const random = seededRandom(17);
    const upTo = (max: number) => random.uint32() % (max + 1);
    this.state = originOf(pops);
    const truth = Array.from({ length: resources }, (_, n) => ({
      ...{ key16: key16(n), site: SITES[n % 2]!, size: 1 << (8 + upTo(12)), credit: 20 + upTo(850) },
      holder: n % 4,
    }));
    this.#own = Array.from({ length: distinct }, () =>
      truth.map(
        ({ key16: key, site, size, credit, holder }): PlanResource => ({
          ...{ key16: key, site, size, holders: [REGIONS[holder]!] },
          demand: [1, 2].map((step) => {
            const own = Math.floor((credit * (100 - NOISE + upTo(2 * NOISE))) / 100);
            return {
              ...{ region: REGIONS[(holder + step) % 4]!, expected: 3 * own, chance: own, credit: own },
              held: false,
            };
          }),
        }),
      ),
    );
  }

  /** One height; `alive` says what is still asked for. */
  step(alive: (number: number) => boolean = () => true): Proposal[] {
    const { state } = this;
    const committees = committeesOf(state);
    const bodies = this.#own.map((known, slot) => {
      const view = {
        ...proposal({ window: START + state.height * WINDOW }),
        resources: known.filter((_, n) => alive(n)),
        observed: () => 0,
        series: () => undefined,
        windowShare: 5,
        speaks: (key: Key16) => committees.includes(key, state.members[slot]!.pop),
      };
      return buildProposal(view, state, committees);
    });
    this.bytes = Math.max(...bodies.map(({ length }) => length));
    const limit = proposalBytesMax(state.members.length);
    const proposals = bodies.map((body) => decodeProposal(body, limit));
    const included = state.members.map((_, slot) => ({
      slot,
      proposal: proposals[slot % proposals.length]!,
    }));
    this.state = transition(state, state.height.toString(16).padStart(64, '0'), included, trust);
    return proposals;
  }
}

const keysOf = (state: DecidedState) => new Set(state.vector.map((one) => one.key16));

test(`20,000 resources are decided by 5 PoPs within ${REACHED} heights, stay, and go when nobody asks`, {
  timeout: 600_000,
}, () => {
  const resources = 20_000;
  const cluster = new Cluster(5, resources);
  while (cluster.state.vector.length < resources && cluster.state.height < REACHED) {
    const said = cluster.step().map(({ entries }) => new Set(entries.map((one) => one.key16)));
    expect(cluster.bytes).toBeLessThanOrEqual(256 * 1024);
    // PoPs whose forecasts differ choose the same keys all the same.
    const [one, other] = said as [Set<Key16>, Set<Key16>];
    expect([...one].filter((key) => other.has(key)).length).toBeGreaterThan(0.97 * one.size);
  }
  expect(cluster.state.vector.length).toBe(resources);
  cluster.step();
  cluster.step();
  // What has not changed is repeated for less than a summary takes.
  expect(cluster.bytes).toBeLessThan(40 * 1024);

  const { heights } = turnAfter(cluster.state, committeesOf(cluster.state));
  expect(heights).toBeLessThan(64);
  const alive = (number: number) => number % 2 === 0;
  const asked = Array.from({ length: resources / 2 }, (_, n) => key16(2 * n));
  // From here on two PoPs' words stand for all five, which saves the time of the test.
  const half = new Cluster(5, resources, 2);
  half.state = cluster.state;
  for (let height = 0; height < heights + 4; height += 1) {
    half.step(alive);
    if (height % 12 !== 0) continue;
    const known = keysOf(half.state);
    expect(asked.filter((key) => !known.has(key))).toEqual([]);
  }
  // Each turn halves what is silent eight times over, and what is left of it is not kept.
  expect(half.state.vector.length).toBe(resources / 2);
  expect(keysOf(half.state)).toEqual(new Set(asked));
});

test('with committees the same holds: nobody speaks on all, together they speak on everything', () => {
  const cluster = new Cluster(16, 1_500);
  for (let height = 0; height < 3; height += 1) {
    for (const { entries } of cluster.step()) {
      if (height === 0) expect(entries.length).toBeLessThan(1_500);
    }
  }
  expect(cluster.state.vector.length).toBe(1_500);
  const { heights } = turnAfter(cluster.state, committeesOf(cluster.state));
  for (let height = 0; height < 3 * heights + 2; height += 1) cluster.step((number) => number < 500);
  expect(keysOf(cluster.state)).toEqual(new Set(Array.from({ length: 500 }, (_, n) => key16(n))));
});

test('a resource whose turn is missed by too few to matter stays; one that none but a liar repeats goes', () => {
  const cluster = new Cluster(4, 300);
  for (let height = 0; height < 4; height += 1) cluster.step();
  expect(cluster.state.vector.length).toBe(300);
  const speak = (says: (slot: number, number: number) => boolean) => {
    const { state } = cluster;
    const included = state.members.map((_, slot) => {
      const entries = state.vector.flatMap((one, number) => {
        if (!says(slot, number)) return [];
        const cells = one.cells.map(({ region, expected, chance, credit, holder }) => ({
          ...{ region, next: 0, mean: expected, upper: expected, observed: 0, chance, credit, held: 0 },
          holder: holder ? 1 : 0,
        }));
        return [{ key16: one.key16, site: one.site, sizeClass: one.sizeClass, cells }];
      });
      return {
        slot,
        proposal: proposal({ window: START + state.height * WINDOW, entries }),
      };
    });
    cluster.state = transition(state, 'cd'.repeat(32), included, trust);
  };
  const before = cluster.state.vector;
  for (let height = 0; height < 12; height += 1) speak((slot) => slot > 0);
  expect(cluster.state.vector.map((one) => one.key16)).toEqual(before.map((one) => one.key16));
  for (let height = 0; height < 16; height += 1) speak((slot) => slot === 0);
  expect(cluster.state.vector).toEqual([]);
});
