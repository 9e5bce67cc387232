import { describe, expect, it } from 'vitest';
import { DEFAULT_PARAMETERS } from '../../../protocol/adjustment.ts';
import { planStateOf } from '../../../protocol/agreed-plan.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import type { Key16, RegionId } from '../../../protocol/ids.ts';
import { plan } from '../../../protocol/placement.ts';
import type { Use } from '../../../protocol/proposal.ts';
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

const KEYS = 60;
const [EAST, , , WEST] = REGIONS as [RegionId, RegionId, RegionId, RegionId];

/** What a key of new content is said to be worth in a region, thousandths; all PoPs say the same. */
const promised = (number: number) => 300 + ((number * 137) % 660);

/**
 * New content at every height, forecast for the east and for the west. The plan mirrors it; whether it is asked for
 * is drawn from `chance`. What came of it is told at the next height.
 */
class Traffic {
  state: DecidedState = originOf(4);
  readonly waste: Record<string, number> = {};
  readonly #random = seededRandom(11);
  readonly #mirrored = new Set<string>();
  #uses = new Map<string, Use>();

  run(heights: number, chance: (region: RegionId, promise: number) => number): void {
    const spent: Record<string, [unused: number, all: number]> = { [EAST]: [0, 0], [WEST]: [0, 0] };
    for (let i = 0; i < heights; i += 1) {
      const height = this.state.height + 1;
      const fresh = new Map<Key16, number>(
        Array.from({ length: KEYS }, (_, n) => [key16(height * KEYS + n), promised(height * KEYS + n)]),
      );
      const entries = [...fresh].map(([key, promise], n) => ({
        ...entry(0, [
          cell(EAST, { chance: promise, credit: promise, next: 0, observed: 0 }),
          cell(REGIONS[1]!, { chance: 0, credit: 0, next: 0, mean: 0, upper: 0, observed: 0, holder: 1 }),
          cell(WEST, { chance: promise, credit: promise, next: 0, observed: 0 }),
        ]),
        key16: key,
        sizeClass: 128 + (n % 16),
      }));
      const included = this.state.members.map(({ region, pop }, slot) => {
        const use = this.#uses.get(pop);
        return {
          slot,
          proposal: proposal({
            window: START + height * WINDOW,
            entries,
            uses: use === undefined ? [] : [use],
          }),
          region,
        };
      });
      this.state = transition(this.state, height.toString(16).padStart(64, '0'), included, trust);
      this.#uses = new Map();
      for (const { key16: key, pop, region, size } of plan(planStateOf(this.state), charterOf()).placements) {
        const promise = fresh.get(key);
        if (promise === undefined || this.#mirrored.has(key + pop)) continue;
        this.#mirrored.add(key + pop);
        const kib = Math.ceil(size / 1024);
        const used = this.#random.float() * 1000 < chance(region, promise);
        const use = this.#uses.get(pop) ?? {
          site: SITES[0]!,
          mirroredKiB: 0,
          usedKiB: 0,
          unusedKiB: 0,
          promisedKiB: 0,
        };
        this.#uses.set(pop, {
          ...use,
          mirroredKiB: use.mirroredKiB + kib,
          usedKiB: use.usedKiB + (used ? kib : 0),
          unusedKiB: use.unusedKiB + (used ? 0 : kib),
          promisedKiB: use.promisedKiB + Math.floor((kib * promise) / 1000),
        });
        const sum = spent[region]!;
        sum[0] += used ? 0 : kib;
        sum[1] += kib;
      }
    }
    for (const [region, [unused, all]] of Object.entries(spent))
      this.waste[region] = unused / Math.max(1, all);
  }

  tuning(region: RegionId) {
    return this.state.tunings.find((one) => one.region === region)!;
  }
}

describe('when the traffic shifts', () => {
  const asPromised = (_: RegionId, promise: number) => promise;
  /** In the east little comes any more of what was a moderate promise. */
  const shifted = (region: RegionId, promise: number) =>
    region === EAST && promise < 800 ? promise / 12 : promise;

  it('the parameters of that region move, step by step, and its waste falls; the other region stays as it was', () => {
    const traffic = new Traffic();
    traffic.run(60, asPromised);
    const calm = { east: traffic.tuning(EAST), west: traffic.tuning(WEST) };
    traffic.run(5, shifted);
    const atFirst = { ...traffic.waste };
    let before = traffic.tuning(EAST).parameters.threshold;
    for (let i = 0; i < 150; i += 1) {
      traffic.run(1, shifted);
      const { threshold } = traffic.tuning(EAST).parameters;
      expect(Math.abs(threshold - before)).toBeLessThanOrEqual(before / 10 + 1);
      before = threshold;
    }
    traffic.run(40, shifted);
    const adapted = { east: traffic.tuning(EAST), west: traffic.tuning(WEST) };
    expect(adapted.east.parameters.threshold).toBeGreaterThan(calm.east.parameters.threshold);
    expect(adapted.east.parameters.safety).toBeLessThan(calm.east.parameters.safety);
    expect(adapted.east.parameters.fillShare).toBeLessThan(calm.east.parameters.fillShare);
    expect(adapted.east.replan).toBeGreaterThan(calm.east.replan);
    const target = adapted.east.parameters.wasteTarget / 1000;
    expect(atFirst[EAST]! - target).toBeGreaterThan(0.1);
    expect(traffic.waste[EAST]! - target).toBeLessThan((atFirst[EAST]! - target) / 4);
    expect(adapted.west.parameters.threshold).toBeLessThan(2 * DEFAULT_PARAMETERS.threshold);
    expect(Math.abs(adapted.west.parameters.safety - calm.west.parameters.safety)).toBeLessThan(100);
  });

  it('accuracy on what was agreed to have been seen moves trust without any mirror', () => {
    let state = originOf(4);
    const step = (factor: number) => {
      const included = state.members.map((_, slot) => ({
        slot,
        proposal: proposal({
          window: START + state.height * WINDOW,
          uses: [{ site: SITES[0]!, mirroredKiB: 1, usedKiB: 0, unusedKiB: 0, promisedKiB: 0 }],
          entries: Array.from({ length: 30 }, (_, n) =>
            entry(n, [cell(EAST, { next: 2000 * factor, observed: 2000 })]),
          ),
        }),
      }));
      state = transition(state, state.height.toString(16).padStart(64, '0'), included, trust);
      return state.tunings.find(({ region }) => region === EAST)!;
    };
    for (let i = 0; i < 40; i += 1) step(3);
    const rash = step(3);
    expect(rash.parameters.safety).toBeLessThan(400);
    expect(rash.accuracy).toBeLessThan(600);
    for (let i = 0; i < 60; i += 1) step(1);
    const sound = step(1);
    expect(sound.parameters.safety).toBeGreaterThan(900);
    expect(sound.accuracy).toBeGreaterThan(950);
  });
});
