import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Puller } from '../../../actors/puller.ts';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import { zstd } from '../../../node/adapters/zstd.ts';
import type { Site } from '../../../protocol/charter.ts';
import {
  type ContentHash,
  key16Of,
  type PopId,
  type ResourceKey,
  type SiteId,
} from '../../../protocol/ids.ts';
import { decodeChunkRequest, encodeReplicaReply } from '../../../protocol/messages/replica.ts';
import { type Blobs, CHUNK_BYTES } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import type { Replica } from '../../../protocol/replica.ts';
import { MemoryIndex } from '../../memory-index.ts';
import { CountingMetrics, StepClock, silentLog } from '../../step-clock.ts';
import { popOf } from '../invalidation/pops.ts';

const [LIAR, HONEST] = [popOf(1), popOf(2)];
const KEY = 'files.example/a' as ResourceKey;
const BODY = Buffer.alloc(CHUNK_BYTES + 1_000, 'a body of two chunks ');
const CHUNKS = [BODY.subarray(0, CHUNK_BYTES), BODY.subarray(CHUNK_BYTES)];
const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex') as ContentHash;
const site = { id: 'files' as SiteId, secret: new Uint8Array(32).fill(3), allow: ['*'] } as unknown as Site;
const key16 = key16Of(KEY, site.secret);
const replica: Replica = {
  ...{ key: KEY, key16, site: site.id, variant: '', status: 200, headers: [], tags: [], source: 'client' },
  ...{ content: hashOf(BODY), size: BODY.length, requestedAt: 1, receivedAt: 1, group: 0, rules: 0 },
  ...{ version: { time: 1, counter: 0, pop: HONEST }, fence: new Map([[HONEST, 0]]) },
};

let directory: string;
let blobs: Blobs;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'presage-puller-'));
  blobs = await openBlobs(
    { directory, budgetBytes: 2 ** 30, memoryBytes: 0, maxObjectBytes: 2 ** 27 },
    { log: silentLog, metrics: new CountingMetrics(), random: seededRandom(1) },
  );
});
afterEach(async () => {
  await blobs.close();
  await rm(directory, { recursive: true, force: true });
});

/** Pulls from peers that describe a content of `sizeOf` bytes, and hand out its true chunks. */
function pull(holders: readonly PopId[], sizeOf: (pop: PopId) => number): Promise<Replica | undefined> {
  const clock = new StepClock();
  const puller = new Puller({
    ...{ index: new MemoryIndex(), blobs, compressor: zstd, clock, log: silentLog, name: 'pop-here' },
    demand: { speed: 1, now: () => 2, at: (ms) => ms },
    metrics: new CountingMetrics(),
    streams: {
      call: async (pop, protocol, request) => {
        if (protocol === 'replica') {
          const chunks = CHUNKS.map(hashOf);
          const told = { ...replica, size: sizeOf(pop) };
          return encodeReplicaReply({ replica: told, chunks, body: undefined }, 2);
        }
        const { index } = decodeChunkRequest(request);
        return Buffer.concat([Buffer.of(0), CHUNKS[index]!]);
      },
      handle: () => undefined,
    },
    peers: {
      ...{ self: popOf(3), connected: () => holders, roundTripMs: (pop) => (pop === LIAR ? 1 : 2) },
      watch: () => () => undefined,
    },
    site: () => site,
    maxObjectBytes: 2 ** 27,
  });
  return puller.pull({ key16, source: 'client' }, holders);
}

describe('a pull', () => {
  const truth = () => BODY.length;
  const lie = (pop: PopId) => BODY.length - (pop === LIAR ? 168 : 0);

  it('puts a content together from its chunks', async () => {
    expect(await pull([HONEST], truth)).toMatchObject({ content: hashOf(BODY), size: BODY.length });
    expect(blobs.size(hashOf(BODY))).toBe(BODY.length);
  });

  it.each(['absent', 'present'])(
    'from a peer that lies about the length of a content that is %s brings nothing',
    async (state) => {
      if (state === 'present') await blobs.put(BODY);
      expect(await pull([LIAR], lie)).toBeUndefined();
      // The nearest is asked first; the next is asked when it has turned out to lie.
      expect(await pull([LIAR, HONEST], lie)).toMatchObject({ size: BODY.length });
    },
  );
});
