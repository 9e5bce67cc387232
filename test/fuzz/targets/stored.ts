import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { ACCURACY } from '../../../actors/accuracy-table.ts';
import { REPLICAS, TAGS, VERSIONS } from '../../../actors/catalogue-tables.ts';
import { decodeFrame, encodeFrame } from '../../../node/adapters/blob-format.ts';
import { recordTable } from '../../../node/adapters/level-record.ts';
import { CALL, frameReader, REPLY } from '../../../node/adapters/streams-frame.ts';
import type { ContentHash, RegionId, SiteId } from '../../../protocol/ids.ts';
import type { TableSpec } from '../../../protocol/ports.ts';
import { founder, START } from '../../property/decision/cluster.ts';
import { mustHold, roundTrip, type Shape, type Target } from '../target.ts';
import { replica } from './wire.ts';

const shape: Shape = 'messagepack';
const pop = founder(1).pop;

const table = <T>(spec: TableSpec<T>, seeds: readonly T[]): Target => ({
  ...{ name: `record-${spec.name}`, shape, seeds: seeds.map(spec.encode), maxBytes: 64 * 1024 },
  run: roundTrip(spec.decode, spec.encode),
});

const things = recordTable(
  'things',
  7,
  v.object({ id: v.number(), name: v.string(), at: v.map(v.string(), v.number()) }),
);

const sums = (samples: number) => ({
  ...{ samples, absolute: 1.25, scaled: 1, naive: 3, signed: -0.5, actual: 9, covered: 3, pinball: 0.1 },
});

const body = Buffer.alloc(300_000, 'body');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex') as ContentHash;
const manifest = {
  hash: sha256(body),
  size: body.length,
  chunks: [sha256(body.subarray(0, 256 * 1024)), sha256(body.subarray(256 * 1024))],
};
const frame = encodeFrame(manifest, 'disk', undefined);
const sealed = encodeFrame(manifest, 'memory', Buffer.alloc(16, 1));

/** Frames cut anywhere are the same frames; nothing is kept beyond the cap. */
function lane(input: Uint8Array): unknown {
  const read = (size: number): string => {
    const seen: string[] = [];
    const reader = frameReader({
      limit: (kind) => (kind === CALL || kind === REPLY ? 4_096 : undefined),
      begin: (call) => call % 3 !== 0,
      end: (call, kind, payload) => seen.push(`${call} ${kind} ${payload.length}`),
    });
    try {
      for (let at = 0; at < input.length; at += size) reader.push(input.subarray(at, at + size));
    } catch (error) {
      seen.push(String((error as { code?: string }).code));
    }
    return seen.join();
  };
  mustHold(read(3) === read(100_000), 'frames depend on how they are cut');
  return undefined;
}
const framed = (length: number, call: number, kind: number) => {
  const bytes = Buffer.alloc(9 + length, 1);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(call, 4);
  bytes[8] = kind;
  return new Uint8Array(bytes);
};

/** What is read back from disk, and the frames of streams. */
export const storedTargets: readonly Target[] = [
  table(REPLICAS, [replica, { ...replica, variant: '', source: 'client' }]),
  table(VERSIONS, [
    { content: replica.content, size: 4, validator: '', stamp: replica.version },
    { content: replica.content, size: 4, validator: '11'.repeat(8), stamp: { time: START, counter: 0, pop } },
  ]),
  table(TAGS, [
    {
      ...{ key: replica.key, site: 'shop' as SiteId, pulling: false, priority: 7, tier: 'disk' },
      ...{ labels: ['news'], updatedAt: START },
    },
  ]),
  table(ACCURACY, [
    { model: 'ses+theta', class: 'short', region: 'eu' as RegionId, next: sums(4), horizon: sums(0.5) },
  ]),
  {
    ...{ name: 'record', shape, seeds: [things.encode({ id: 4, name: 'four', at: new Map([['x', 1]]) })] },
    run: (input) => things.decode(input).id,
  },
  {
    ...{ name: 'blob-frame', shape: 'bytes', maxBytes: 16 * 1024 },
    seeds: [frame, sealed].map(({ header, table: rows }) => new Uint8Array(Buffer.concat([header, rows]))),
    run: (input) => {
      const bytes = Buffer.from(input);
      return decodeFrame(bytes.subarray(0, 128), bytes.subarray(128), manifest.hash).chunks.length;
    },
  },
  {
    ...{ name: 'stream-frames', shape: 'bytes', maxBytes: 16 * 1024, run: lane },
    seeds: [framed(5, 1, CALL), framed(100, 2, REPLY), framed(4_096, 3, CALL)],
  },
];
