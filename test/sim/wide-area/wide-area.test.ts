import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../protocol/random.ts';
import { popOf } from '../agreement/pop.ts';
import { decideHeights } from './heights.ts';
import { linksOf, meshOf } from './overlay.ts';
import { spreadPurges } from './purges.ts';
import { placePops, readRoundTrips } from './round-trips.ts';

const SERVICE = { firstMs: 0.4, copyMs: 0.1 };
const directory = mkdtempSync(join(tmpdir(), 'presage-wide-area-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Twelve countries, 20 to 240 ms apart; one more that was not measured against all, and one that hardly was. */
function tripsOf() {
  const rows = ['cty1,cty2,rtt_cnt,rtt_avg'];
  for (let a = 0; a < 12; a += 1) {
    for (let b = a; b < 12; b += 1) rows.push(`C${a},C${b},500,${a === b ? 4 : 20 * (b - a) + 20}`);
  }
  rows.push('C0,XX,500,10', 'C1,YY,3,10', 'None,C1,500,10');
  const path = join(directory, 'round-trips.csv.gz');
  writeFileSync(path, gzipSync(`${rows.join('\n')}\n`));
  return readRoundTrips(path);
}

describe('the wide area', () => {
  it('has the countries that were measured against each other, and half of a round trip as its delay', () => {
    const trips = tripsOf();
    expect([...trips.countries].sort()).toEqual(Array.from({ length: 12 }, (_, n) => `C${n}`).sort());
    const area = placePops(trips, 30, seededRandom(1));
    expect(new Set(area.countries).size).toBe(12);
    expect(area.slowestMs).toBe(120);
    expect(area.oneWayMs(3, 17)).toBe(area.oneWayMs(17, 3));
  });

  it('has meshes within the degrees of gossipsub, along connections, that reach everybody', () => {
    for (const pops of [15, 100]) {
      const links = linksOf(Array.from({ length: pops }, (_, index) => popOf(index)));
      const mesh = meshOf(links, seededRandom(pops));
      const reached = new Set([0]);
      for (const pop of reached) for (const peer of mesh[pop]!) reached.add(peer);
      expect(reached.size).toBe(pops);
      for (const [pop, peers] of mesh.entries()) {
        expect(peers.size).toBeGreaterThanOrEqual(4);
        expect(peers.size).toBeLessThanOrEqual(12);
        for (const peer of peers) expect(links[pop]!.has(peer)).toBe(true);
      }
    }
  });

  it('decides with all proposals, for fewer bytes than the summaries, and not before news can have come round', () => {
    const options = { trips: tripsOf(), pops: 16, seed: 1, warmUp: 1, heights: 1, service: SERVICE };
    const [some, all] = [true, false].map((committees) => decideHeights({ ...options, committees }));
    for (const { included, ratio, p50Ms, copies, published } of [some!, all!]) {
      expect(included).toBe(16);
      expect(ratio).toBeLessThan(1);
      expect(p50Ms).toBeGreaterThan(2_000 + 240);
      // Everybody hears everything at least once.
      expect(copies).toBeGreaterThanOrEqual(15 * published);
    }
    expect(some!.bodyBytes).toBeLessThan(all!.bodyBytes);
  });

  it('has purges in force everywhere in two hops, and acknowledged by all', () => {
    const { inForce, acknowledged, slowestPathMs } = spreadPurges({
      ...{ trips: tripsOf(), pops: 100, seed: 1, purges: 4, service: SERVICE },
    });
    for (const ms of inForce) {
      expect(ms).toBeGreaterThan(10);
      expect(ms).toBeLessThan(2.5 * slowestPathMs);
    }
    expect(acknowledged).toHaveLength(4);
  });
});
