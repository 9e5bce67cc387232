import { createHash } from 'node:crypto';
import type { Charter } from '../protocol/charter.ts';
import { COMMITTEE_SIZE } from '../protocol/committee.ts';
import type { RegionId, SiteId } from '../protocol/ids.ts';

/** Horizon that a PoP alone plans for, demand ms. */
const HORIZON_MS = 7_200_000;

/**
 * The charter of a cluster of one: a single region and, where an origin is configured, a single site that answers
 * for every host name. The site's secret follows from the PoP's own key, so that key16s survive a restart.
 */
export function loneCharter(options: {
  readonly region: string;
  readonly origin: string | undefined;
  readonly epochMs: number;
  readonly key: Uint8Array;
}): Charter {
  const region = options.region as RegionId;
  const secret = createHash('sha256').update('presage/lone-site/1\0').update(options.key).digest();
  return {
    version: 0,
    cluster: 'lone',
    epochMs: options.epochMs,
    horizonMs: HORIZON_MS,
    committee: COMMITTEE_SIZE,
    regions: [region],
    distances: {},
    networks: [],
    countries: {},
    defaultRegion: region,
    sites:
      options.origin === undefined
        ? []
        : [
            {
              id: 'default' as SiteId,
              hosts: ['*'],
              origin: options.origin,
              secret: new Uint8Array(secret),
              normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
              allow: ['*'],
              private: false,
              shield: 'off',
              cutOff: 'serve-stale',
            },
          ],
  };
}
