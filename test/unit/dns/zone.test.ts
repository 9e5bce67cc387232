import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as packets from 'dns-packet';
import { afterAll, describe, expect, it } from 'vitest';
import { keyOfText, keyText, nameBytes } from '../../../node/dns/name.ts';
import { rdataBytes, type TypeName } from '../../../node/dns/rdata.ts';
import { type ZoneConfig, Zones, zonesOfCharter } from '../../../node/dns/zone.ts';
import { readZones } from '../../../node/dns/zone-directory.ts';
import { parseZoneFile } from '../../../node/dns/zone-file.ts';
import type { Charter } from '../../../protocol/charter.ts';
import type { SiteId } from '../../../protocol/ids.ts';
import { createWorld } from './world.ts';

const origin = nameBytes('example.com.');
const invalid = expect.objectContaining({ code: 'CONFIG_INVALID' });

describe('names', () => {
  it('are read with escapes and completed with the origin', () => {
    expect(Buffer.from(nameBytes('www', origin)).toString('latin1')).toBe('\x03www\x07example\x03com\0');
    expect(Buffer.from(nameBytes('a\\.b.c.')).toString('latin1')).toBe('\x03a.b\x01c\0');
    expect(Buffer.from(nameBytes('\\255\\000.')).toString('latin1')).toBe('\x02\xff\0\0');
    expect(nameBytes('.')).toEqual(Uint8Array.of(0));
    expect(nameBytes('@', origin)).toBe(origin);
  });

  it('are compared without regard to the case of ASCII letters alone', () => {
    expect(keyOfText('WwW.Example.COM.')).toBe(keyOfText('www.example.com.'));
    expect(keyOfText('\\196.')).not.toBe(keyOfText('\\228.'));
    expect(keyText(keyOfText('WwW.Example.COM.'))).toBe('www.example.com');
    expect(keyText(keyOfText('a\\.b.'))).toBe('a\\046b');
    expect(keyText('\0')).toBe('');
  });

  it('that are too long or have empty labels are refused', () => {
    for (const name of ['a..b.', '.a.', '', 'x'.repeat(64), `${'x'.repeat(63)}.`.repeat(4), 'a\\']) {
      expect(() => nameBytes(name), name).toThrow(invalid);
    }
  });
});

describe('record data', () => {
  /** Through a whole answer and an independent decoder. */
  const decoded = (type: TypeName, value: string) => {
    const zones: ZoneConfig[] = [{ name: 'example.com.', records: [{ name: 'x', type, value }] }];
    return createWorld({ zones }).ask('x.example.com', type.replace('TYPE', 'UNKNOWN_')).answers![0]!.data;
  };

  it('is read for every type', () => {
    expect(decoded('A', '192.0.2.1')).toBe('192.0.2.1');
    expect(decoded('AAAA', '2001:db8::1')).toBe('2001:db8::1');
    expect(decoded('CNAME', 'y')).toBe('y.example.com');
    expect(decoded('PTR', 'host.example.net.')).toBe('host.example.net');
    expect(decoded('MX', '10 mail')).toEqual({ preference: 10, exchange: 'mail.example.com' });
    expect(decoded('SRV', '1 2 443 @')).toEqual({ priority: 1, weight: 2, port: 443, target: 'example.com' });
    expect(decoded('TXT', '"two words" one "quo\\"te" \\065')).toEqual(
      ['two words', 'one', 'quo"te', 'A'].map((t) => Buffer.from(t)),
    );
    expect(decoded('CAA', '128 issue "ca.example; account=1"')).toMatchObject({
      flags: 128,
      tag: 'issue',
      value: 'ca.example; account=1',
    });
    expect(decoded('HINFO', '"a b" c')).toEqual({ cpu: 'a b', os: 'c' });
    expect(decoded('TYPE65280', '\\# 3 0aff 01')).toEqual(Buffer.from([10, 255, 1]));
  });

  it('of SVCB and HTTPS is in the order that the specification wants (RFC 9460)', () => {
    const bytes = (value: string) => Buffer.from(rdataBytes('HTTPS', value, origin)).toString('hex');
    // RFC 9460 appendix D.2: service form, alias form, mixed-case and unsorted parameters.
    expect(Buffer.from(rdataBytes('HTTPS', '0 foo.example.com.', origin)).toString('hex')).toBe(
      '000003666f6f076578616d706c6503636f6d00',
    );
    expect(bytes('16 foo.example.com. port=53')).toBe('001003666f6f076578616d706c6503636f6d00000300020035');
    expect(bytes('1 foo.example.com. key667=hello')).toBe(
      '000103666f6f076578616d706c6503636f6d00029b000568656c6c6f',
    );
    expect(bytes('1 foo.example.com. ipv6hint="2001:db8::1,2001:db8::53:1"')).toBe(
      '000103666f6f076578616d706c6503636f6d000006002020010db800000000000000000000000120010db8000000000000000000530001',
    );
    expect(bytes('16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1')).toBe(
      '001003666f6f076578616d706c65036f7267000000000400010004000100090268320568332d3139000400 04c0000201'.replace(
        ' ',
        '',
      ),
    );
  });

  it('that is wrong is refused with the record named', () => {
    const wrong: [TypeName, string][] = [
      ['A', '192.0.2'],
      ['A', '2001:db8::1'],
      ['AAAA', '192.0.2.1'],
      ['A', '192.0.2.1 more'],
      ['MX', 'mail 10'],
      ['MX', '65536 mail'],
      ['SRV', '1 2 mail'],
      ['TXT', ''],
      ['TXT', '"open'],
      ['TXT', `"${'x'.repeat(256)}"`],
      ['CAA', '0 is-sue x'],
      ['HTTPS', '1 . alpn'],
      ['HTTPS', '1 . port=1 port=2'],
      ['HTTPS', '1 . shoesize=44'],
      ['SOA', 'a b 1 2 3'],
      ['TYPE65280', '\\# 4 00'],
      ['TYPE65280', 'text'],
    ];
    for (const [type, value] of wrong)
      expect(() => rdataBytes(type, value, origin), `${type} ${value}`).toThrow(invalid);
  });
});

