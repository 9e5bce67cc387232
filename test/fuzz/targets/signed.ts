import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { decodeCertificateFile, encodeCertificateFile } from '../../../node/adapters/admission-files.ts';
import { inspect } from '../../../protocol/certificate.ts';
import type { Charter } from '../../../protocol/charter.ts';
import { encodeCharter, openCharter } from '../../../protocol/charter-document.ts';
import { issueTerms, openTerms } from '../../../protocol/charter-terms.ts';
import { type EnvelopeKind, peek, seal } from '../../../protocol/envelope.ts';
import { issueFounders, verifyFounders } from '../../../protocol/founders.ts';
import { decodeCluster, encodeCluster } from '../../../protocol/genesis.ts';
import type { RegionId, SiteId } from '../../../protocol/ids.ts';
import { issueCard, verifyCard } from '../../../protocol/peer-card.ts';
import { rawPublicKey } from '../../../protocol/pop-key.ts';
import {
  openPurge,
  purgeSigner,
  purgeVerifier,
  readPurge,
  SiteScopes,
  signPurge,
} from '../../../protocol/purge.ts';
import { issueRevocations, verifyRevocations } from '../../../protocol/revocation.ts';
import { openTextRecord, signTextRecord } from '../../../protocol/text-record.ts';
import { decode, encode } from '../../../protocol/wire/codec.ts';
import { bytes } from '../../../protocol/wire/schemas.ts';
import { founder, foundersOf, genesis, operator, START } from '../../property/decision/cluster.ts';
import { bytesOf, roundTrip, type Shape, type Target, textOf } from '../target.ts';

const shape: Shape = 'messagepack';
const operatorKey = rawPublicKey(operator);
const pop = founder(1, { addressesV4: ['192.0.2.1'], addressesV6: ['2001:db8::1'], expiry: 2 ** 52 });
const region = 'eu' as RegionId;

const charter: Charter = {
  ...{ version: 3, cluster: 'fuzz', epochMs: 30_000, horizonMs: 3_600_000, committee: 13 },
  regions: [region, 'us' as RegionId],
  distances: { eu: { us: 90, eu: 5 }, us: { eu: 90 } },
  networks: [{ cidr: '10.0.0.0/8', region }],
  countries: { DE: region },
  defaultRegion: region,
  sites: [
    {
      ...{
        id: 'shop' as SiteId,
        hosts: ['shop.example'],
        origin: 'http://origin.example',
        zone: 'cdn.example',
      },
      ...{
        secret: new Uint8Array(32).fill(3),
        allow: ['*'],
        private: true,
        shield: 'home',
        cutOff: 'revalidate',
      },
      normalise: { dropParameters: ['utm_*'], sortParameters: true, ignoreQuery: false },
      accessKeys: [{ id: 'k1', secret: new Uint8Array(32).fill(4) }],
    },
  ],
};

const certificate = pop.sealed;
const revocations = issueRevocations(
  { genesis, version: 4, revoked: [{ pop: pop.pop, at: START, reason: 'lost' }] },
  operator,
);
const founders = issueFounders(
  foundersOf(3).map(({ sealed }) => sealed),
  genesis,
  operator,
);
const terms = issueTerms(
  { version: 3, hash: 'ab'.repeat(32), epochMs: 30_000, committee: 13 },
  genesis,
  operator,
);
const card = issueCard(certificate, START, ['/ip4/192.0.2.1/tcp/4001'], pop.key);
const document = encodeCharter(charter, genesis, operator);
/** `[terms, document]`, as a charter travels. */
const PARTS = { name: 'charter', maxBytes: 1 << 20, schema: v.strictTuple([bytes(1 << 20), bytes(1 << 20)]) };

type Open = (sealed: Uint8Array) => unknown;
const opened: Readonly<
  Record<string, readonly [domain: string, sealed: Uint8Array, maxBytes: number, open: Open]>
