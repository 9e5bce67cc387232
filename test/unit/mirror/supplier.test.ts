import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { supply } from '../../../actors/supplier.ts';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import { zstd } from '../../../node/adapters/zstd.ts';
import type { Site } from '../../../protocol/charter.ts';
import { key16Of, type PopId, type ResourceKey, type SiteId } from '../../../protocol/ids.ts';
import {
  decodeNameReply,
  decodeReplicaReply,
  encodeChunkRequest,
  encodeNameRequest,
  encodeReplicaRequest,
} from '../../../protocol/messages/replica.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import { type Blobs, CHUNK_BYTES, type Streams } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import type { Replica } from '../../../protocol/replica.ts';
import { MemoryIndex } from '../../memory-index.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

const FRIEND = 'friend' as PopId;
const STRANGER = 'stranger' as PopId;
const KEY = 'films.example/a' as ResourceKey;
const BODY = Buffer.alloc(2 * CHUNK_BYTES, 'private film ');

let directory: string;
let blobs: Blobs;
let obtained: string[];
let ask: (from: PopId, protocol: string, request: Uint8Array) => Promise<Uint8Array>;
let replica: Replica | undefined;
const site: Site = {
  id: 'films' as SiteId,
  hosts: ['films.example'],
  origin: 'http://o',
  secret: new Uint8Array(32).fill(3),
  normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
  allow: ['pop-friend'],
  private: true,
  shield: 'home',
  cutOff: 'serve-stale',
};
const key16 = key16Of(KEY, site.secret);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'presage-supplier-'));
  const metrics = new CountingMetrics();
  blobs = await openBlobs(
    { directory, budgetBytes: 2 ** 30, memoryBytes: 0, maxObjectBytes: 2 ** 27 },
    { log: silentLog, metrics, random: seededRandom(1) },
  );
  const index = new MemoryIndex();
  const ticket = index.begin(KEY, key16, site.id);
  const content = await blobs.put(BODY, { sealed: true });
  const stored = await index.store(ticket, {
    ...{ variant: '', status: 200, headers: [], content, size: BODY.length },
    ...{ requestedAt: 1, receivedAt: 1, tags: [], source: 'client' },
  });
  const self = popIdOf(generateKeyPairSync('ed25519').privateKey);
  const version = { time: 1, counter: 0, pop: self };
  replica = stored && (await index.adopt({ ...stored, version, fence: new Map([[self, 0]]) }));
  obtained = [];
  const handlers = new Map<string, (from: PopId, input: Uint8Array) => Promise<Uint8Array>>();
  ask = async (from, protocol, request) => handlers.get(protocol)!(from, request);
  supply({
    ...{
      index,
      blobs,
      compressor: zstd,
      metrics,
      demand: { speed: 1, now: () => 2, at: (ms: number) => ms },
    },
    streams: { handle: (name, handler) => void handlers.set(name, handler) } as Pick<
      Streams,
      'handle'
    > as Streams,
    site: (id) => (id === site.id ? site : undefined),
    nameOf: (peer) => (peer === FRIEND ? 'pop-friend' : peer === STRANGER ? 'pop-stranger' : undefined),
    keyOf: (key) => (key === key16 ? { key: KEY, site: site.id } : undefined),
    obtain: async (key) => {
      obtained.push(key);
      return undefined;
    },
  });
});
afterEach(async () => {
  await blobs.close();
  await rm(directory, { recursive: true, force: true });
});

const description = encodeReplicaRequest({ key16, variant: undefined, obtain: undefined });
const chunk = () => encodeChunkRequest({ key16, content: replica!.content, index: 1 });
const forbidden = expect.objectContaining({ code: 'CONTENT_FORBIDDEN' });

describe('content of a private site', () => {
  it('goes in the clear, chunk by chunk, to a PoP that the site allows', async () => {
    const offered = decodeReplicaReply(await ask(FRIEND, 'replica', description), 2);
    expect(offered?.replica).toMatchObject({ key: KEY, content: replica?.content, size: BODY.length });
    const reply = await ask(FRIEND, 'chunk', chunk());
    expect(Buffer.from(reply.subarray(1)).equals(BODY.subarray(CHUNK_BYTES))).toBe(true);
    expect(decodeNameReply(await ask(FRIEND, 'name', encodeNameRequest([key16])))).toEqual([[key16, KEY]]);
  });

  it.each([STRANGER, 'unnamed' as PopId])('is neither described, sent nor named to %s', async (peer) => {
    await expect(ask(peer, 'replica', description)).rejects.toEqual(forbidden);
    await expect(ask(peer, 'chunk', chunk())).rejects.toEqual(forbidden);
    expect(decodeNameReply(await ask(peer, 'name', encodeNameRequest([key16])))).toEqual([]);
  });

  it('is not fetched from the origin for a PoP that may not have it', async () => {
    const other = 'films.example/b' as ResourceKey;
    const request = encodeReplicaRequest({
      key16: key16Of(other, site.secret),
      variant: undefined,
      obtain: { key: other, site: site.id },
    });
    await expect(ask(STRANGER, 'replica', request)).rejects.toEqual(forbidden);
    expect(obtained).toEqual([]);
    await ask(FRIEND, 'replica', request);
    expect(obtained).toEqual([other]);
  });
});
