import { describe, expect, it } from 'vitest';
import { DEFAULT_PARAMETERS } from '../../../protocol/adjustment.ts';
import { planStateOf } from '../../../protocol/agreed-plan.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import type { Key16, RegionId, SiteId } from '../../../protocol/ids.ts';
import { MirrorLedger } from '../../../protocol/mirror-ledger.ts';
import { plan } from '../../../protocol/placement.ts';
import { decodeProposal, encodeProposal } from '../../../protocol/proposal.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { transition } from '../../../protocol/transition.ts';
import { tuningKey } from '../../../protocol/tuning.ts';
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
const [SHOP, VIDEO] = SITES as [SiteId, SiteId];

/** What a key of new content is said to be worth in a region, thousandths; all PoPs say the same. */
const promised = (number: number) => 300 + ((number * 137) % 660);

/**
 * New content of two sites at every height, forecast for the east and for the west. The plan mirrors it; whether it
 * is asked for is drawn from `chance`. Each PoP's account of it goes into its next proposal, as bytes.
 */
class Traffic {
  state: DecidedState = originOf(4);
  readonly waste = new Map<string, number>();
  readonly #random = seededRandom(11);
  readonly #ledgers = new Map(this.state.members.map(({ pop }) => [pop, new MirrorLedger()]));

  run(heights: number, chance: (region: RegionId, site: SiteId, promise: number) => number): void {
    const spent = new Map<string, [unused: number, all: number]>();
    for (let i = 0; i < heights; i += 1) {
      const height = this.state.height + 1;
      const fresh = new Map<Key16, { promise: number; site: SiteId }>();
      const entries = Array.from({ length: KEYS }, (_, n) => {
        const number = height * KEYS + n;
        const promise = promised(number);
        const site = SITES[n % 2]!;
        fresh.set(key16(number), { promise, site });
        const cells = [
          cell(EAST, { chance: promise, credit: promise, next: 0, observed: 0 }),
          cell(REGIONS[1]!, { chance: 0, credit: 0, next: 0, mean: 0, upper: 0, observed: 0, holder: 1 }),
          cell(WEST, { chance: promise, credit: promise, next: 0, observed: 0 }),
        ];
        return entry(number, cells, { site, sizeClass: 128 + (n % 16) });
      });
      const included = this.state.members.map(({ pop }, slot) => {
        const uses = this.#ledgers.get(pop)!.takeUses();
        const body = encodeProposal(proposal({ window: START + height * WINDOW, entries, uses }));
        return { slot, proposal: decodeProposal(body) };
      });
      this.state = transition(this.state, height.toString(16).padStart(64, '0'), included, trust);
      for (const { key16: key, pop, region, size } of plan(planStateOf(this.state), charterOf()).placements) {
        const one = fresh.get(key);
        if (one === undefined) continue;
        const { promise, site } = one;
        const used = this.#random.float() * 1000 < chance(region, site, promise);
        const ledger = this.#ledgers.get(pop)!;
        ledger.mirrored(key, size, height, promise, site);
        if (used) ledger.requested(key);
        else ledger.released(key);
        const sum = spent.get(tuningKey(site, region)) ?? [0, 0];
        spent.set(tuningKey(site, region), [sum[0] + (used ? 0 : size), sum[1] + size]);
      }
    }
    for (const [name, [unused, all]] of spent) this.waste.set(name, unused / all);
  }

  tuning(site: SiteId, region: RegionId) {
    return this.state.tunings.find((one) => one.site === site && one.region === region)!;
  }
}

describe('when the traffic shifts', () => {
  const asPromised = (_: RegionId, __: SiteId, promise: number) => promise;
  /** In the east little comes any more of what was a moderate promise of one site. */
  const shifted = (region: RegionId, site: SiteId, promise: number) =>
    region === EAST && site === SHOP && promise < 800 ? promise / 12 : promise;

  it('the parameters of that site and region move, step by step, and its waste falls; the others stay', {
    timeout: 240_000,
  }, () => {
    const traffic = new Traffic();
    traffic.run(60, asPromised);
    const others = [
      [VIDEO, EAST],
      [SHOP, WEST],
      [VIDEO, WEST],
    ] as const;
    const calm = traffic.tuning(SHOP, EAST);
    const safeties = others.map(([site, region]) => traffic.tuning(site, region).parameters.safety);
    traffic.run(5, shifted);
    const atFirst = traffic.waste.get(tuningKey(SHOP, EAST))!;
    let before = traffic.tuning(SHOP, EAST).parameters.threshold;
    for (let i = 0; i < 200; i += 1) {
      traffic.run(1, shifted);
      const { threshold } = traffic.tuning(SHOP, EAST).parameters;
      expect(Math.abs(threshold - before)).toBeLessThanOrEqual(before / 10 + 1);
      before = threshold;
    }
    traffic.run(40, shifted);
    const adapted = traffic.tuning(SHOP, EAST);
    expect(adapted.parameters.threshold).toBeGreaterThan(calm.parameters.threshold);
    expect(adapted.parameters.safety).toBeLessThan(calm.parameters.safety);
    expect(adapted.parameters.fillShare).toBeLessThan(calm.parameters.fillShare);
    expect(adapted.replan).toBeGreaterThan(calm.replan);
    const target = adapted.parameters.wasteTarget / 1000;
    expect(atFirst - target).toBeGreaterThan(0.1);
    expect(traffic.waste.get(tuningKey(SHOP, EAST))! - target).toBeLessThan((atFirst - target) / 4);
    for (const [i, [site, region]] of others.entries()) {
      const { threshold, safety } = traffic.tuning(site, region).parameters;
      expect(threshold).toBeLessThan(2 * DEFAULT_PARAMETERS.threshold);
      expect(Math.abs(safety - safeties[i]!)).toBeLessThan(100);
    }
  });

  it('accuracy on what was agreed to have been seen moves trust without any mirror', () => {
    let state = originOf(4);
    const step = (factor: number) => {
      const included = state.members.map((_, slot) => ({
        slot,
        proposal: proposal({
          window: START + state.height * WINDOW,
          uses: [{ site: SHOP, mirroredKiB: 1, usedKiB: 0, unusedKiB: 0, promisedKiB: 0 }],
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
