import { createHash, generateKeyPairSync } from 'node:crypto';
import { unpack } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { charterFromToml } from '../../../node/cli/keys-charter.ts';
import type { Charter } from '../../../protocol/charter.ts';
import { encodeCharter, openCharter } from '../../../protocol/charter-document.ts';
import { issueTerms, openTerms } from '../../../protocol/charter-terms.ts';
import { genesisOf } from '../../../protocol/genesis.ts';
import { rawPublicKey } from '../../../protocol/pop-key.ts';
import { encode } from '../../../protocol/wire/codec.ts';

const operator = generateKeyPairSync('ed25519').privateKey;
const operatorKey = rawPublicKey(operator);
const genesis = genesisOf({ operatorKey, name: 'test', generation: 1 });
const read = (toml: string): Charter => charterFromToml(toml, 'test', genesis, operator);
const through = (charter: Charter): Charter =>
  openCharter(encodeCharter(charter, genesis, operator), operatorKey, genesis).charter;
const code = (act: () => unknown): string => {
  try {
    act();
    return 'none';
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
};

const FULL = `
version = 4
epoch = "10s"
horizon = "2h"
regions = ["eu", "us"]
defaultRegion = "us"
[distances.eu]
us = 90
fra1 = 3
[countries]
DE = "eu"
US = "us"
[[networks]]
cidr = "2001:db8::/32"
region = "eu"
[[sites]]
id = "shop"
hosts = ["shop.example.net", "www.example.net"]
origin = "https://origin.example.net/base"
originHost = "shop.internal"
secret = "${'ab'.repeat(32)}"
allow = ["fra1"]
private = true
shield = "off"
cutOff = "revalidate"
zone = "cdn.example.net"
normalise = { dropParameters = ["utm_*"], sortParameters = true, ignoreQuery = false }
[[sites]]
id = "rest"
hosts = ["*"]
origin = "http://origin.example.net"
`;

describe('a charter', () => {
  it('goes from TOML through the signed document and back', () => {
    const charter = read(FULL);
    expect(charter).toMatchObject({
      version: 4,
      cluster: 'test',
      epochMs: 10_000,
      horizonMs: 7_200_000,
      committee: 13,
      defaultRegion: 'us',
      distances: { eu: { us: 90, fra1: 3 } },
    });
    expect(charter.sites[0]).toMatchObject({
      private: true,
      shield: 'off',
      cutOff: 'revalidate',
      allow: ['fra1'],
    });
    expect(charter.sites[1]).toMatchObject({
      private: false,
      shield: 'home',
      cutOff: 'serve-stale',
      allow: ['*'],
    });
    expect(through(charter)).toEqual(charter);
  });
  it('gives a site without a secret the same one in every edition, and other sites others', () => {
    const site = (id: string) =>
      `version = 1\nregions = ["eu"]\n[[sites]]\nid = "${id}"\nhosts = ["*"]\norigin = "http://o"`;
    const secret = (id: string) => Buffer.from(read(site(id)).sites[0]!.secret).toString('hex');
    expect(secret('a')).toBe(secret('a'));
    expect(secret('a')).not.toBe(secret('b'));
    expect(secret('a')).toHaveLength(64);
  });
  it.each([
    ['a key that does not exist', 'version = 1\nregions = ["eu"]\nsomething = 1', 'something'],
    ['no version', 'regions = ["eu"]', 'version'],
    ['a region that is not listed', 'version = 1\nregions = ["eu"]\n[countries]\nDE = "us"', 'us'],
    ['no TOML at all', 'version = = 1', ''],
    ['an epoch that is no duration', 'version = 1\nregions = ["eu"]\nepoch = "soon"', 'epoch'],
    ['a committee that is no number', 'version = 1\nregions = ["eu"]\ncommittee = 1.5', 'committee'],
    ['an epoch that is too short', 'version = 1\nregions = ["eu"]\nepoch = "1ms"', ''],
    [
      'an origin that is no URL',
      'version = 1\nregions = ["eu"]\n[[sites]]\nid = "a"\nhosts = ["*"]\norigin = "x"',
      'origin',
    ],
    [
      'a host of two sites',
      'version = 1\nregions = ["eu"]\n[[sites]]\nid = "a"\nhosts = ["*"]\norigin = "http://x"\n[[sites]]\nid = "b"\nhosts = ["*"]\norigin = "http://x"',
      '*',
    ],
    [
      'a host in capitals',
      'version = 1\nregions = ["eu"]\n[[sites]]\nid = "a"\nhosts = ["A.example"]\norigin = "http://x"',
      '',
    ],
  ])('with %s is refused, naming it', (_what, toml, named) => {
    const outcome = code(() => encodeCharter(read(toml), genesis, operator));
    expect(outcome).toMatch(/^CHARTER_INVALID: /);
    expect(outcome).toContain(named);
  });
  it('of another operator or cluster is refused', () => {
    const document = encodeCharter(read(FULL), genesis, operator);
    const foreign = rawPublicKey(generateKeyPairSync('ed25519').privateKey);
    expect(code(() => openCharter(document, foreign, genesis))).toMatch(/^CHARTER_INVALID/);
    const other = genesisOf({ operatorKey, name: 'other', generation: 1 });
    expect(code(() => openCharter(document, operatorKey, other))).toMatch(/^CHARTER_INVALID/);
  });
  it('is signed by its terms, which verify without the document and are those of no other', () => {
    const signed = (toml: string) =>
      openCharter(encodeCharter(read(toml), genesis, operator), operatorKey, genesis);
    const one = signed(`committee = 0${FULL}`);
    expect(openTerms(one.sealedTerms, operatorKey, genesis)).toEqual(one.terms);
    expect(one.terms).toMatchObject({ version: 4, epochMs: 10_000, committee: 0 });
    const other = signed(FULL);
    expect(other.terms.hash).not.toBe(one.terms.hash);
    const [, document] = unpack(other.sealed) as [Uint8Array, Uint8Array];
    const mixed = encode([one.sealedTerms, document]);
    expect(code(() => openCharter(mixed, operatorKey, genesis))).toMatch(/^CHARTER_INVALID/);
    // An operator's tool that signs terms which its document does not have.
    const hash = createHash('sha256').update(document).digest('hex');
    const crooked = issueTerms({ ...other.terms, hash, epochMs: 1_000 }, genesis, operator);
    expect(code(() => openCharter(encode([crooked, document]), operatorKey, genesis))).toMatch(
      /^CHARTER_INVALID/,
    );
  });
  it('does not let a name reach into objects', () => {
    const charter = { ...read(FULL), distances: JSON.parse('{"eu":{"__proto__":5,"constructor":6}}') };
    const back = through(charter);
    expect(Object.getPrototypeOf(back.distances)).toBe(Object.prototype);
    expect(Object.hasOwn(back.distances.eu ?? {}, '__proto__')).toBe(true);
  });
});
