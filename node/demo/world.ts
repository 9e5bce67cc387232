import type { RegionId } from '../../protocol/ids.ts';

/** Where the demo's clients and PoPs are. */
export interface Place {
  readonly region: RegionId;
  /** Hours that local time is ahead of UTC; the day curve follows it. */
  readonly utcOffsetH: number;
  /** Top-level domains of log clients that belong here. */
  readonly domains: readonly string[];
}

/**
 * The regions in the order in which a growing cluster opens them. Generic domains (com, net, gov, edu, org, mil, us)
 * are shared out among the two American regions by a hash of the client's name.
 */
export const PLACES: readonly Place[] = [
  { region: 'us-east' as RegionId, utcOffsetH: -5, domains: ['ca', 'mx'] },
  { region: 'us-west' as RegionId, utcOffsetH: -8, domains: [] },
  {
    region: 'europe' as RegionId,
    utcOffsetH: 1,
    domains:
      'uk de nl fr it ie es pt be ch at dk gr pl cz hu ru su ro si hr sk lu il tr za bg ua ee lv lt is yu'.split(
        ' ',
      ),
  },
  {
    region: 'asia' as RegionId,
    utcOffsetH: 9,
    domains: 'jp kr tw hk sg my th cn id ph in pk ae kw'.split(' '),
  },
  { region: 'oceania' as RegionId, utcOffsetH: 10, domains: ['au', 'nz', 'gu', 'fj'] },
  { region: 'nordic' as RegionId, utcOffsetH: 2, domains: ['se', 'no', 'fi'] },
  { region: 'brazil' as RegionId, utcOffsetH: -3, domains: 'br ar cl co pe uy ve cr ec pa'.split(' ') },
  { region: 'india' as RegionId, utcOffsetH: 5.5, domains: ['in', 'lk'] },
];

/**
 * Round trips between the regions in ms, rows and columns in the order of `PLACES`: country means measured by RIPE
 * Atlas (Ireland for Europe, Japan for Asia, Australia for Oceania, Finland for the Nordic countries); the two
 * American coasts, which are one country there, are set to 65 ms apart.
 */
const ROUND_TRIPS_MS: readonly (readonly number[])[] = [
  [5, 65, 131, 160, 192, 128, 150, 212],
  [65, 5, 150, 130, 175, 160, 181, 212],
  [131, 150, 5, 195, 242, 80, 237, 180],
  [160, 130, 195, 5, 132, 204, 249, 115],
  [192, 175, 242, 132, 5, 280, 321, 183],
  [128, 160, 80, 204, 280, 5, 218, 213],
  [150, 181, 237, 249, 321, 218, 5, 334],
  [212, 212, 180, 115, 183, 213, 334, 5],
];

/** Round trip in ms between two regions by their position in `PLACES`. */
export function roundTripMs(from: number, to: number): number {
  return ROUND_TRIPS_MS[from]?.[to] ?? 300;
}

/** The first `count` regions, at least one, at most all. */
export function places(count: number): readonly Place[] {
  return PLACES.slice(0, Math.max(1, Math.min(count, PLACES.length)));
}

/** Distances of the charter: region by region. */
export function distanceTable(regions: number): Record<string, Record<string, number>> {
  const used = places(regions);
  return Object.fromEntries(
    used.map((from, i) => [
      from.region,
      Object.fromEntries(used.map((to, j) => [to.region, roundTripMs(i, j)])),
    ]),
  );
}

/** Clients that a region can have, each with an address of its own. */
export const CLIENTS_PER_REGION = 1_000_000;
/** Networks of length 24 in a region. PoPs tell clients apart by those, so that clients are spread over all of them. */
const NETWORKS_PER_REGION = 4096;

/**
 * All addresses of the demo are loopback ones, so that it needs no privilege: PoP i listens on 127.0.0.(10+i), and
 * the clients of region r connect from 127.(16r+16).0.0/12, which the charter maps to the region.
 */
export const popAddress = (index: number): string => `127.0.0.${10 + index}`;
export const clientNetwork = (region: number): string => `127.${16 * (region + 1)}.0.0/12`;
export function clientAddress(region: number, client: number): string {
  const number = client % CLIENTS_PER_REGION;
  const block = number % NETWORKS_PER_REGION;
  const host = 1 + Math.floor(number / NETWORKS_PER_REGION);
  return `127.${16 * (region + 1) + (block >>> 8)}.${block & 255}.${host}`;
}
