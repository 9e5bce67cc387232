import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PresageError } from '../../../protocol/errors.ts';
import type { ContentHash, Key16, PopId, ResourceKey, SiteId } from '../../../protocol/ids.ts';
import {
  decodeChunkRequest,
  decodeLease,
  decodeNameReply,
  decodeNameRequest,
  decodeReplicaReply,
  decodeReplicaRequest,
  encodeChunkRequest,
  encodeNameReply,
  encodeReplicaReply,
  encodeReplicaRequest,
} from '../../../protocol/messages/replica.ts';
import type { Replica } from '../../../protocol/replica.ts';

const hex = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b).toString('hex'));
const key16 = hex(16).map((h) => h as Key16);
const hash = hex(32).map((h) => h as ContentHash);
const pop = fc.constant(`12D3KooW${'a'.repeat(44)}` as PopId);

const replica: fc.Arbitrary<Replica> = fc.record({
  key: fc.string({ minLength: 1, maxLength: 80 }).map((s) => s as ResourceKey),
  key16,
  site: fc.string({ minLength: 1, maxLength: 20 }).map((s) => s as SiteId),
  variant: fc.string({ maxLength: 40 }),
  status: fc.integer({ min: 100, max: 599 }),
  headers: fc.array(fc.tuple(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 40 })), {
    maxLength: 8,
  }),
  content: hash,
  size: fc.integer({ min: 0, max: 1_000_000 }),
  requestedAt: fc.integer({ min: 1e12, max: 2e12 }),
  receivedAt: fc.integer({ min: 1e12, max: 2e12 }),
  fence: fc.nat(1e9).chain((seq) => pop.map((issuer) => new Map([[issuer, seq]]))),
  tags: fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 4 }),
  version: fc.record({ time: fc.nat(2 ** 45), counter: fc.nat(1000), pop }),
  source: fc.constant('client' as const),
  group: fc.constant(0),
  rules: fc.constant(0),
});

describe('replica messages', () => {
  it('of any size that has no chunks to it is no replica, and no list is made of that length', () => {
    const offer: Replica = {
      ...{
        key: 'a/b' as ResourceKey,
        key16: '0'.repeat(32) as Key16,
        site: 's' as SiteId,
        variant: '',
        status: 200,
      },
      ...{ headers: [], content: '0'.repeat(64) as ContentHash, size: Number.MAX_SAFE_INTEGER, tags: [] },
      ...{ requestedAt: 1, receivedAt: 1, fence: new Map(), source: 'client', group: 0, rules: 0 },
      version: { time: 1, counter: 0, pop: `12D3KooW${'a'.repeat(44)}` as PopId },
    };
    const wire = encodeReplicaReply({ replica: offer, chunks: [], body: undefined }, 1);
    expect(decodeReplicaReply(wire, 1)).toBeUndefined();
  });

  it('carry a replica whole, and keep its age when clocks differ', () => {
    fc.assert(
      fc.property(
        replica,
        fc.array(hash, { minLength: 4, maxLength: 4 }),
        fc.integer({ min: -1e9, max: 1e9 }),
        (value, names, skew) => {
          const chunks = names.slice(0, Math.ceil(value.size / (256 * 1024)));
          const sentAt = 1_700_000_000_000;
          const wire = encodeReplicaReply({ replica: value, chunks, body: undefined }, sentAt);
          const offered = decodeReplicaReply(wire, sentAt + skew);
          const { key16: _key16, source: _source, ...rest } = value;
          expect(offered).toEqual({
            replica: { ...rest, requestedAt: value.requestedAt + skew, receivedAt: value.receivedAt + skew },
            chunks,
            body: undefined,
          });
        },
      ),
    );
  });

  it('are refused when the manifest does not fit the size', () => {
    fc.assert(
      fc.property(replica, hash, (value, name) => {
        const chunks = Array.from({ length: Math.ceil(value.size / (256 * 1024)) + 1 }, () => name);
        expect(
          decodeReplicaReply(encodeReplicaReply({ replica: value, chunks, body: undefined }, 0), 0),
        ).toBeUndefined();
      }),
    );
  });

  it('give back requests and names', () => {
    fc.assert(
      fc.property(
        key16,
        hash,
        fc.nat(1e6),
        fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
        (key, content, index, variant) => {
          expect(decodeChunkRequest(encodeChunkRequest({ key16: key, content, index }))).toEqual({
            key16: key,
            content,
            index,
          });
          const request = { key16: key, variant, obtain: { key: 'a/b' as ResourceKey, site: 's' as SiteId } };
          expect(decodeReplicaRequest(encodeReplicaRequest(request))).toEqual(request);
          expect(decodeNameReply(encodeNameReply([[key, 'a/b' as ResourceKey]]))).toEqual([[key, 'a/b']]);
        },
      ),
    );
  });

  it('meet garbage with a coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
        for (const read of [
          decodeChunkRequest,
          decodeReplicaRequest,
          decodeNameRequest,
          decodeNameReply,
          decodeLease,
        ]) {
          try {
            read(input);
          } catch (error) {
            expect((error as PresageError).code).toMatch(/^WIRE_/);
          }
        }
        try {
          decodeReplicaReply(input, 0);
        } catch (error) {
          expect(error).toBeInstanceOf(PresageError);
        }
      }),
    );
  });
});
