import { createHmac, randomBytes } from 'node:crypto';
import type { Names } from '../actors/names.ts';
import type { ErrorCode } from '../protocol/errors.ts';
import { codeOf } from '../protocol/errors.ts';
import type { Geography } from '../protocol/geography.ts';
import { key16Of } from '../protocol/ids.ts';
import { groupOfKey, kindOfPath } from '../protocol/summary.ts';
import type { Observation } from '../protocol/window.ts';
import { prefixOf } from './http/client.ts';
import { canonicalHost, canonicalTarget, hostName } from './http/key.ts';
import type { Observation as EdgeObservation } from './http/observation.ts';
import type { Observation as LogObservation } from './ingest/observation.ts';
import type { Sites } from './sites.ts';

/** What turns requests, seen at the edge or read from a log, into demand. */
export interface DemandParts {
  readonly sites: Sites;
  readonly geography: Geography;
  readonly names: Names;
}

/** Demand of a request that the edge served. */
export function demandOfEdge(seen: EdgeObservation, names: Names): Observation {
  names.learn(seen.key16, { key: seen.key, site: seen.site.id });
  return {
    key16: seen.key16,
    site: seen.site.id,
    region: seen.region,
    bytes: seen.bytes,
    size: seen.size,
    clientPrefix: Number.parseInt(seen.clientPrefixHash.slice(0, 8), 16) >>> 0,
    at: seen.at,
    shareable: seen.shareable,
    query: seen.query,
    kind: kindOfPath(seen.key),
    group: groupOfKey(seen.key),
  };
}

/** Logged requests that say nothing about what could be mirrored. */
export type NoDemand = 'method-not-cached' | 'status-not-success';

/** Reads requests from logs of caches in front; client addresses end here, as keyed hashes of their prefix. */
export class LogDemand {
  readonly #parts: DemandParts;
  readonly #secret = randomBytes(32);

  constructor(parts: DemandParts) {
    this.#parts = parts;
  }

  /** The demand of a logged request, or a coded reason why it is none. */
  of(seen: LogObservation, defaultHost: string | undefined): Observation | ErrorCode | NoDemand {
    const { sites, geography, names } = this.#parts;
    if (seen.method !== 'GET' && seen.method !== 'HEAD') return 'method-not-cached';
    if (seen.status !== 0 && (seen.status < 200 || seen.status >= 400)) return 'status-not-success';
    try {
      const host = canonicalHost(seen.host || defaultHost || 'localhost', 80);
      const site = sites.ofHost(hostName(host));
      if (!site) return 'HTTP_UNKNOWN_SITE';
      const target = canonicalTarget(host, seen.url, site.normalise);
      const key16 = key16Of(target.key, site.secret);
      names.learn(key16, { key: target.key, site: site.id });
      const prefix = createHmac('sha256', this.#secret)
        .update(prefixOf(seen.client) || seen.client)
        .digest();
      return {
        key16,
        site: site.id,
        region: geography.locateText(seen.client).region,
        bytes: seen.bytes,
        size: seen.bytes,
        clientPrefix: prefix.readUInt32BE(0),
        at: seen.at,
        shareable: !target.signed && !site.private,
        query: target.hasQuery,
        kind: kindOfPath(target.key),
        group: groupOfKey(target.key),
      };
    } catch (error) {
      return codeOf(error, 'INPUT_MALFORMED');
    }
  }
}
