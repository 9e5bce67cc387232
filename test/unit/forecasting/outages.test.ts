import { describe, expect, it } from 'vitest';
import { bridgeOutages } from '../../../forecasting/outages.ts';

const busy = () => Float64Array.from({ length: 240 }, (_, t) => 100 + (t % 24));

describe('bridgeOutages', () => {
  it('fills a hole with the season before or after, and only there', () => {
    for (const [from, to] of [
      [100, 137],
      [3, 30],
    ] as const) {
      const values = busy();
      values.fill(0, from, to);
      bridgeOutages(values, [24]);
      expect(values).toEqual(busy());
    }
  });

  it('leaves an outage that still lasts, short gaps, nights without demand and quiet series', () => {
    const lasting = busy().fill(0, 200);
    const short = busy().fill(0, 100, 102);
    const nightly = busy().map((value, t) => (t % 24 < 5 ? 0 : value));
    const quiet = busy().map((value, t) => (t % 7 === 0 ? value : 0));
    for (const values of [lasting, short, nightly, quiet]) {
      const before = values.slice();
      bridgeOutages(values, [24]);
      expect(values).toEqual(before);
    }
  });
});
