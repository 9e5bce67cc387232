import { describe, expect, it } from 'vitest';
import { BurstDetector, FAST_BURSTS, MINUTE_BURSTS } from '../../../forecasting/bursts.ts';
import { seededRandom } from '../../../protocol/random.ts';

const random = seededRandom(5);
function poisson(mean: number): number {
  const limit = Math.exp(-mean);
  let k = 0;
  for (let p = random.float(); p > limit; p *= random.float()) k++;
  return k;
}

/** Steps a key with Poisson counts; returns the times (ms) of its events. */
function run(
  detector: BurstDetector,
  key: string,
  binMs: number,
  untilMs: number,
  rate: (ms: number) => number,
): { rises: number[]; falls: number[] } {
  const rises: number[] = [];
  const falls: number[] = [];
  for (let at = binMs; at <= untilMs; at += binMs) {
    const event = detector.step(key, at, poisson((rate(at) * binMs) / 1000), undefined, binMs);
    if (event === 'rise') rises.push(at);
    if (event === 'fall') falls.push(at);
  }
  return { rises, falls };
}

describe('BurstDetector', () => {
  it('finds nine in ten tenfold rises within 15 s, at 1, 5 and 10 s', () => {
    for (const binMs of [1000, 5000, 10_000]) {
      const detector = new BurstDetector(FAST_BURSTS);
      let found = 0;
      for (let i = 0; i < 60; i++) {
        const from = 1_800_000;
        const { rises } = run(detector, `k${i}`, binMs, from + 15_000 + binMs, (ms) => (ms > from ? 5 : 0.5));
        if (rises.some((at) => at > from)) found++;
      }
      expect(found).toBeGreaterThanOrEqual(54);
    }
  });

  it('raises no alarm in 500 series-hours of steady and of daily demand', () => {
    const detector = new BurstDetector(FAST_BURSTS);
    let alarms = 0;
    for (const rate of [0.05, 0.5, 3])
      alarms += run(detector, `s${rate}`, 2000, 60 * 3_600_000, () => rate).rises.length;
    for (let i = 0; i < 4; i++) {
      const daily = (ms: number) => 1 + 0.9 * Math.sin((ms / 86_400_000) * 2 * Math.PI);
      alarms += run(detector, `d${i}`, 5000, 80 * 3_600_000, daily).rises.length;
    }
    expect(alarms).toBe(0);
  });

  it('finds slow rises on minute counts within three minutes of the first that stands out', () => {
    const detector = new BurstDetector(MINUTE_BURSTS);
    let found = 0;
    for (let i = 0; i < 40; i++) {
      const from = 6 * 3_600_000;
      const rate = (ms: number) => 0.2 * (1 + 9 * Math.max(0, Math.min(1, (ms - from) / 600_000)));
      const { rises } = run(detector, `k${i}`, 60_000, from + 360_000, rate);
      // 12 a minute is usual; 26 stand out, which the ramp reaches in its second minute.
      if (rises.some((at) => at > from)) found++;
    }
    expect(found).toBeGreaterThanOrEqual(36);
  });

  it('says rise once and fall once, and finds the next burst as well', () => {
    const detector = new BurstDetector(FAST_BURSTS);
    const burst = (ms: number) => (ms > 1_800_000 && ms <= 2_100_000) || (ms > 5_400_000 && ms <= 5_700_000);
    const { rises, falls } = run(detector, 'k', 1000, 7_200_000, (ms) => (burst(ms) ? 20 : 1));
    expect(rises).toHaveLength(2);
    expect(falls).toHaveLength(2);
    expect(rises[0]).toBeLessThan(1_815_000);
    expect(falls[0]).toBeGreaterThan(2_100_000);
    expect(falls[0]).toBeLessThan(2_200_000);
    expect(detector.active('k')).toBe(false);
  });

  it('does not take the end of a slump for a burst', () => {
    // Down to a twentieth for half an hour, as when a line fails, and back: twenty times what was usual of late.
    const slump = (ms: number) => (ms > 10_800_000 && ms <= 12_600_000 ? 0.1 : 2);
    let alarms = 0;
    for (let i = 0; i < 10; i++) {
      alarms += run(new BurstDetector(FAST_BURSTS), `k${i}`, 1000, 14_400_000, slump).rises.length;
    }
    expect(alarms).toBe(0);
  });

  it('does not take the end of an outage for a burst, however long it was', () => {
    for (const hours of [1, 9, 44, 70]) {
      const detector = new BurstDetector(FAST_BURSTS);
      const [from, to] = [12 * 3_600_000, (12 + hours) * 3_600_000];
      // Two keys that return as they were, the one in visits of several requests; now and then a probe in between.
      const rate = (ms: number) => (ms > from && ms <= to ? (ms % 3_600_000 < 20_000 ? 0.5 : 0) : 1.3);
      const alarms: number[] = [];
      for (let at = 2000; at <= to + 7_200_000; at += 2000) {
        const visits = poisson(rate(at) / 2);
        for (const [key, count] of [
          ['plain', poisson(rate(at) * 2)],
          ['clumpy', visits * 3],
        ] as const) {
          if (count > 0 && detector.step(key, at, count, undefined, 2000) === 'rise') alarms.push(at);
        }
      }
      expect(alarms.filter((at) => at > to)).toEqual([]);
    }
  });

  it('does not take it for one on counts of a minute either, at whatever time of day it ends', () => {
    for (let i = 0; i < 24; i++) {
      const detector = new BurstDetector(MINUTE_BURSTS);
      const [from, to] = [30 * 3_600_000, (i % 2 === 0 ? 32 : 54) * 3_600_000];
      const day = (ms: number) => 1 + 0.6 * Math.sin(2 * Math.PI * (ms / 86_400_000 + i / 24));
      const rate = (ms: number) => (ms > from && ms <= to ? 0.004 : 0.4 * day(ms));
      const { rises } = run(detector, 'k', 60_000, to + 7_200_000, rate);
      expect(rises.filter((at) => at > to)).toEqual([]);
    }
  });

  it('finds a burst that comes during an outage of the rest, and after one', () => {
    const detector = new BurstDetector(FAST_BURSTS);
    const rises: string[] = [];
    for (let at = 1000; at <= 12 * 3_600_000; at += 1000) {
      const hour = at / 3_600_000;
      const out = hour > 6 && hour < 9;
      const burst = (hour > 8 && hour < 8.1) || (hour > 10 && hour < 10.1);
      for (let k = 0; k < 4; k++) {
        const count = k === 0 && burst ? poisson(8) : out ? 0 : poisson(0.4);
        if (count > 0 && detector.step(`k${k}`, at, count) === 'rise')
          rises.push(`k${k} ${Math.floor(hour)}`);
      }
    }
    expect(rises).toEqual(['k0 8', 'k0 10']);
  });

  it('finds what is asked for seldom by a few requests', () => {
    for (const binMs of [1000, 5000, 10_000]) {
      const detector = new BurstDetector(FAST_BURSTS);
      let found = 0;
      for (let i = 0; i < 60; i++) {
        const from = 1_800_000;
        const rate = (ms: number) => (ms > from ? 0.5 : 0.05);
        // Ten requests where one is usual take twenty seconds; what tells a crowd from a client takes as many more.
        if (run(detector, `k${i}`, binMs, from + 60_000, rate).rises.some((at) => at > from)) found++;
      }
      expect(found).toBeGreaterThanOrEqual(51);
    }
  });

  it('remembers through silence how clumpy a key is', () => {
    const detector = new BurstDetector(FAST_BURSTS);
    let alarms = 0;
    // Visits of eight requests each, every minute and a half or so; each night nothing, of which nobody tells.
    for (let at = 1000; at <= 5 * 86_400_000; at += 1000) {
      if (at % 86_400_000 < 28_800_000) continue;
      const count = 8 * poisson(1 / 90);
      if (count > 0 && detector.step('k', at, count) === 'rise' && at > 86_400_000) alarms++;
    }
    expect(alarms).toBe(0);
  });

  it('does not take a foreseen rise for a burst', () => {
    const foreseen = new BurstDetector(MINUTE_BURSTS);
    const blind = new BurstDetector(MINUTE_BURSTS);
    let surprises = 0;
    for (let minute = 1; minute <= 600; minute++) {
      const count = minute > 300 ? 400 : 40;
      expect(foreseen.step('k', minute * 60_000, count, count, 60_000)).toBeUndefined();
      if (blind.step('k', minute * 60_000, count, undefined, 60_000) === 'rise') surprises++;
    }
    expect(surprises).toBe(1);
  });

  it('remembers no more keys than it may, and takes bad numbers for none', () => {
    const detector = new BurstDetector({ ...FAST_BURSTS, keysMax: 100 });
    for (let i = 0; i < 1000; i++) detector.step(`k${i}`, i, 1);
    expect(detector.size).toBe(100);
    expect(detector.step('bad', 5000, Number.NaN)).toBeUndefined();
    expect(detector.step('k999', 6000, Number.POSITIVE_INFINITY, Number.NaN)).toBeUndefined();
  });
});