> = {
  certificate: ['certificate', certificate, 2_048, (sealed) => inspect(sealed, operatorKey, genesis)],
  revocations: [
    'revocation',
    revocations,
    32_768,
    (sealed) => verifyRevocations(sealed, operatorKey, genesis),
  ],
  founders: ['founders', founders, 32_768, (sealed) => verifyFounders(sealed, operatorKey, genesis)],
  'charter-terms': ['charter-terms', terms, 512, (sealed) => openTerms(sealed, operatorKey, genesis)],
};

/** A body that was changed and then signed: what a stolen key, or a defect of the issuer, could bring. */
function bodyTarget(name: string): Target {
  const [domain, sealed, maxBytes, open] = opened[name]!;
  const kind: EnvelopeKind = { domain: `presage/${domain}/1`, maxBytes: 1 << 20, code: 'WIRE_SCHEMA' };
  return {
    ...{ name: `${name}-body`, shape, seeds: [peek(kind, sealed).body], maxBytes, share: 0.2 },
    run: (body) => open(seal(kind, body, operator)),
  };
}

const purge = signPurge(
  {
    issuer: pop.pop,
    seq: 12,
    target: new SiteScopes(new Uint8Array(32)).target({ kind: 'tag', tag: 'news' }),
    soft: false,
    stamp: { time: START, counter: 1, pop: pop.pop },
  },
  purgeSigner(pop.key),
);
const text = signTextRecord(
  { name: '_acme-challenge.shop.example', value: 'token', expiresAt: START, author: pop.pop },
  pop.key,
);
const pair = (input: Uint8Array): [Uint8Array, Uint8Array] => {
  const cut = Math.max(0, input.length - 64);
  return [input.subarray(0, cut), input.subarray(cut)];
};
const joined = (body: Uint8Array, signature: Uint8Array) => new Uint8Array(Buffer.concat([body, signature]));
const verifyPurge = purgeVerifier(() => true);

/** The document behind terms that fit it, whatever it says. */
function openResigned(body: Uint8Array): unknown {
  const hash = createHash('sha256').update(body).digest('hex');
  const fitting = issueTerms({ ...openTerms(terms, operatorKey, genesis), hash }, genesis, operator);
  return openCharter(encode([fitting, body]), operatorKey, genesis).charter.cluster;
}

/** Documents that somebody signed. */
export const signedTargets: readonly Target[] = [
  ...Object.entries(opened).map(
    ([name, [, sealed, maxBytes, open]]): Target => ({
      ...{ name, shape, seeds: [sealed], maxBytes },
      run: open,
    }),
  ),
  ...Object.keys(opened).map(bodyTarget),
  {
    ...{ name: 'peer-card', shape, seeds: [card] },
    run: (sealed) => verifyCard(sealed, operatorKey, genesis, START).addresses.length,
  },
  {
    ...{ name: 'charter', shape, seeds: [document], maxBytes: 32_768 },
    run: (sealed) => openCharter(sealed, operatorKey, genesis).charter.cluster,
  },
  {
    ...{ name: 'charter-body', shape, maxBytes: 32_768, share: 0.2 },
    seeds: [decode(document, PARTS)[1]],
    run: openResigned,
  },
  {
    ...{ name: 'cluster', shape },
    seeds: [encodeCluster({ operatorKey, name: 'fuzz', generation: 1 })],
    run: roundTrip(decodeCluster, encodeCluster),
  },
  {
    ...{ name: 'purge', shape: 'bytes', seeds: [joined(purge.bytes, purge.signature)] },
    run: (input) => openPurge(...pair(input), verifyPurge).seq,
  },
  {
    ...{ name: 'purge-record', shape, seeds: [purge.bytes] },
    run: (body) => readPurge(body, purge.signature).target.kind,
  },
  {
    ...{ name: 'text-record', shape: 'bytes', seeds: [joined(text.body, text.signature)] },
    run: (input) => openTextRecord(...pair(input)).name,
  },
  {
    ...{ name: 'certificate-file', shape: 'text', words: ['-----BEGIN PRESAGE CERTIFICATE-----\n'] },
    seeds: [bytesOf(encodeCertificateFile({ operatorKey, name: 'fuzz', generation: 1 }, certificate))],
    run: (input) => decodeCertificateFile(textOf(input), 'fuzz').cluster.generation,
  },
];