describe('zones', () => {
  it('that contradict themselves are refused', () => {
    const build = (...records: ZoneConfig['records'] & object) =>
      new Zones([{ name: 'example.com', records }]);
    expect(() => new Zones([{ name: 'a.' }, { name: 'A' }])).toThrow(invalid);
    expect(() =>
      build({ name: 'x', type: 'CNAME', value: 'y' }, { name: 'x', type: 'A', value: '192.0.2.1' }),
    ).toThrow(invalid);
    expect(() => build({ name: 'x.example.net.', type: 'A', value: '192.0.2.1' })).toThrow(invalid);
    expect(() => build({ name: 'x', type: 'TYPE41', value: '\\# 0' })).toThrow(invalid);
    expect(() => build({ name: 'x', type: 'A', ttl: 2 ** 31, value: '192.0.2.1' })).toThrow(invalid);
    expect(() => build({ name: 'x', type: 'NOPE' as TypeName, value: 'x' })).toThrow(invalid);
  });

  it('follow from the charter, those configured keeping their records', () => {
    const sites = [
      { id: 'a' as SiteId, hosts: ['www.example'], zone: 'Cdn.example' },
      { id: 'b' as SiteId, hosts: ['own.example'] },
      { id: 'c' as SiteId, hosts: [], zone: 'img.example.' },
    ] as unknown as Charter['sites'];
    const record = { name: '@', type: 'MX', value: '1 mail' } as const;
    const configured = [
      { name: 'cdn.example', records: [record] },
      { name: 'own.example' },
      { name: 'plain.example.' },
    ];
    expect(zonesOfCharter({ sites }, configured)).toEqual([
      { name: 'cdn.example.', site: 'a', records: [record] },
      { name: 'own.example.', site: 'b' },
      { name: 'plain.example.' },
      { name: 'img.example.', site: 'c' },
    ]);
  });

  it('are the root for a site of all hosts if there is no other zone', () => {
    const sites = [{ id: 'all' as SiteId, hosts: ['*'] }] as unknown as Charter['sites'];
    expect(zonesOfCharter({ sites })).toEqual([{ name: '.', site: 'all' }]);
    expect(zonesOfCharter({ sites }, [{ name: 'x.example' }])).toEqual([{ name: 'x.example.', site: 'all' }]);
    expect(zonesOfCharter({ sites: [] })).toEqual([]);
  });
});

