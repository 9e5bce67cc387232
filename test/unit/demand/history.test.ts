import { expect, test } from 'vitest';
import { fade, History } from '../../../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { RING_BYTES } from '../../../protocol/rings.ts';
import type { Summary } from '../../../protocol/summary.ts';

const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const EU = 'eu' as RegionId;
const US = 'us' as RegionId;
const HOUR = 3_600_000;

function summary(
  pop: string,
  sequence: number,
  from: number,
  to: number,
  rows: readonly (readonly [n: number, region: RegionId, count: number])[],
): Summary {
  return {
    pop: pop as PopId,
    sequence,
    from,
    to,
    requests: rows.length,
    bytes: 0,
    tail: { requests: 0, bytes: 0 },
    capacities: { storageBudgetMiB: 1, storageFreeMiB: 1, fillKiBps: 1, load: 0, state: 'up' },
    worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
    resources: rows.map(([n, region, count]) => ({
      key16: key(n),
      site: 'site' as SiteId,
      size: 1000 + n,
      kind: 2,
      group: 5,
      clients: [1 << (n % 30), 0],
      regions: [{ region, count, bytes: count * 1000 }],
    })),
    companions: [],
  };
}

test('folds the windows of all PoPs, each once', () => {
  const history = new History();
  const start = 100 * HOUR;
  expect(history.fold(summary('a', 1, start, start + 60_000, [[1, EU, 3]]))).toBe(true);
  expect(history.fold(summary('a', 1, start, start + 60_000, [[1, EU, 3]]))).toBe(false);
  expect(history.fold(summary('b', 1, start, start + 60_000, [[1, US, 2]]))).toBe(true);
  expect(history.get(key(1))).toMatchObject({ total: 5, size: 1001, first: start + 60_000 });
  expect(history.get(key(1))?.pops.map(({ pop }) => pop)).toEqual(['a', 'b']);
  expect(history.newest('b' as PopId)).toEqual({ sequence: 1, to: start + 60_000 });
});

test('a window longer than a minute is spread over its minutes, in every ring, losing nothing', () => {
  const history = new History();
  const start = 100 * HOUR;
  history.fold(summary('a', 1, start, start + 200_000, [[1, EU, 40]]));
  history.fold(summary('a', 2, start + 200_000, start + 400_000, [[1, EU, 7]]));
  const now = start + HOUR;
  const minutes = history.series(key(1), EU, 'minute', start + HOUR / 2)!;
  expect(minutes.values.filter((count) => count > 0)).toHaveLength(7);
  const at = (values: readonly number[]) => values.reduce((sum, count) => sum + count, 0);
  expect(at(minutes.values)).toBe(47);
  expect(at(history.series(key(1), EU, 'ten', now)!.values)).toBe(47);
  const hours = history.series(key(1), EU, 'hour', now)!;
  expect(hours.values.at(-1)).toBe(47);
  expect(hours.start + hours.values.length * hours.stepMs).toBe(now);
  expect(at(history.series(key(1), EU, 'minute', now + 2 * HOUR)!.values)).toBe(0);
});

test('a region below the floor gets its share of the resource', () => {
  const history = new History();
  const start = 100 * HOUR;
  history.fold(summary('a', 1, start, start + 60_000, [[1, EU, 30]]));
  history.fold(summary('b', 1, start, start + 60_000, [[1, US, 10]]));
  const shared = history.series(key(1), US, 'hour', start + HOUR)!;
  expect(shared.values.at(-1)).toBe(10);
  expect(history.series(key(2), US, 'hour', start + HOUR)).toBeUndefined();
  expect([...history.established()].map(({ region }) => region.region)).toEqual([EU]);
});

