import { describe, expect, it } from 'vitest';
import type { Load } from '../../../node/demo/load.ts';
import { poisson, WeightedChoice } from '../../../node/demo/load.ts';
import { nullLoad } from '../../../node/demo/null-load.ts';
import { dayCurve, zipfLoad } from '../../../node/demo/zipf-load.ts';
import { seededRandom } from '../../../protocol/random.ts';

const HOUR_MS = 3_600_000;
const START = Date.UTC(2026, 0, 5, 6);
const options = { seed: 7, start: START, durationMs: 8 * HOUR_MS, regions: 5 };

const counts = (load: Load) => {
  const byPath = new Map<string, number>();
  for (const { path } of load.requests) byPath.set(path, (byPath.get(path) ?? 0) + 1);
  return byPath;
};

describe('generated loads', () => {
  it.each([
    ['zipf', zipfLoad],
    ['null', nullLoad],
  ])('%s: the same seed gives the same requests, another seed others', (_name, make) => {
    expect(make(options).requests).toEqual(make(options).requests);
    expect(make({ ...options, seed: 8 }).requests).not.toEqual(make(options).requests);
  });

  it.each([
    ['zipf', zipfLoad],
    ['null', nullLoad],
  ])('%s: requests are in order, within the span, and for files of the origin', (_name, make) => {
    const load = make(options);
    let before = load.start;
    for (const request of load.requests) {
      expect(request.at).toBeGreaterThanOrEqual(before);
      expect(load.files.has(request.path)).toBe(true);
      expect(request.region).toBeLessThan(options.regions);
      before = request.at;
    }
    expect(before).toBeLessThan(load.end);
    expect(load.requests.length).toBeGreaterThan(5_000);
  });

  it('zipf: few files draw most requests; null: none stands out', () => {
    const share = (load: Load) => {
      const sorted = [...counts(load).values()].sort((a, b) => b - a);
      const top = sorted.slice(0, 100).reduce((sum, count) => sum + count, 0);
      return top / load.requests.length;
    };
    expect(share(zipfLoad(options))).toBeGreaterThan(0.35);
    expect(share(nullLoad(options))).toBeLessThan(0.06);
  });

  it('zipf: a flash crowd begins in one region and is in all of them within the hour', () => {
    const load = zipfLoad(options);
    const begins = new Map<number, number>();
    for (const { path, region, at } of load.requests) {
      if (path === '/live/story-2.html' && !begins.has(region)) begins.set(region, at);
    }
    const times = [...begins.values()].sort((a, b) => a - b);
    expect(times).toHaveLength(options.regions);
    expect(times[1]! - times[0]!).toBeGreaterThan(2 * 60_000);
    expect(times.at(-1)! - times[0]!).toBeLessThan(HOUR_MS);
  });

  it('zipf: the same client asks for the companions of a page within seconds', () => {
    const { requests } = zipfLoad(options);
    const page = requests.find(({ path }) => path === '/live/story-0.html')!;
    const image = requests.find(
      ({ path, client, region, at }) =>
        path === '/live/story-0/image-0.jpg' &&
        client === page.client &&
        region === page.region &&
        at >= page.at,
    );
    expect(image!.at - page.at).toBeLessThan(15_000);
  });

  it('the day curve is highest in the afternoon of the region', () => {
    expect(dayCurve(Date.UTC(2026, 0, 5, 15), 0)).toBeCloseTo(1.6);
    expect(dayCurve(Date.UTC(2026, 0, 5, 6), 9)).toBeCloseTo(1.6);
    expect(dayCurve(Date.UTC(2026, 0, 5, 3), 0)).toBeCloseTo(0.4);
  });
});

describe('draws', () => {
  it('a weighted choice follows its weights and never draws a weight of zero', () => {
    const choice = new WeightedChoice([1, 0, 3]);
    const random = seededRandom(1);
    const drawn = [0, 0, 0];
    for (let i = 0; i < 10_000; i += 1) drawn[choice.draw(random)]! += 1;
    expect(drawn[1]).toBe(0);
    expect(drawn[2]! / drawn[0]!).toBeCloseTo(3, 0);
    expect(new WeightedChoice([0, 0]).draw(random)).toBe(-1);
  });

  it.each([0.4, 8, 200])('poisson has mean and variance %d', (mean) => {
    const random = seededRandom(2);
    const draws = Array.from({ length: 20_000 }, () => poisson(random, mean));
    const average = draws.reduce((sum, n) => sum + n, 0) / draws.length;
    const variance = draws.reduce((sum, n) => sum + (n - average) ** 2, 0) / draws.length;
    expect(Math.abs(average / mean - 1)).toBeLessThan(0.05);
    expect(Math.abs(variance / mean - 1)).toBeLessThan(0.08);
  });
});
