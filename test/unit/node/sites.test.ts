import { describe, expect, it } from 'vitest';
import { labelOfKey16 } from '../../../node/dns/label.ts';
import { LiveGeography } from '../../../node/live-geography.ts';
import { loneCharter } from '../../../node/lone-charter.ts';
import { resourceHosts } from '../../../node/resource-hosts.ts';
import { Sites } from '../../../node/sites.ts';
import type { Site } from '../../../protocol/charter.ts';
import type { Key16, RegionId, ResourceKey, SiteId } from '../../../protocol/ids.ts';

const lone = loneCharter({
  region: 'local',
  origin: 'http://o.example',
  epochMs: 30_000,
  key: new Uint8Array(32),
});
const [fallback] = lone.sites;

describe('sites', () => {
  const named = { ...fallback!, id: 'named' as SiteId, hosts: ['www.example', 'img.example'] };
  const sites = new Sites({ sites: [named, fallback!] });

  it('are found by host without port and case, by key and by id', () => {
    expect(sites.ofHost('WWW.example:8080')?.id).toBe('named');
    expect(sites.ofHost('[::1]:80')?.id).toBe('default');
    expect(sites.ofKey('img.example/a?b' as ResourceKey)?.id).toBe('named');
    expect(sites.ofKey('other.example' as ResourceKey)?.id).toBe('default');
    expect(sites.ofId('named' as SiteId)).toBe(named);
  });

  it('are unknown where no site takes every host', () => {
    expect(new Sites({ sites: [named] }).ofHost('other.example')).toBeUndefined();
    expect(new Sites({ sites: [] }).ofHost('')).toBeUndefined();
  });
});

describe('a charter that comes into force', () => {
  const at = (id: string, host: string, zone: string): Site => ({
    ...{ ...fallback!, id: id as SiteId, hosts: [host], zone },
  });
  const before = {
    ...lone,
    sites: [at('a', 'a.example', 'a.test'), at('gone', 'gone.example', 'gone.test')],
  };
  const after = { ...lone, sites: [at('a', 'b.example', 'a.test'), at('new', 'new.example', 'new.test')] };

  it('replaces all sites at once', () => {
    const sites = new Sites(before);
    sites.replace(after);
    expect(
      ['a.example', 'b.example', 'new.example', 'gone.example'].map((host) => sites.ofHost(host)?.id),
    ).toEqual([undefined, 'a', 'new', undefined]);
    expect(sites.ofId('gone' as SiteId)).toBeUndefined();
    sites.replace(lone);
    expect(sites.ofHost('gone.example')?.id).toBe('default');
  });

  it('gives the names of single resources the hosts of its own zones', () => {
    let charter = before;
    const hostOf = resourceHosts(() => charter, { get: () => undefined });
    const label = labelOfKey16('00112233445566778899aabbccddeeff' as Key16);
    expect(hostOf(`${label}.r.gone.test`)).toBe('gone.example');
    charter = after;
    expect(hostOf(`${label}.r.gone.test`)).toBeUndefined();
    expect(hostOf(`${label}.r.new.test`)).toBe('new.example');
    expect(hostOf(`${label}.r.a.test`)).toBe('b.example');
  });

  it('places clients by its own networks', () => {
    const network = (region: string) => ({
      ...{ ...lone, regions: [region as RegionId], defaultRegion: 'local' as RegionId },
      networks: [{ cidr: '192.0.2.0/24', region: region as RegionId }],
    });
    const geography = new LiveGeography(network('eu'), () => ({ country: 'US', prefixLength: 8 }));
    expect(geography.locateText('192.0.2.9')).toMatchObject({ region: 'eu', by: 'network' });
    geography.replace({ ...network('us'), countries: { US: 'us' as RegionId } });
    expect(geography.locateText('192.0.2.9')).toMatchObject({ region: 'us', by: 'network' });
    expect(geography.locate(Uint8Array.of(198, 51, 100, 1))).toMatchObject({ region: 'us', by: 'country' });
  });
});

describe('the charter of a PoP alone', () => {
  it('keeps its secret with the key, and has no site without an origin', () => {
    const again = loneCharter({
      region: 'local',
      origin: 'http://p.example',
      epochMs: 1_000,
      key: new Uint8Array(32),
    });
    const other = loneCharter({
      region: 'local',
      origin: 'http://o.example',
      epochMs: 1_000,
      key: new Uint8Array(32).fill(1),
    });
    expect(again.sites[0]?.secret).toEqual(fallback?.secret);
    expect(other.sites[0]?.secret).not.toEqual(fallback?.secret);
    expect(
      loneCharter({ region: 'local', origin: undefined, epochMs: 1, key: new Uint8Array(32) }).sites,
    ).toEqual([]);
  });
});
