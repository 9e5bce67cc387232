import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { addressBytes, addressText, senderAddress } from '../../../node/dns/address.ts';
import { openGeoip } from '../../../node/dns/geoip.ts';
import { createGeography, parseNetwork } from '../../../protocol/geography.ts';
import type { RegionId } from '../../../protocol/ids.ts';
import { mmdb } from './mmdb.ts';

const region = (name: string) => name as RegionId;
const charter = {
  networks: [
    { cidr: '10.0.0.0/8', region: region('campus') },
    { cidr: '10.1.3.0/24', region: region('lab') },
    { cidr: '2001:db8::/32', region: region('campus') },
    { cidr: '2001:db8:5::/48', region: region('lab') },
    { cidr: '192.0.2.7', region: region('lab') },
  ],
  countries: { FR: region('eu'), US: region('us') },
  defaultRegion: region('world'),
};
const bytes = (text: string) => addressBytes(text)!;

describe('geography', () => {
  const geography = createGeography(charter);
  const where = (text: string, prefix?: number) => geography.locate(bytes(text), prefix);

  it('takes the longest network that holds the address', () => {
    expect(where('10.1.3.9').region).toBe('lab');
    expect(where('10.1.4.9').region).toBe('campus');
    expect(where('2001:db8:5::1').region).toBe('lab');
    expect(where('2001:db8:6::1').region).toBe('campus');
    expect(where('192.0.2.7').region).toBe('lab');
    expect(where('192.0.2.6')).toMatchObject({ region: 'world', by: 'default' });
  });

  it('gives a scope within which no other network lies', () => {
    expect(where('10.1.3.9')).toEqual({ region: 'lab', scope: 24, by: 'network' });
    // 10.1.2.0/24 and 10.1.3.0/24 share 23 bits.
    expect(where('10.1.2.0', 24).scope).toBe(24);
    expect(where('10.200.0.0', 16).scope).toBe(9);
    expect(where('2001:db8:5::1').scope).toBe(48);
    expect(where('192.0.2.7').scope).toBe(32);
    expect(where('192.0.2.6').scope).toBe(32);
  });

  it('counts only the bits that are known', () => {
    expect(where('10.1.3.9', 8).region).toBe('campus');
    expect(where('10.1.3.9', 8).scope).toBeGreaterThan(8);
    expect(where('10.1.3.9', 0).region).toBe('world');
  });

  it('has scope 0 where there is nothing to tell regions apart', () => {
    const plain = createGeography({ networks: [], countries: {}, defaultRegion: region('world') });
    expect(plain.locate(bytes('203.0.113.1'))).toEqual({ region: 'world', scope: 0, by: 'default' });
  });

  it('treats mapped addresses as IPv4', () => {
    expect(where('::ffff:10.1.3.9')).toEqual({ region: 'lab', scope: 96 + 24, by: 'network' });
    expect(geography.locateText('::ffff:10.1.3.9').region).toBe('lab');
    expect(senderAddress('::ffff:10.1.3.9')).toEqual(Uint8Array.of(10, 1, 3, 9));
  });

  it('puts text that is no address into the default region', () => {
    for (const text of ['', 'nonsense', '10.1.3', '10.1.3.9.1', '::g']) {
      expect(geography.locateText(text)).toMatchObject({ region: 'world', scope: 0 });
    }
    expect(geography.locateText('10.1.3.9').region).toBe('lab');
  });

  it('goes by country where no network decides, with the wider of both scopes kept narrow enough', () => {
    const geo = createGeography(charter, (address) =>
      address[0] === 10 || address[0] === 81 ? { country: 'FR', prefixLength: 7 } : { prefixLength: 3 },
    );
    expect(geo.locate(bytes('81.2.69.142'))).toEqual({ region: 'eu', scope: 7, by: 'country' });
    expect(geo.locate(bytes('11.0.0.1'))).toMatchObject({ region: 'world', scope: 8, by: 'default' });
    expect(geo.locate(bytes('10.9.9.9'))).toMatchObject({ region: 'campus', by: 'network' });
    expect(
      createGeography(charter, () => ({ country: 'constructor', prefixLength: 1 })).locate(bytes('1.1.1.1'))
        .by,
    ).toBe('default');
  });

  it('refuses what is no network', () => {
    for (const cidr of [
      '',
      '10.0.0.0/33',
      '10.0.0/8',
      'x/8',
      '10.0.0.0/8/8',
      '2001:db8::/129',
      '10.0.0.0/-1',
      '1.2.3.4/ 8',
    ]) {
      expect(() => parseNetwork(cidr), cidr).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    }
  });
});

describe('addresses', () => {
  it('are read and written', () => {
    for (const text of ['0.0.0.0', '255.255.255.255', '192.0.2.1'])
      expect(addressText(bytes(text))).toBe(text);
    expect(addressText(bytes('2001:db8::1'))).toBe('2001:db8:0:0:0:0:0:1');
    expect(bytes('fe80::1%eth0').length).toBe(16);
    for (const text of [
      '256.0.0.1',
      '1.2.3',
      '1.2.3.4.5',
      '1..2.3',
      '1.2.3.4.',
      'a.b.c.d',
      '1.2.3.4444444444',
      ':::',
    ]) {
      expect(addressBytes(text), text).toBeUndefined();
    }
  });
});

describe('country database', () => {
  const dir = mkdtempSync(join(tmpdir(), 'presage-geoip-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  it('gives country and deciding prefix of both families', async () => {
    const path = join(dir, 'countries.mmdb');
    writeFileSync(
      path,
      mmdb([
        { network: '81.2.69.0/24', country: 'FR' },
        { network: '81.2.70.128/25', country: 'US' },
        { network: '2a01:e00::/24', country: 'FR' },
      ]),
    );
    const countryOf = await openGeoip(path);
    for (let round = 0; round < 2; round += 1) {
      expect(countryOf(bytes('81.2.69.142'))).toEqual({ country: 'FR', prefixLength: 24 });
      expect(countryOf(bytes('81.2.70.200'))).toEqual({ country: 'US', prefixLength: 25 });
      expect(countryOf(bytes('81.2.70.1'))).toEqual({ country: undefined, prefixLength: 25 });
      expect(countryOf(bytes('2a01:e0a::1'))).toEqual({ country: 'FR', prefixLength: 24 });
      expect(countryOf(bytes('9.9.9.9')).country).toBeUndefined();
    }
    const geography = createGeography({ ...charter, networks: [] }, countryOf);
    expect(geography.locate(bytes('81.2.69.142'), 24)).toEqual({ region: 'eu', scope: 24, by: 'country' });
    expect(geography.locate(bytes('81.2.70.200'), 24)).toMatchObject({ scope: 25 });
    expect(geography.locateText('2a01:e0a::1').region).toBe('eu');
  });

  it('fails with a coded error if it cannot be read', async () => {
    const path = join(dir, 'broken.mmdb');
    writeFileSync(path, 'not a database');
    await expect(openGeoip(path)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(openGeoip(join(dir, 'missing'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
