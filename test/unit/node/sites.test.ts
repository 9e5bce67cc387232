import { describe, expect, it } from 'vitest';
import { loneCharter } from '../../../node/lone-charter.ts';
import { Sites } from '../../../node/sites.ts';
import type { ResourceKey, SiteId } from '../../../protocol/ids.ts';

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
