import { describe, expect, it } from 'vitest';
import { ATTACKS, attacksOn } from './attack.ts';
import { DEFECTS, hunt } from './defects.ts';
import { Scenario, type ScenarioOptions } from './scenario.ts';

const again = (seed: number) => `npm run sim -- --world agreement --seeds 1 --from ${seed}`;

/** Histories in which something was wrong once: in the machine, or in what watches it. */
const PINNED: readonly ScenarioOptions[] = [
  { seed: 6 },
  { seed: 161 },
  { seed: 169 },
  { seed: 216 },
  { seed: 5, pops: 7, attack: 'relapse' },
  { seed: 17, pops: 7, attack: 'belated' },
];

describe('agreement under faults', () => {
  it.each([1, 41, 81])('keeps its promises in 40 histories from seed %i', (from) => {
    for (let seed = from; seed < from + 40; seed += 1) {
      const { broken } = new Scenario({ seed }).run();
      expect(broken, again(seed)).toBeUndefined();
    }
  });

  it.each(PINNED)('keeps them where they were broken once: %o', (options) => {
    expect(new Scenario(options).run().broken).toBeUndefined();
  });

  it('is the same history for the same seed', () => {
    expect(new Scenario({ seed: 77 }).run()).toEqual(new Scenario({ seed: 77 }).run());
  });

  it.each([1, 2, 3, 10])('decides with %i PoPs', (pops) => {
    const { broken, heights } = new Scenario({ seed: 7, pops }).run();
    expect(broken).toBeUndefined();
    expect(heights).toBeGreaterThan(1);
  });
});

describe('agreement in a large cluster', () => {
  it('goes on with compact ECHOs, also where liars propose two things', () => {
    const { broken, liars } = new Scenario({ seed: 1, pops: 66, calm: { liars: 3 } }).run();
    expect(broken).toBeUndefined();
    expect(liars).toBe(3);
  });
});

describe('agreement under attack', () => {
  it.each(ATTACKS)('%s', (attack) => {
    const sizes = [2, 3, 4, 5, 7, 10].filter((pops) => attacksOn(pops).includes(attack));
    for (let seed = 1; seed <= 12; seed += 1) {
      const pops = sizes[seed % sizes.length]!;
      expect(new Scenario({ seed, pops, attack }).run(), `seed ${seed}`).toMatchObject({ broken: undefined });
    }
  });
});

describe('the simulation notices', () => {
  it.each(DEFECTS)('$name', (defect) => {
    expect(hunt(defect, 12).caught).toBeGreaterThan(0);
  });
});
