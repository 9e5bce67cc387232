import type { RegionId, SiteId } from './ids.ts';

/**
 * The operator-signed, versioned document of a cluster: what all PoPs must hold in common. Local matters
 * (addresses, directories, name, capacities) stand in each PoP's own configuration file.
 */
export interface Charter {
  /** Rises with every edition. */
  readonly version: number;
  /** Name of the cluster, for people. */
  readonly cluster: string;
  /** Beat of the cluster, ms of real time. */
  readonly epochMs: number;
  /** Planning horizon, ms of demand time. */
  readonly horizonMs: number;
  /** PoPs that forecast one resource in clusters of fourteen and more; 0: all do. */
  readonly committee: number;
  readonly regions: readonly RegionId[];
  /**
   * Round trips in whole ms: from clients of a region to a PoP, by the PoP's name or else by the PoP's region.
   * What is absent counts as `UNKNOWN_DISTANCE_MS`; a region to itself, if absent, as `LOCAL_DISTANCE_MS`.
   */
  readonly distances: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Client networks (CIDR) by region; they go before the countries. */
  readonly networks: readonly { readonly cidr: string; readonly region: RegionId }[];
  /** Region of each ISO 3166 country code. */
  readonly countries: Readonly<Record<string, RegionId>>;
  /** Region of clients that nothing else places. */
  readonly defaultRegion: RegionId;
  readonly sites: readonly Site[];
}

export const UNKNOWN_DISTANCE_MS = 300;
export const LOCAL_DISTANCE_MS = 5;

/** A group of host names with one origin and one policy. */
export interface Site {
  readonly id: SiteId;
  /** Host names in lower case; `*` matches every host that no other site names. */
  readonly hosts: readonly string[];
  /** Base URL of the origin, `http://` or `https://`. */
  readonly origin: string;
  /** Value of the Host header sent to the origin; by default the client's. */
  readonly originHost?: string;
  /** Secret under which key16s of this site are made, 32 bytes. */
  readonly secret: Uint8Array;
  readonly normalise: Normalisation;
  /** PoPs, by name, that may hold this site's content and learn its names; `*` for all. */
  readonly allow: readonly string[];
  /** Whether clients must present a signed URL or a bearer token. */
  readonly private: boolean;
  /** Keys that sign URLs and bearer tokens of a private site: the first signs, all are accepted while they are listed. */
  readonly accessKeys?: readonly AccessKey[];
  /** Where a miss goes when no holder is known: to the key's home PoP, or straight to the origin. */
  readonly shield: 'home' | 'off';
  /** What a PoP does with stored content before it has reconciled purges after a restart or a partition. */
  readonly cutOff: 'serve-stale' | 'revalidate';
  /** DNS names of this site that are answered per client. */
  readonly zone?: string;
}

/** A shared secret between the PoPs and whoever lets clients in. */
export interface AccessKey {
  /** 1 to 32 letters, digits, dots, underscores and hyphens; stands in signed URLs and tokens. */
  readonly id: string;
  /** 32 to 64 bytes. */
  readonly secret: Uint8Array;
}

/** How a URL becomes a canonical key. */
export interface Normalisation {
  /** Query parameters that are dropped; `*` at the end matches a prefix (`utm_*`). */
  readonly dropParameters: readonly string[];
  /** Whether the remaining parameters are sorted by name. */
  readonly sortParameters: boolean;
  /** Whether the whole query is dropped. */
  readonly ignoreQuery: boolean;
}

/** Round trip in ms from clients of `region` to the PoP `name` in `popRegion`, as the charter states it. */
export function distanceMs(
  charter: Pick<Charter, 'distances'>,
  region: string,
  name: string,
  popRegion: string,
): number {
  const row = charter.distances[region];
  return row?.[name] ?? row?.[popRegion] ?? (region === popRegion ? LOCAL_DISTANCE_MS : UNKNOWN_DISTANCE_MS);
}

/** Whether a PoP of that name may hold a site's content and learn its names. */
export const siteAllows = (site: Site, popName: string): boolean =>
  site.allow.includes('*') || site.allow.includes(popName);
