import { describe, expect, it } from 'vitest';
import { ACCURACY } from '../../../actors/accuracy-table.ts';
import type { AccuracyTally } from '../../../forecasting/accuracy.ts';
import type { RegionId } from '../../../protocol/ids.ts';

const sums = (samples: number) => ({
  ...{ samples, absolute: 1.25, scaled: 1, naive: 3, signed: -0.5, actual: 9, covered: 3, pinball: 0.1 },
});
const tally: AccuracyTally = {
  ...{ model: 'burst:fading-2+growth-fast', class: 'burst', region: 'eu' as RegionId },
  ...{ next: sums(4), horizon: sums(0.5) },
};

describe('the table of accuracy', () => {
  it('gives back what was written', () => {
    expect(ACCURACY.decode(ACCURACY.encode(tally))).toEqual(tally);
  });

  it('refuses what is not a tally', () => {
    const damaged: AccuracyTally[] = [
      { ...tally, region: 'No Region' as RegionId },
      { ...tally, model: 'm'.repeat(5_000) },
      { ...tally, next: { ...sums(1), samples: Number.NaN } },
      { ...tally, next: { ...sums(1), naive: -1 } },
      { ...tally, horizon: { ...sums(1), actual: Number.POSITIVE_INFINITY } },
    ];
    for (const one of damaged) expect(() => ACCURACY.decode(ACCURACY.encode(one))).toThrow();
    const bytes = ACCURACY.encode(tally);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => ACCURACY.decode(bytes.subarray(0, length))).toThrow();
    }
  });
});
