import type { Charter } from '../../../protocol/charter.ts';
import { REGIONS, SITES } from './cluster.ts';

export const charterOf = (): Charter => ({
  version: 1,
  cluster: 'decision',
  epochMs: 30_000,
  horizonMs: 7_200_000,
  committee: 13,
  regions: REGIONS,
  distances: Object.fromEntries(
    REGIONS.map((region, a) => [
      region,
      Object.fromEntries(REGIONS.map((other, b) => [other, a === b ? 5 : 60 + 20 * Math.abs(a - b)])),
    ]),
  ),
  networks: [],
  countries: {},
  defaultRegion: REGIONS[0]!,
  sites: SITES.map((id) => ({
    id,
    hosts: [`${id}.example`],
    origin: 'http://origin.invalid',
    secret: new Uint8Array(32),
    normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
    allow: ['*'],
    private: false,
    shield: 'home',
    cutOff: 'revalidate',
  })),
});
