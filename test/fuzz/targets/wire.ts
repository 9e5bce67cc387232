import { admission } from '../../../protocol/admission.ts';
import { verify } from '../../../protocol/certificate.ts';
import type { ContentHash, RegionId, ResourceKey, SiteId } from '../../../protocol/ids.ts';
import {
  type AgreementMessage,
  decodeAgreement,
  encodeAgreement,
} from '../../../protocol/messages/agreement.ts';
import { decodeAnnouncements, encodeAnnouncements } from '../../../protocol/messages/announcement.ts';
import {
  type CatalogueDelta,
  decodeCatalogueCall,
  decodeCatalogueGossip,
  decodeCatalogueReply,
  encodeCatalogueCall,
  encodeCatalogueGossip,
  encodeCatalogueReply,
} from '../../../protocol/messages/catalogue.ts';
import {
  decodeDocument,
  decodeWanted,
  encodeDocument,
  encodeWanted,
} from '../../../protocol/messages/operator-document.ts';
import {
  decodePurgeCall,
  decodePurgeGossip,
  decodePurgeReply,
  encodePurgeCall,
  encodePurgeGossip,
  encodePurgeReply,
  type PurgeReply,
  seal,
} from '../../../protocol/messages/purge.ts';
import {
  decodeChunkRequest,
  decodeLease,
  decodeNameReply,
  decodeNameRequest,
  decodeReplicaReply,
  decodeReplicaRequest,
  encodeChunkRequest,
  encodeLease,
  encodeNameReply,
  encodeNameRequest,
  encodeReplicaReply,
  encodeReplicaRequest,
} from '../../../protocol/messages/replica.ts';
import { decodeRising, encodeRising } from '../../../protocol/messages/rising.ts';
import { decodeSummary, encodeSummary } from '../../../protocol/messages/summary.ts';
import {
  decodeTextCall,
  decodeTextGossip,
  decodeTextReply,
  encodeTextCall,
  encodeTextGossip,
  encodeTextReply,
} from '../../../protocol/messages/text-record.ts';
import { rawPublicKey } from '../../../protocol/pop-key.ts';
import { purgeSigner, SiteScopes, signPurge } from '../../../protocol/purge.ts';
import type { Replica } from '../../../protocol/replica.ts';
import { signTextRecord } from '../../../protocol/text-record.ts';
import { variantId } from '../../../protocol/versions.ts';
import { encode } from '../../../protocol/wire/codec.ts';
import { founder, genesis, key16, operator, START } from '../../property/decision/cluster.ts';
import { roundTrip, type Shape, type Target } from '../target.ts';

const shape: Shape = 'messagepack';
const [one, other] = [founder(1), founder(2)];
const digest = 'ab'.repeat(32);
const content = 'cd'.repeat(32) as ContentHash;
const signature = new Uint8Array(64).fill(7);
const bits = Uint8Array.of(5);
const region = 'eu' as RegionId;
const key = 'shop.example/a?b=c' as ResourceKey;
const fence = new Map([
  [one.pop, 3],
  [other.pop, 9],
]);

const certified = [Uint8Array.of(1, 2, 3), [[0, signature] as const]] as const;
const agreement: AgreementMessage[] = [
  { kind: 'propose', height: 7, id: digest, length: 3, signature, body: Uint8Array.of(1, 2, 3) },
  { kind: 'propose', height: 7, id: digest, length: 3, signature, body: undefined },
  {
    kind: 'echo',
    height: 7,
    echoes: [
      [0, digest],
      [3, digest],
    ],
  },
  {
    ...{ kind: 'vote', height: 7, seq: 4, ready: bits, alternative: [[1, digest]] },
    ...{ rounds: [[bits, bits, bits, bits]], decided: [bits, bits], commit: { hash: digest, signature } },
  },
  { kind: 'sync', height: 7 },
  { kind: 'body-request', id: digest },
  { kind: 'body', id: digest, bytes: Uint8Array.of(1, 2, 3) },
  { kind: 'decision', headers: [certified], snapshot: Uint8Array.of(9), tip: certified, held: [7, 2] },
  { kind: 'join', operation: Uint8Array.of(1) },
];

