import { describe, expect, it } from 'vitest';
import { WholeRate } from '../../../forecasting/whole-rate.ts';

const HOUR = 3_600_000;

describe('WholeRate', () => {
  it('counts as lost the time in which next to nothing came, and no other', () => {
    const whole = new WholeRate();
    const outages: number[] = [];
    for (let at = 10_000; at <= 60 * HOUR; at += 10_000) {
      const hour = at / HOUR;
      // By night a third of the requests; a line that fails for two hours; one request every ten minutes meanwhile.
      const out = hour > 20 && hour <= 22;
      whole.step(at, out ? Number(at % 600_000 === 0) : hour % 24 < 8 ? 3 : 9, 10_000);
      if (whole.out && outages.at(-1) !== Math.floor(hour)) outages.push(Math.floor(hour));
    }
    expect(outages).toEqual([20, 21, 22]);
    expect(whole.lostMs / HOUR).toBeGreaterThan(1.8);
    expect(whole.lostMs / HOUR).toBeLessThan(2.1);
    expect(whole.out).toBe(false);
  });

  it('takes what lasts longer than a long weekend for usual', () => {
    const whole = new WholeRate();
    for (let at = 60_000; at <= 240 * HOUR; at += 60_000) whole.step(at, at < 24 * HOUR ? 100 : 1, 60_000);
    expect(whole.lostMs / HOUR).toBeGreaterThan(90);
    expect(whole.lostMs / HOUR).toBeLessThan(100);
  });

  it('adds up what several keys tell of one moment, and needs none to tell of silence', () => {
    const whole = new WholeRate();
    for (let at = 1000; at <= 6 * HOUR; at += 1000) for (let k = 0; k < 5; k++) whole.step(at, 1, 1000);
    expect(whole.out).toBe(false);
    whole.step(9 * HOUR, 1, 1000);
    whole.step(9 * HOUR + 1000, 1, 1000);
    expect(whole.out).toBe(true);
  });
});
