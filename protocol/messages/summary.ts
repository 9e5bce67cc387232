import * as v from 'valibot';
import { PresageError } from '../errors.ts';
import { idBytes, type RegionId, type SiteId } from '../ids.ts';
import { TOPICS } from '../ports.ts';
import type { PopState, Summary, SummaryResource } from '../summary.ts';
import { decode, encode, type MessageSpec } from '../wire/codec.ts';
import { key16, popId, regionId, rows, text, uint } from '../wire/schemas.ts';

/** Summaries of all PoPs of one epoch together stay within this, so that gossip does not grow with the square. */
const CLUSTER_BYTES = 8 << 20;
/** More rows than 64 KiB can hold. */
const RESOURCES_MAX = 4096;
const COMPANIONS_MAX = 8192;
const REGIONS_MAX = 1024;
const SITES_MAX = 1024;
const STATES: readonly PopState[] = ['up', 'drain', 'sick'];

const UINT32 = 0xffffffff;
const capacity = v.tuple([uint(UINT32), uint(UINT32), uint(UINT32), uint(15), uint(STATES.length - 1)]);

/** `[key16, site, size, kind, group, low, high, [region, count, KiB, …]]`, indices into the lists of the message. */
const resource = v.tuple([
  key16,
  uint(SITES_MAX - 1),
  uint(),
  uint(255),
  uint(0xffff),
  uint(UINT32),
  uint(UINT32),
  rows(uint(), 3 * REGIONS_MAX),
]);

/**
 * `[1, pop, sequence, from, to, requests, bytes, capacity, worth, tail, regions, sites, resources, companions]`,
 * where companions are flat triples `leader, follower, count`.
 */
const schema = v.tuple([
  v.literal(1),
  popId,
  uint(),
  uint(),
  uint(),
  uint(UINT32),
  uint(),
  capacity,
  v.tuple([uint(UINT32), uint(UINT32), uint(UINT32), uint(UINT32)]),
  v.tuple([uint(UINT32), uint()]),
  rows(regionId, REGIONS_MAX),
  rows(text(64, 1), SITES_MAX),
  rows(resource, RESOURCES_MAX),
  rows(uint(UINT32), 3 * COMPANIONS_MAX),
]);

export const summarySpec: MessageSpec<typeof schema> = {
  name: 'summary',
  schema,
  maxBytes: TOPICS.summary.maxBytes,
  depth: 5,
};

/** How large a summary may be in a cluster of `pops`: 64 KiB, less above 128 PoPs. */
export function summaryBytesMax(pops: number): number {
  return Math.min(TOPICS.summary.maxBytes, Math.floor(CLUSTER_BYTES / Math.max(1, pops)));
}

function pack(summary: Summary, keep: number, pairs: number): Uint8Array {
  const kept = summary.resources.slice(0, keep);
  const regionAt = new Map<RegionId, number>();
  const siteAt = new Map<SiteId, number>();
  const indexOf = <K>(index: Map<K, number>, key: K): number => {
    const at = index.get(key) ?? index.size;
    index.set(key, at);
    return at;
  };
  let cutRequests = summary.tail.requests;
  let cutBytes = summary.tail.bytes;
  for (const gone of summary.resources.slice(keep)) {
    for (const { count, bytes } of gone.regions) {
      cutRequests += count;
      cutBytes += bytes;
    }
  }
  const packed = kept.map((r) => [
    idBytes(r.key16),
    indexOf(siteAt, r.site),
    r.size,
    r.kind,
    r.group,
    r.clients[0],
    r.clients[1],
    r.regions.flatMap(({ region, count, bytes }) => [
      indexOf(regionAt, region),
      count,
      Math.ceil(bytes / 1024),
    ]),
  ]);
  const companions: number[] = [];
  for (const [leader, follower, count] of summary.companions) {
    if (companions.length >= 3 * pairs) break;
    if (leader < keep && follower < keep) companions.push(leader, follower, count);
  }
  const { capacities: c, worth: w } = summary;
  return encode([
    1,
    summary.pop,
    summary.sequence,
    summary.from,
    summary.to,
    summary.requests,
    summary.bytes,
    [c.storageBudgetMiB, c.storageFreeMiB, c.fillKiBps, c.load, STATES.indexOf(c.state)],
    [w.mirroredKiB, w.usedKiB, w.unusedKiB, w.promisedKiB ?? 0],
    [cutRequests, cutBytes],
    [...regionAt.keys()],
    [...siteAt.keys()],
    packed,
    companions,
  ]);
}

/**
 * The wire form, within `summaryBytesMax(pops)`: first companions beyond a quarter of the room are left out, then
 * the least asked resources, whose requests move to the tail.
 */
export function encodeSummary(summary: Summary, pops: number): Uint8Array {
  const limit = summaryBytesMax(pops);
  let keep = Math.min(summary.resources.length, RESOURCES_MAX);
  // A triple takes seven bytes at most where indices stay below 65,536 and counts below 256.
  let pairs = Math.min(summary.companions.length, COMPANIONS_MAX);
  for (;;) {
    const bytes = pack(summary, keep, pairs);
    if (bytes.length <= limit || keep === 0) return bytes;
    if (pairs * 28 > limit) pairs = Math.floor(limit / 28);
    else keep = Math.min(keep - 1, Math.floor((keep * limit) / bytes.length));
  }
}

/** Decodes and checks a summary's shape; what it means is for `judgeSummary`. Fails with `WIRE_*`. */
export function decodeSummary(bytes: Uint8Array): Summary {
  const [, pop, sequence, from, to, requests, total, c, w, tail, regions, sites, list, flat] = decode(
    bytes,
    summarySpec,
  );
  const malformed = (what: string) => new PresageError('WIRE_SCHEMA', `summary: ${what}`);
  const seen = new Set<string>();
  const resources = list.map(([key, siteAt, size, kind, group, low, high, cells]): SummaryResource => {
    const site = sites[siteAt];
    if (site === undefined || cells.length % 3 !== 0 || seen.has(key)) throw malformed('resource row');
    seen.add(key);
    const demand: SummaryResource['regions'][number][] = [];
    for (let i = 0; i < cells.length; i += 3) {
      const region = regions[cells[i]!];
      const count = cells[i + 1]!;
      const kib = cells[i + 2]!;
      if (region === undefined || count > UINT32 || kib > UINT32) throw malformed('region of a resource');
      demand.push({ region, count, bytes: kib * 1024 });
    }
    return { key16: key, site: site as SiteId, size, kind, group, clients: [low, high], regions: demand };
  });
  if (flat.length % 3 !== 0) throw malformed('companions');
  const companions: [number, number, number][] = [];
  for (let i = 0; i < flat.length; i += 3) {
    const leader = flat[i]!;
    const follower = flat[i + 1]!;
    if (leader >= resources.length || follower >= resources.length) throw malformed('companion');
    companions.push([leader, follower, flat[i + 2]!]);
  }
  return {
    pop,
    sequence,
    from,
    to,
    requests,
    bytes: total,
    tail: { requests: tail[0], bytes: tail[1] },
    capacities: {
      storageBudgetMiB: c[0],
      storageFreeMiB: c[1],
      fillKiBps: c[2],
      load: c[3],
      state: STATES[c[4]] ?? 'sick',
    },
    worth: { mirroredKiB: w[0], usedKiB: w[1], unusedKiB: w[2], promisedKiB: w[3] },
    resources,
    companions,
  };
}
