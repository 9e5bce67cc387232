import { describe, expect, it } from 'vitest';
import { key16OfHost, key16OfLabel, labelOfKey16, resourceHost } from '../../../node/dns/label.ts';
import type { Key16 } from '../../../protocol/ids.ts';

const key = '00112233445566778899aabbccddeeff' as Key16;

describe('labels of resources', () => {
  it('are base32 of the key as RFC 4648 has it, in lower case and without padding', () => {
    expect(labelOfKey16(key)).toBe('aaisem2ekvthpcezvk54zxpo74');
    expect(labelOfKey16('f'.repeat(32) as Key16)).toBe(`${'7'.repeat(25)}4`);
    expect(labelOfKey16('0'.repeat(32) as Key16)).toBe('a'.repeat(26));
  });

  it('lead back to the key in either case', () => {
    expect(key16OfLabel('aaisem2ekvthpcezvk54zxpo74')).toBe(key);
    expect(key16OfLabel('AAISEM2EKVTHPCEZVK54ZXPO74')).toBe(key);
  });

  it('are told from other labels', () => {
    const label = labelOfKey16(key);
    for (const wrong of [
      '',
      'www',
      label.slice(1),
      `${label.slice(0, 25)}5`,
      `1${label.slice(1)}`,
      `${label.slice(0, 25)}é`,
    ]) {
      expect(key16OfLabel(wrong), wrong).toBeUndefined();
    }
  });

  it('stand in host names below r of the zone of the site', () => {
    expect(resourceHost(key, 'cdn.example.')).toBe('aaisem2ekvthpcezvk54zxpo74.r.cdn.example');
    expect(key16OfHost('AAISEM2ekvthpcezvk54zxpo74.R.CDN.example', 'cdn.example')).toBe(key);
    expect(key16OfHost('aaisem2ekvthpcezvk54zxpo74.r.cdn.example.', 'cdn.example.')).toBe(key);
    for (const host of [
      'cdn.example',
      'x.r.cdn.example',
      'a.aisem2ekvthpcezvk54zxpo74.r.cdn.example',
      'aaisem2ekvthpcezvk54zxpo74.q.cdn.example',
    ]) {
      expect(key16OfHost(host, 'cdn.example'), host).toBeUndefined();
    }
  });
});
