import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bandwidth } from '../../../protocol/bandwidth.ts';

describe('the bandwidth of mirroring', () => {
  it('never exceeds its rate over any span, beyond one burst and one chunk', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 10_000_000 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 1 << 18 }), fc.integer({ min: 0, max: 500 })), {
          maxLength: 200,
        }),
        (rate, takes) => {
          const bucket = new Bandwidth({ bytesPerSecond: rate }, 0);
          let now = 0;
          let sent = 0;
          for (const [bytes, pause] of takes) {
            now += pause;
            if (bucket.take(bytes, now) === 0) sent += bytes;
          }
          expect(sent).toBeLessThanOrEqual(Math.max(rate, 1 << 20) + (rate * now) / 1000 + (1 << 18));
        },
      ),
    );
  });

  it('lets a taker through after the wait that it named, and yields to clients down to a tenth', () => {
    const bucket = new Bandwidth({ bytesPerSecond: 1 << 20 }, 0);
    expect(bucket.take(1 << 20, 0)).toBe(0);
    const wait = bucket.take(1 << 19, 0);
    expect(wait).toBe(500);
    bucket.yieldTo(1, 0);
    const slower = bucket.take(1 << 19, 0);
    expect(slower).toBeGreaterThanOrEqual(4_999);
    expect(slower).toBeLessThanOrEqual(5_001);
    expect(bucket.take(1 << 19, slower)).toBe(0);
  });

  it('lets more than a burst pass in the end', () => {
    const bucket = new Bandwidth({ bytesPerSecond: 1000, burstBytes: 1000 }, 0);
    expect(bucket.take(5_000, 0)).toBe(0);
    expect(bucket.take(1, 0)).toBeGreaterThan(3_900);
  });
});
