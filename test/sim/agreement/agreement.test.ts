import { describe, expect, it } from 'vitest';
import { DEFECTS, hunt } from './defects.ts';
import { Scenario } from './scenario.ts';

const again = (seed: number) => `node test/sim/agreement/run.ts --seeds 1 --from ${seed}`;

describe('agreement under faults', () => {
  it.each([1, 41, 81])('keeps its promises in 40 histories from seed %i', (from) => {
    for (let seed = from; seed < from + 40; seed += 1) {
      const { broken } = new Scenario({ seed }).run();
      expect(broken, again(seed)).toBeUndefined();
    }
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

describe('the simulation notices', () => {
  it.each(DEFECTS)('$name', (defect) => {
    const { caught } = hunt(defect, defect.enough, defect.from ?? 1, 1);
    expect(caught).toBe(1);
  });
});
