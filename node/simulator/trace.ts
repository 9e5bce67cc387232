import { createHash } from 'node:crypto';
import type { Key16, RegionId } from '../../protocol/ids.ts';
import { hash32 } from '../../protocol/rendezvous.ts';
import { groupOfKey, kindOfPath } from '../../protocol/summary.ts';

/** One line of a log, as far as the simulator cares. */
export interface TraceRecord {
  /** Unix ms. */
  readonly at: number;
  readonly client: string;
  /** `host/path?query`. */
  readonly key: string;
  readonly status: number;
  readonly bytes: number;
}

/** One request as a PoP gets it. */
export interface TraceRequest {
  readonly at: number;
  readonly key16: Key16;
  /** Index of the PoP, which is also that of its region. */
  readonly pop: number;
  readonly clientPrefix: number;
  readonly resource: TraceResource;
}

export interface TraceResource {
  readonly key16: Key16;
  readonly kind: number;
  readonly group: number;
  readonly query: boolean;
  /** The largest answer in the log. */
  size: number;
}

/**
 * What places a client: its network's hash, its top-level domain, or any label such as a country. Clients without a
 * label are spread by hash.
 */
export type RegionBy = 'tld' | 'hash' | ((client: string) => string | undefined);

export interface Trace {
  readonly requests: readonly TraceRequest[];
  readonly resources: ReadonlyMap<string, TraceResource>;
  readonly regions: readonly RegionId[];
  readonly bytes: number;
}

/** Hash of the network that a client belongs to: /24 of an IPv4 address, /48 of an IPv6 one, else the whole name. */
export function clientPrefixOf(client: string): number {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(client)) return hash32(client.slice(0, client.lastIndexOf('.')));
  if (client.includes(':')) return hash32(client.split(':').slice(0, 3).join(':'));
  return hash32(client);
}

/**
 * Deals a log out to `pops` PoPs: complete successful answers only, in order of time, each client's region nearest
 * to one PoP. By `hash` clients are spread evenly; by a label clients of one stay together, the labels with
 * most requests dealt first, each to the region with the least.
 */
export function dealTrace(records: Iterable<TraceRecord>, pops: number, by: RegionBy): Trace {
  const kept: TraceRecord[] = [];
  for (const record of records) if (record.status === 200 && record.bytes > 0) kept.push(record);
  kept.sort((a, b) => a.at - b.at);
  const regionOf = by === 'hash' ? byHash(pops) : byLabel(kept, pops, by === 'tld' ? topLevelOf : by);
  const resources = new Map<string, TraceResource>();
  const requests: TraceRequest[] = [];
  let bytes = 0;
  for (const { at, client, key, bytes: sent } of kept) {
    let resource = resources.get(key);
    if (resource === undefined) {
      const key16 = createHash('sha256').update(key).digest('hex').slice(0, 32) as Key16;
      resource = { key16, kind: kindOfPath(key), group: groupOfKey(key), query: key.includes('?'), size: 0 };
      resources.set(key, resource);
    }
    resource.size = Math.max(resource.size, sent);
    requests.push({
      at,
      key16: resource.key16,
      pop: regionOf(client),
      clientPrefix: clientPrefixOf(client),
      resource,
    });
  }
  for (const { resource } of requests) bytes += resource.size;
  const regions = Array.from({ length: pops }, (_, i) => `region-${i + 1}` as RegionId);
  return { requests, resources, regions, bytes };
}

const byHash = (pops: number) => (client: string) => clientPrefixOf(client) % pops;

const topLevelOf = (client: string): string | undefined =>
  /^[\d.]+$|:/.test(client) ? undefined : client.slice(client.lastIndexOf('.') + 1).toLowerCase();

function byLabel(
  records: readonly TraceRecord[],
  pops: number,
  labelOf: (client: string) => string | undefined,
): (client: string) => number {
  const counts = new Map<string, number>();
  let unlabelled = 0;
  for (const { client } of records) {
    const label = labelOf(client);
    if (label === undefined) unlabelled += 1;
    else counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const load = new Array<number>(pops).fill(unlabelled / pops);
  const region = new Map<string, number>();
  for (const [label, count] of [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))) {
    const least = load.indexOf(Math.min(...load));
    region.set(label, least);
    load[least] = load[least]! + count;
  }
  return (client) => {
    const label = labelOf(client);
    return label === undefined ? clientPrefixOf(client) % pops : (region.get(label) ?? 0);
  };
}