test('a region that gets rings of its own keeps what its share of the resource was before', () => {
  const history = new History();
  const start = 100 * HOUR;
  for (let i = 0; i < 60; i += 1) {
    const [from, to] = [start + i * 60_000, start + (i + 1) * 60_000];
    history.fold(summary('a', i + 1, from, to, [[1, EU, 1]]));
    history.fold(summary('b', i + 1, from, to, [[1, US, 1]]));
  }
  for (const region of [EU, US]) {
    const { values } = history.series(key(1), region, 'hour', start + HOUR)!;
    // Three of the resource's own requests came before it had rings.
    expect(values.at(-1)).toBeGreaterThanOrEqual(57);
    expect(values.at(-1)).toBeLessThanOrEqual(61);
    const minutes = history.series(key(1), region, 'minute', start + HOUR)!;
    expect(minutes.values.slice(5, 20).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(13);
  }
});

test('what is saved comes back, in deltas and whole; damaged rows are refused', () => {
  const history = new History();
  for (let i = 0; i < 50; i += 1) {
    history.fold(summary('a', i + 1, i * 60_000, (i + 1) * 60_000, [[i % 7, EU, 5 + i]]));
  }
  expect(history.takeChanged()).toHaveLength(7);
  expect(history.takeChanged()).toEqual([]);
  const rows = structuredClone(history.toRows());
  const restored = new History();
  expect(restored.fromRows(rows, history.windows())).toBe(0);
  expect(restored.toRows()).toEqual(rows);
  for (const name of ['minute', 'ten', 'hour'] as const) {
    expect(restored.series(key(3), EU, name, HOUR)).toEqual(history.series(key(3), EU, name, HOUR));
  }
  expect(restored.fold(summary('a', 50, 0, 1, []))).toBe(false);
  expect(
    new History().fromRows([
      [key(1), [1, 'site', 'no', [], [], []]],
      [key(2), []],
    ]),
  ).toBe(2);
});

test('memory is bounded: what is asked for keeps its place, the rest gives way', () => {
  const history = new History(4 << 20);
  for (let round = 0; round < 40; round += 1) {
    const rows: [number, RegionId, number][] = [[1, EU, 30]];
    for (let i = 0; i < 200; i += 1) rows.push([1000 + round * 200 + i, EU, 5]);
    const from = round * 60_000;
    history.fold(summary('a', round + 1, from, from + 60_000, rows));
  }
  expect(history.size).toBeLessThan((4 << 20) / 1700);
  expect(history.takeForgotten()).toHaveLength(8001 - history.size);
  expect(history.takeChanged()).toHaveLength(history.size);
  expect(history.rings.size * RING_BYTES).toBeLessThanOrEqual(4 << 20);
  expect(history.get(key(1))?.total).toBe(1200);
  expect(history.series(key(1), EU, 'hour', HOUR)).toBeDefined();
});

test('fading halves with each half-life, without a library function', () => {
  expect(fade(0, 1000)).toBe(1);
  expect(fade(1000, 1000)).toBe(0.5);
  expect(fade(3000, 1000)).toBe(0.125);
  expect(fade(1e9, 1000)).toBe(0);
  expect(Math.abs(fade(500, 1000) - Math.SQRT1_2)).toBeLessThan(0.05);
});

test('what a region is told to have of a resource lies in its own times of day', () => {
  const history = new History();
  const begin = 24 * HOUR * 1000;
  const awake = (hour: number) => hour % 24 < 8;
  // Europe asks in its first eight hours, America twelve hours later; of resource 1 so little that only its total has rings.
  for (let hour = 0; hour < 240; hour += 1) {
    const from = begin + hour * HOUR;
    const few = hour >= 216 && hour % 2 === 0 ? 4 : 0;
    const rows: [number, RegionId, number][] = [];
    if (awake(hour)) rows.push([2, EU, 100], [1, EU, few]);
    if (awake(hour + 12)) rows.push([3, US, 100], [1, US, few]);
    history.fold(summary('a', hour, from, from + 60_000, rows));
  }
  const now = begin + 240 * HOUR;
  const inHours = (known: History, region: RegionId, own: (hour: number) => boolean) => {
    const { start, values } = known.series(key(1), region, 'hour', now)!;
    return values.filter((_, i) => own((start - begin) / HOUR + i)).reduce((all, count) => all + count, 0);
  };
  const restored = new History();
  restored.fromRows(history.takeChanged(), history.windows());
  for (const known of [history, restored]) {
    for (const [region, shift] of [
      [EU, 0],
      [US, 12],
    ] as const) {
      expect(inHours(known, region, (hour) => awake(hour + shift))).toBeGreaterThan(14);
      expect(inHours(known, region, (hour) => awake(hour + shift + 12))).toBeLessThan(2);
    }
  }
});
