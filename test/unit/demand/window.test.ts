import { expect, test } from 'vitest';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import type { Capacities } from '../../../protocol/summary.ts';
import { DemandWindow, type Observation } from '../../../protocol/window.ts';

const CAPACITIES: Capacities = {
  storageBudgetMiB: 100,
  storageFreeMiB: 50,
  fillKiBps: 1000,
  load: 3,
  state: 'up',
};
const WORTH = { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 };
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const seen = (n: number, more: Partial<Observation> = {}): Observation => ({
  key16: key(n),
  site: 'site' as SiteId,
  region: 'eu' as RegionId,
  bytes: 1000,
  size: 1000,
  clientPrefix: 1,
  at: 1_000,
  shareable: true,
  ...more,
});
const open = () => new DemandWindow('pop' as PopId, 0, 10);

test('counts and bytes by resource and region, the most asked first, and the window moves on', () => {
  const window = open();
  window.observe(seen(1));
  window.observe(seen(2));
  window.observe(seen(2, { region: 'us' as RegionId, clientPrefix: 2 }));
  const first = window.close(30_000, CAPACITIES, WORTH);
  expect(first).toMatchObject({ sequence: 10, from: 0, to: 30_000, requests: 3, bytes: 3000 });
  expect(first.resources.map((row) => row.key16)).toEqual([key(2), key(1)]);
  expect(first.resources[0]?.regions).toHaveLength(2);
  const second = window.close(200_000, CAPACITIES, WORTH);
  expect(second).toMatchObject({ sequence: 11, from: 30_000, to: 200_000, requests: 0, resources: [] });
});

test('what may not be shared is counted in the totals alone', () => {
  const window = open();
  window.observe(seen(1, { shareable: false }));
  const summary = window.close(1000, CAPACITIES, WORTH);
  expect(summary).toMatchObject({ requests: 1, resources: [], tail: { requests: 1, bytes: 1000 } });
});

test('a resource with a query is spoken of after three client prefixes, not three requests, across windows', () => {
  const window = open();
  for (let i = 0; i < 5; i += 1) window.observe(seen(1, { query: true, clientPrefix: 7 }));
  window.observe(seen(1, { query: true, clientPrefix: 8 }));
  expect(window.close(1000, CAPACITIES, WORTH).resources).toEqual([]);
  window.observe(seen(1, { query: true, clientPrefix: 9 }));
  window.observe(seen(1, { query: true, clientPrefix: 7 }));
  expect(window.close(2000, CAPACITIES, WORTH).resources[0]?.regions[0]?.count).toBe(2);
});

test('an answer without a body does not change the size', () => {
  const window = open();
  window.observe(seen(1));
  window.observe(seen(1, { bytes: 0, size: 0 }));
  expect(window.close(1000, CAPACITIES, WORTH).resources[0]).toMatchObject({ size: 1000 });
});

test('companions are what one client asks for within a minute', () => {
  const window = open();
  window.observe(seen(1, { at: 0 }));
  window.observe(seen(2, { at: 2_000 }));
  window.observe(seen(3, { at: 3_000, clientPrefix: 2 }));
  window.observe(seen(4, { at: 90_000 }));
  const { resources, companions } = window.close(100_000, CAPACITIES, WORTH);
  const named = companions.map(([a, b, n]) => [resources[a]?.key16, resources[b]?.key16, n]);
  expect(named).toEqual([[key(1), key(2), 1]]);
});

test('a flood of distinct resources neither grows the window nor hides what is asked for often', () => {
  const window = open();
  for (let i = 0; i < 50_000; i += 1) {
    window.observe(seen(100_000 + i, { clientPrefix: i }));
    if (i % 50 === 0) window.observe(seen(7, { clientPrefix: i }));
  }
  const summary = window.close(30_000, CAPACITIES, WORTH);
  expect(summary.resources.length).toBeLessThanOrEqual(4096);
  const often = summary.resources.find((row) => row.key16 === key(7));
  // At most N / 4096, some 13 requests, may be missing.
  expect(often?.regions[0]?.count).toBeGreaterThanOrEqual(1000 - 13);
  expect(often?.regions[0]?.count).toBeLessThanOrEqual(1000);
  const told = summary.resources.reduce((sum, row) => sum + row.regions.reduce((n, d) => n + d.count, 0), 0);
  expect(told + summary.tail.requests).toBe(51_000);
});
