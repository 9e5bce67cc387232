import { describe, expect, it } from 'vitest';
import { ClassProfiles, ColdStarts } from '../../../forecasting/class-profiles.ts';
import { forecastDemand } from '../../../forecasting/demand.ts';
import { History } from '../../../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import type { Summary } from '../../../protocol/summary.ts';

const eu = 'eu' as RegionId;
const us = 'us' as RegionId;
const HOUR = 3_600_000;
const START = 100 * HOUR;
const WINDOW = 600_000;
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;

interface Asked {
  readonly n: number;
  readonly region: RegionId;
  readonly count: number;
  readonly kind?: number;
  readonly group?: number;
}

let sequence = 0;
function fold(history: History, from: number, asked: readonly Asked[]): void {
  const summary: Summary = {
    ...{ pop: 'a' as PopId, sequence: ++sequence, from, to: from + WINDOW, requests: 0, bytes: 0 },
    tail: { requests: 0, bytes: 0 },
    capacities: { storageBudgetMiB: 1, storageFreeMiB: 1, fillKiBps: 1, load: 0, state: 'up' },
    worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
    resources: asked.map(({ n, region, count, kind = 1, group = 1 }) => ({
      ...{ key16: key(n), site: 's' as SiteId, size: 10, kind, group, clients: [0, 0] as const },
      regions: [{ region, count, bytes: 0 }],
    })),
    companions: [],
  };
  history.fold(summary);
}

/** Images (kind 2, directory 7) are asked for six times an hour in Europe, pages hardly; ten hours of it. */
function taught(): { history: History; now: number } {
  const history = new History();
  for (let w = 0; w < 60; w += 1) {
    const images = Array.from({ length: 20 }, (_, n) => ({ n, region: eu, count: 1, kind: 2, group: 7 }));
    const pages = Array.from({ length: 20 }, (_, n) => ({ n: 100 + n, region: eu, count: 1 }));
    fold(history, START + w * WINDOW, [...images, ...(w % 30 === 0 ? pages : [])]);
  }
  return { history, now: START + 60 * WINDOW };
}

describe('profiles of classes', () => {
  it('tell what is asked for apart by kind and directory, and lean on the region for what they do not know', () => {
    const { history, now } = taught();
    const profiles = new ClassProfiles(history.resources(), now);
    const rate = (kind: number, group: number, region = eu) =>
      profiles.rate({ site: 's' as SiteId, kind, group }, region) * HOUR;
    expect(rate(2, 7)).toBeGreaterThan(5);
    expect(rate(2, 7)).toBeLessThan(6.5);
    expect(rate(1, 1)).toBeLessThan(0.5);
    const unknown = rate(9, 99);
    expect(unknown).toBeGreaterThan(rate(1, 1));
    expect(unknown).toBeLessThan(rate(2, 7));
    expect(rate(9, 99, us)).toBeCloseTo(unknown, 0);
    expect(profiles.strengthMs).toBeGreaterThan(0);
    const prior = profiles.prior({ site: 's' as SiteId, kind: 2, group: 7 }, eu);
    expect(prior.overMs).toBe(profiles.strengthMs);
    expect((prior.requests * HOUR) / prior.overMs).toBeCloseTo(rate(2, 7));
  });

  it('know nothing of an empty history, and say so without a division by nothing', () => {
    const profiles = new ClassProfiles([], START);
    expect(profiles.prior({ site: 's' as SiteId, kind: 2, group: 7 }, eu).requests).toBe(0);
  });
});

describe('cold starts', () => {
  it('forecast a young series by what its like are asked for', () => {
    const { history, now } = taught();
    const cold = new ColdStarts(history);
    // Two new resources, each asked for five times in Europe; one is an image of the known directory.
    fold(history, now, [
      { n: 200, region: eu, count: 5, kind: 2, group: 7 },
      { n: 201, region: eu, count: 5, kind: 1, group: 1 },
    ]);
    const later = now + WINDOW;
    const series = cold.series(later, 10);
    expect(series.map(({ id }) => id)).toEqual([key(200) + eu, key(201) + eu]);
    const request = { now: later, windowMs: 30_000, horizonMs: 2 * HOUR, level: 0.9 };
    const [image, page] = series.map((one) => forecastDemand(one, request));
    expect(image!.mean).toBeGreaterThan(1.3 * page!.mean);
    expect(cold.series(later, 1)).toHaveLength(1);
    expect(cold.series(later, 10, (key16) => key16 === key(201)).map(({ id }) => id)).toEqual([
      key(201) + eu,
    ]);
    // A day later they are young no more.
    expect(cold.series(later + 24 * HOUR, 10)).toEqual([]);
  });
});
