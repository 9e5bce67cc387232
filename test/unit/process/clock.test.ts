import { describe, expect, it } from 'vitest';
import { demandClock, offsetFor, systemClock } from '../../../node/adapters/clock.ts';

describe('the clocks', () => {
  it('demand time runs at its speed from its offset, in whole ms', () => {
    let real = 1_700_000_000_123;
    const start = Date.UTC(1995, 7, 1);
    const demand = demandClock(
      { now: () => real },
      { offsetMs: offsetFor(start, real, 170.5), speed: 170.5 },
    );
    expect(demand.now()).toBe(start);
    real += 1000;
    expect(demand.now()).toBe(start + 170_500);
    real += 1;
    expect(Number.isInteger(demand.now())).toBe(true);
  });

  it('is real time unless told otherwise', () => {
    expect(demandClock({ now: () => 42 }).now()).toBe(42);
  });

  it('fires once, or not at all when called off, and not early for delays beyond what a timer takes', async () => {
    const fired: string[] = [];
    systemClock.after(5, () => fired.push('short'));
    systemClock.after(5, () => fired.push('called off'))();
    const cancel = systemClock.after(2 ** 40, () => fired.push('far'));
    systemClock.after(-1, () => fired.push('past'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    cancel();
    expect(fired).toEqual(['past', 'short']);
  });
});
