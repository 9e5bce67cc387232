import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import type { Placement } from '../protocol/placement.ts';
import { tuningKey } from '../protocol/tuning.ts';

/** For each site and region the PoP that a plan gives most of the expected requests to: where DNS sends clients. */
export function preferredOf(
  placements: readonly Placement[],
  siteOf: (key16: Key16) => SiteId | undefined,
): (readonly [site: SiteId, region: RegionId, pop: PopId])[] {
  const sums = new Map<string, { site: SiteId; region: RegionId; pops: Map<PopId, number> }>();
  for (const { key16, region, pop, expected } of placements) {
    const site = siteOf(key16);
    if (!site) continue;
    const key = tuningKey(site, region);
    const sum = sums.get(key) ?? { site, region, pops: new Map<PopId, number>() };
    sum.pops.set(pop, (sum.pops.get(pop) ?? 0) + expected);
    sums.set(key, sum);
  }
  return [...sums.values()].flatMap(({ site, region, pops }) => {
    const [best] = [...pops].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    return best ? [[site, region, best[0]] as const] : [];
  });
}
