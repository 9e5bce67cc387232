import { describe, expect, it } from 'vitest';
import type { Defect } from './node.ts';
import { Scenario } from './scenario.ts';

const SEEDS = 16;
/** Most defects show in nearly every run; the rarest in one of three. */
const DEFECT_SEEDS = 20;

describe('purges over a bad network, with crashes', () => {
  it('no PoP serves what it acknowledged as purged, and all know all in the end', () => {
    const totals = { served: 0, purges: 0, acknowledgements: 0, crashes: 0, refusedStores: 0 };
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const outcome = new Scenario(seed, 3 + (seed % 4), 'none').run();
      expect(outcome.violations, `seed ${seed}`).toEqual([]);
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += outcome[key];
    }
    // A run in which nothing happens proves nothing.
    expect(totals.served).toBeGreaterThan(500);
    expect(totals.purges).toBeGreaterThan(500);
    expect(totals.acknowledgements).toBeGreaterThan(500);
    expect(totals.crashes).toBeGreaterThan(100);
    expect(totals.refusedStores).toBeGreaterThan(50);
  });

  const defects: Defect[] = [
    'clocks',
    'late fence',
    'ack before disk',
    'forgets',
    'trusting',
    'no comparison',
  ];
  it.each(defects)('the checker notices the defect: %s', (defect) => {
    let seed = 0;
    let violations: readonly string[] = [];
    while (violations.length === 0 && seed < DEFECT_SEEDS) {
      seed += 1;
      violations = new Scenario(seed, 3 + (seed % 4), defect).run(60_000).violations;
    }
    expect(violations).not.toEqual([]);
  });
});
