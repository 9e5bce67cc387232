import { generateKeyPairSync } from 'node:crypto';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { describe, expect, it } from 'vitest';
import {
  type Certificate,
  CLOCK_TOLERANCE_MS,
  inspect,
  issue,
  verify,
} from '../../../protocol/certificate.ts';
import { type Cluster, genesis8, genesisOf } from '../../../protocol/genesis.ts';
import type { PopId, RegionId } from '../../../protocol/ids.ts';
import { isCardAddress, issueCard, verifyCard } from '../../../protocol/peer-card.ts';
import { popIdOf, publicKeyOf, rawPublicKey } from '../../../protocol/pop-key.ts';
import { issueRevocations, verifyRevocations } from '../../../protocol/revocation.ts';

const key = () => generateKeyPairSync('ed25519').privateKey;
const operator = key();
const cluster: Cluster = { operatorKey: rawPublicKey(operator), name: 'test', generation: 1 };
const genesis = genesisOf(cluster);
const popKey = key();
const NOW = 1_800_000_000_000;
const fields: Certificate = {
  genesis,
  pop: popIdOf(popKey),
  name: 'fra1',
  region: 'eu' as RegionId,
  addressesV4: ['192.0.2.1'],
  addressesV6: ['2001:db8::1'],
  ports: { http: 80, https: 443, dns: 53 },
  storageCeilingMiB: 1000,
  fillCeilingKiBps: 2000,
  notBefore: NOW,
  expiry: NOW + 1000,
};
const code = (value: string) => expect.objectContaining({ code: value });
const thrown = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('a peer id', () => {
  it('is the one that libp2p computes, and gives the key back', () => {
    for (let i = 0; i < 20; i += 1) {
      const k = key();
      const { d, x } = k.export({ format: 'jwk' });
      const raw = Buffer.concat([Buffer.from(d ?? '', 'base64url'), Buffer.from(x ?? '', 'base64url')]);
      const theirs = privateKeyFromRaw(raw);
      if (theirs.type !== 'Ed25519') throw new Error('not Ed25519');
      expect(popIdOf(k)).toBe(peerIdFromPrivateKey(theirs).toString());
      expect(Buffer.from(publicKeyOf(popIdOf(k))).equals(rawPublicKey(k))).toBe(true);
    }
  });
  it.each(['', 'garbage', `12D3KooW${'z'.repeat(44)}`, `12D3KooW${'1'.repeat(44)}`])(
    'is refused when it is %j',
    (text) => expect(thrown(() => publicKeyOf(text as PopId))).toEqual(code('ADMIT_IDENTITY')),
  );
  it('is not made of keys of another type', () => {
    const rsa = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    expect(thrown(() => popIdOf(rsa))).toEqual(code('ADMIT_CERTIFICATE'));
  });
});

describe('a genesis', () => {
  it('differs by key, name and generation', () => {
    const others = [
      genesis,
      genesisOf({ ...cluster, name: 'tesT' }),
      genesisOf({ ...cluster, generation: 2 }),
      genesisOf({ ...cluster, operatorKey: rawPublicKey(key()) }),
    ];
    expect(new Set(others).size).toBe(4);
    expect(genesis8(genesis)).toBe(genesis.slice(0, 16));
  });
});