const purge = signPurge(
  {
    issuer: one.pop,
    seq: 12,
    target: new SiteScopes(new Uint8Array(32)).target({ kind: 'prefix', prefix: 'shop.example/' }),
    soft: true,
    stamp: { time: START, counter: 1, pop: one.pop },
  },
  purgeSigner(one.key),
);
const ids = ['00'.repeat(8), '11'.repeat(8)];
const purgeReplies: PurgeReply[] = [
  { kind: 'push', acknowledged: ids },
  { kind: 'compare', ids: new Map([[one.pop, ids]]), more: true },
  { kind: 'fetch', purges: [seal(purge)] },
];

const version = {
  content,
  size: 9,
  validator: '22'.repeat(8),
  stamp: { time: START, counter: 2, pop: one.pop },
};
const rows = [
  { id: variantId(key16(1), ''), held: { content, size: 9, fence }, version },
  { id: variantId(key16(2), '33'.repeat(8)), version },
  { id: variantId(key16(3), '') },
];
const delta: CatalogueDelta = { incarnation: START, after: 3, upTo: 6, rows };

export const replica: Replica = {
  ...{ key, key16: key16(1), site: 'shop' as SiteId, variant: 'accept-language\n=de\n', status: 200 },
  headers: [
    ['content-type', 'text/html'],
    ['cache-control', 'max-age=60'],
  ],
  ...{ content, size: 9, requestedAt: START, receivedAt: START + 5, fence, tags: ['news'] },
  ...{ version: version.stamp, source: 'plan', group: 0, rules: 0 },
};
const inlined = { replica, chunks: [content], body: Uint8Array.of(1) };

const text = signTextRecord(
  { name: '_acme-challenge.shop.example', value: 'token', expiresAt: START, author: one.pop },
  one.key,
);

const summary = encodeSummary(
  {
    ...{ pop: one.pop, sequence: 5, from: START, to: START + 30_000, requests: 90, bytes: 9_000 },
    tail: { requests: 3, bytes: 100 },
    capacities: { storageBudgetMiB: 9, storageFreeMiB: 4, fillKiBps: 7, load: 2, state: 'up' },
    worth: { mirroredKiB: 1, usedKiB: 2, unusedKiB: 3, promisedKiB: 4 },
    resources: [1, 2, 3].map((n) => ({
      ...{ key16: key16(n), site: 'shop' as SiteId, size: 1_000 * n, kind: n, group: n },
      clients: [n, 0] as const,
      regions: [
        { region, count: n, bytes: 1_024 * n },
        { region: 'us' as RegionId, count: 1, bytes: 1_024 },
      ],
    })),
    companions: [[0, 1, 5]],
  },
  5,
);

const certificateOf = (bytes: Uint8Array) => verify(bytes, rawPublicKey(operator), genesis, START);