describe('zone files', () => {
  const text = `
$TTL 1h
@       IN SOA ns1 hostmaster.example.com. (
          2026112301 ; serial
          7200 3600 2w 300 )
        IN NS  ns1
        NS     ns.other.example.
ns1     300 IN A 192.0.2.1
        IN 600 AAAA 2001:db8::1
$ORIGIN sub.example.com.
www     CNAME @
@       A 192.0.2.2      ; a comment
txt     TXT "semi;colon ( and paren" plain \\; "two
"
`.replace('plain \\; "two\n"', 'plain \\; "two"');

  it('are read as their specification says', () => {
    const records = parseZoneFile(text, 'example.com');
    expect(records).toContainEqual({
      name: 'ns1.example.com.',
      type: 'AAAA',
      ttl: 600,
      value: '2001:db8::1',
    });
    expect(records).toContainEqual({
      name: 'www.sub.example.com.',
      type: 'CNAME',
      ttl: 3600,
      value: 'sub.example.com.',
    });
    const world = createWorld({ zones: [{ name: 'example.com', records }] });
    const soa = world.ask('example.com', 'SOA').answers![0]!;
    expect(soa).toMatchObject({
      ttl: 3600,
      data: {
        mname: 'ns1.example.com',
        rname: 'hostmaster.example.com',
        serial: 2026112301,
        expire: 1209600,
        minimum: 300,
      },
    });
    expect(world.ask('example.com', 'NS').answers!.map(({ data }) => data)).toEqual([
      'ns1.example.com',
      'ns.other.example',
    ]);
    expect(world.ask('ns1.example.com', 'A').answers![0]).toMatchObject({ ttl: 300, data: '192.0.2.1' });
    expect(world.ask('txt.sub.example.com', 'TXT').answers![0]!.data).toEqual(
      ['semi;colon ( and paren', 'plain', ';', 'two'].map((part) => Buffer.from(part)),
    );
    expect(world.ask('none.example.com', 'A').authorities![0]).toMatchObject({ ttl: 300 });
  });

  it('that are wrong are refused with the line named', () => {
    const wrong: [string, RegExp][] = [
      ['$INCLUDE other', /line 1/],
      ['@ A 192.0.2.1\nx NOPE 1', /line 2/],
      [' A 192.0.2.1', /owner/],
      ['@ SOA a b (1 2', /parenthesis/],
      ['@ A )', /parenthesis/],
      ['@ TXT "open', /quote/],
      ['@ 99999999999 A 192.0.2.1', /line 1/],
      ['$TTL', /one value/],
    ];
    for (const [file, why] of wrong) expect(() => parseZoneFile(file, 'example.com'), file).toThrow(why);
  });

  it('give the same records that the independent decoder reads back', () => {
    const zones = [
      { name: 'example.com', records: parseZoneFile('a 60 A 192.0.2.1\nb 60 MX 5 a\n', 'example.com') },
    ];
    const { bytes } = createWorld({ zones }).ask('b.example.com', 'MX');
    expect(packets.decode(Buffer.from(bytes)).answers).toMatchObject([
      { data: { preference: 5, exchange: 'a.example.com' } },
    ]);
  });
});

describe('a directory of zone files', () => {
  const dir = mkdtempSync(join(tmpdir(), 'presage-zones-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  it('adds records to zones that are there, and zones that are not', async () => {
    writeFileSync(join(dir, 'cdn.example.zone'), '@ 60 MX 5 mail\n');
    writeFileSync(join(dir, 'Own.Example.zone'), 'www 60 A 192.0.2.1\n');
    writeFileSync(join(dir, 'notes.txt'), 'not a zone');
    const zones = await readZones(dir, [{ name: 'cdn.example.', site: 'shop' as SiteId }]);
    expect(zones.map(({ name }) => name)).toEqual(['cdn.example.', 'own.example.']);
    const world = createWorld({ zones });
    expect(world.ask('www.own.example', 'A').answers![0]!.data).toBe('192.0.2.1');
    expect(world.ask('cdn.example', 'MX').answers![0]!.data).toMatchObject({ preference: 5 });
    expect(world.ask('cdn.example', 'A').answers![0]!.data).toBe('192.0.2.1');
    expect(await readZones(join(dir, 'missing'), zones)).toEqual(zones);
  });

  it('says what is wrong with a file', async () => {
    writeFileSync(join(dir, 'bad.example.zone'), '@ A 192.0.2.1\n@ NOPE x\n');
    await expect(readZones(dir, [])).rejects.toThrow(/bad\.example.*line 2/);
  });
});