describe('a certificate', () => {
  const issued = issue(fields, operator);
  const check = (now: number, bytes = issued, operatorKey = cluster.operatorKey, of = genesis) =>
    thrown(() => verify(bytes, operatorKey, of, now));

  it('comes back as it was issued', () => {
    expect(verify(issued, cluster.operatorKey, genesis, NOW)).toEqual(fields);
  });
  it('is valid from notBefore, with tolerance for clocks, until expiry', () => {
    expect(check(NOW - CLOCK_TOLERANCE_MS)).toBeUndefined();
    expect(check(NOW - CLOCK_TOLERANCE_MS - 1)).toEqual(code('ADMIT_CERTIFICATE'));
    expect(check(NOW + 999)).toBeUndefined();
    expect(check(NOW + 1000)).toEqual(code('ADMIT_EXPIRED'));
    expect(inspect(issued, cluster.operatorKey, genesis)).toEqual(fields);
  });
  it('of another operator, another cluster or another kind of document is refused', () => {
    expect(check(NOW, issued, rawPublicKey(key()))).toEqual(code('ADMIT_CERTIFICATE'));
    expect(
      check(NOW, issue({ ...fields, genesis: genesisOf({ ...cluster, generation: 2 }) }, operator)),
    ).toEqual(code('ADMIT_CERTIFICATE'));
    const list = issueRevocations({ genesis, version: 1, revoked: [] }, operator);
    expect(check(NOW, list)).toEqual(code('ADMIT_CERTIFICATE'));
    expect(thrown(() => verifyRevocations(issued, cluster.operatorKey, genesis))).toEqual(
      code('ADMIT_CERTIFICATE'),
    );
  });
  it.each([
    ['name', { name: 'Fra 1' }],
    ['name', { name: '' }],
    ['region', { region: 'EU!' as RegionId }],
    ['address', { addressesV4: ['2001:db8::1'] }],
    ['address', { addressesV6: ['192.0.2.1'] }],
    ['addresses', { addressesV4: Array.from({ length: 9 }, () => '192.0.2.1') }],
    ['port', { ports: { http: 70_000, https: 0, dns: 0 } }],
    ['peer id', { pop: 'nobody' as PopId }],
    ['expiry', { expiry: -1 }],
    ['storage', { storageCeilingMiB: 1.5 }],
  ] satisfies [string, Partial<Certificate>][])('with a wrong %s is never issued', (_what, wrong) => {
    expect(thrown(() => issue({ ...fields, ...wrong }, operator))).toEqual(code('ADMIT_CERTIFICATE'));
  });
});

describe('a peer card', () => {
  const certificate = issue(fields, operator);
  it('carries certificate and addresses, signed by the PoP itself', () => {
    const card = issueCard(certificate, 7, ['/ip4/192.0.2.1/tcp/4101'], popKey);
    const { certificateBytes, ...rest } = verifyCard(card, cluster.operatorKey, genesis, NOW);
    expect(rest).toEqual({ certificate: fields, sequence: 7, addresses: ['/ip4/192.0.2.1/tcp/4101'] });
    expect(Buffer.compare(certificateBytes, certificate)).toBe(0);
  });
  it('is refused from anybody else, and with an expired certificate', () => {
    const forged = issueCard(certificate, 7, ['/ip4/192.0.2.1/tcp/4101'], key());
    expect(thrown(() => verifyCard(forged, cluster.operatorKey, genesis, NOW))).toEqual(
      code('ADMIT_CERTIFICATE'),
    );
    const card = issueCard(certificate, 7, [], popKey);
    expect(thrown(() => verifyCard(card, cluster.operatorKey, genesis, NOW + 1000))).toEqual(
      code('ADMIT_EXPIRED'),
    );
  });
  it.each([
    ['/ip4/192.0.2.1/tcp/1', true],
    ['/ip6/2001:db8::1/tcp/65535', true],
    ['/dns4/pop.example.net/tcp/4101', true],
    ['/ip4/192.0.2.1/tcp/1/p2p/12D3KooWLjKcGqsrZgyF3zYBA7H8YaU3QTpYTYpu72zvzPqds2o1', false],
    ['/ip4/192.0.2.1/udp/1/quic-v1', false],
    ['/unix/tmp/socket', false],
    ['/ip4/192.0.2.1/tcp/1/p2p-circuit', false],
    [`/dns4/${'a'.repeat(200)}/tcp/1`, false],
  ])('takes the address %s: %s', (address, takes) => expect(isCardAddress(address)).toBe(takes));
});

describe('a revocation list', () => {
  it('comes back as it was issued, and only for its own cluster', () => {
    const list = { genesis, version: 3, revoked: [{ pop: fields.pop, at: NOW, reason: 'stolen' }] };
    const issued = issueRevocations(list, operator);
    expect(verifyRevocations(issued, cluster.operatorKey, genesis)).toEqual(list);
    const other = genesisOf({ ...cluster, name: 'other' });
    expect(thrown(() => verifyRevocations(issued, cluster.operatorKey, other))).toEqual(
      code('ADMIT_CERTIFICATE'),
    );
  });
});