/** Messages of all topics and stream protocols. */
export const wireTargets: readonly Target[] = [
  {
    ...{ name: 'agreement', shape, seeds: agreement.map(encodeAgreement), maxBytes: 64 * 1024 },
    run: roundTrip(decodeAgreement, encodeAgreement),
  },
  {
    ...{ name: 'summary', shape, seeds: [summary], maxBytes: 64 * 1024 },
    run: roundTrip(decodeSummary, (value) => encodeSummary(value, 5)),
  },
  {
    ...{ name: 'rising', shape },
    seeds: [
      encodeRising([{ key16: key16(1), content, fence, size: 9, region, count: 70, expected: 90_000 }]),
    ],
    run: roundTrip(decodeRising, encodeRising),
  },
  {
    ...{ name: 'announcement', shape },
    seeds: [
      encodeAnnouncements([
        { key16: key16(1), at: START, expect: 100, region },
        { key16: key16(2), at: START, expect: 0, region: undefined },
      ]),
    ],
    run: roundTrip(decodeAnnouncements, encodeAnnouncements),
  },
  {
    ...{ name: 'purge-gossip', shape, seeds: [encodePurgeGossip([purge, purge])] },
    run: (input) => decodePurgeGossip(input).length,
  },
  {
    ...{ name: 'purge-call', shape },
    seeds: [
      encodePurgeCall({ kind: 'push', purges: [seal(purge)] }),
      encodePurgeCall({
        kind: 'compare',
        digest: [{ issuer: one.pop, count: 2, maxSeq: 12, sum: '0f'.repeat(8) }],
      }),
      encodePurgeCall({ kind: 'fetch', wanted: new Map([[one.pop, ids]]) }),
    ],
    run: roundTrip(decodePurgeCall, encodePurgeCall),
  },
  ...purgeReplies.map(
    (reply): Target => ({
      ...{ name: `purge-reply-${reply.kind}`, shape, seeds: [encodePurgeReply(reply)] },
      run: roundTrip((input) => decodePurgeReply(input, reply.kind), encodePurgeReply),
    }),
  ),
  {
    ...{ name: 'catalogue-gossip', shape, seeds: [encodeCatalogueGossip(delta)], maxBytes: 64 * 1024 },
    run: roundTrip(decodeCatalogueGossip, encodeCatalogueGossip),
  },
  {
    ...{ name: 'catalogue-call', shape },
    seeds: [
      encodeCatalogueCall({ kind: 'log', incarnation: 4, after: 5 }),
      encodeCatalogueCall({ kind: 'page', shard: 7 }),
    ],
    run: roundTrip(decodeCatalogueCall, encodeCatalogueCall),
  },
  {
    ...{ name: 'catalogue-reply', shape, maxBytes: 256 * 1024 },
    seeds: [
      encodeCatalogueReply({ kind: 'log', more: true, ...delta }),
      encodeCatalogueReply({ kind: 'page', incarnation: 4, upTo: 5, next: 6, rows }),
      encodeCatalogueReply({ kind: 'lost' }),
    ],
    run: roundTrip(decodeCatalogueReply, encodeCatalogueReply),
  },
  {
    ...{ name: 'replica-request', shape },
    seeds: [
      encodeReplicaRequest({ key16: key16(1), variant: undefined, obtain: undefined }),
      encodeReplicaRequest({ key16: key16(1), variant: 'v', obtain: { key, site: replica.site } }),
    ],
    run: roundTrip(decodeReplicaRequest, encodeReplicaRequest),
  },
  {
    ...{ name: 'replica-reply', shape, maxBytes: 64 * 1024 },
    seeds: [
      encodeReplicaReply(inlined, START),
      encodeReplicaReply({ ...inlined, body: undefined }, START),
      encodeReplicaReply(undefined, START),
    ],
    run: (input) => decodeReplicaReply(input, START)?.chunks.length,
  },
  {
    ...{ name: 'chunk-request', shape },
    seeds: [encodeChunkRequest({ key16: key16(1), content, index: 3 })],
    run: roundTrip(decodeChunkRequest, encodeChunkRequest),
  },
  {
    ...{ name: 'name-request', shape, seeds: [encodeNameRequest([key16(1), key16(2)])] },
    run: roundTrip(decodeNameRequest, encodeNameRequest),
  },
  {
    ...{ name: 'name-reply', shape, seeds: [encodeNameReply([[key16(1), key]])] },
    run: roundTrip(decodeNameReply, encodeNameReply),
  },
  {
    ...{ name: 'lease', shape, seeds: [encodeLease(key16(1))] },
    run: roundTrip(decodeLease, encodeLease),
  },
  {
    ...{ name: 'text-gossip', shape, seeds: [encodeTextGossip([text])] },
    run: roundTrip(decodeTextGossip, encodeTextGossip),
  },
  {
    ...{ name: 'text-call', shape },
    seeds: [
      encodeTextCall({ kind: 'push', records: [text] }),
      encodeTextCall({ kind: 'compare', digest: [[text.id, START]] }),
    ],
    run: roundTrip(decodeTextCall, encodeTextCall),
  },
  {
    ...{ name: 'text-reply', shape },
    seeds: [
      encodeTextReply({ kind: 'push', acknowledged: [text.id] }),
      encodeTextReply({ kind: 'compare', records: [text], wanted: [text.id], more: false }),
    ],
    run: roundTrip(decodeTextReply, encodeTextReply),
  },
  {
    ...{ name: 'document-request', shape },
    seeds: [
      encodeWanted({ kind: 'charter', hash: digest }),
      encodeWanted({ kind: 'founders' }),
      encodeWanted({ kind: 'revocations', version: 4 }),
    ],
    run: roundTrip(decodeWanted, encodeWanted),
  },
  {
    ...{
      name: 'document-reply',
      shape,
      seeds: [encodeDocument(Uint8Array.of(1, 2)), encodeDocument(undefined)],
    },
    run: roundTrip(decodeDocument, encodeDocument),
  },
  {
    ...{ name: 'admission', shape },
    seeds: [encode([0, one.sealed]), encode([1]), encode([2, 'ADMIT_EXPIRED'])],
    run: (input) => admission('listener', other.sealed, certificateOf).receive(input).accepted?.name,
  },
];
