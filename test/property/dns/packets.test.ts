import * as packets from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ZoneKey } from '../../../node/dns/dnssec/key.ts';
import { key16OfLabel, labelOfKey16 } from '../../../node/dns/label.ts';
import { keyOfText, keyText } from '../../../node/dns/name.ts';
import { Query } from '../../../node/dns/query.ts';
import { fieldsOf } from '../../../node/dns/rdata.ts';
import { parseZoneFile } from '../../../node/dns/zone-file.ts';
import { createGeography } from '../../../protocol/geography.ts';
import type { Key16, RegionId } from '../../../protocol/ids.ts';
import { parse, validate } from '../../unit/dns/validator.ts';
import { createWorld, query, subnet, zones } from '../../unit/dns/world.ts';

const SEED = 20261123;
const runs = (numRuns: number) => ({ seed: SEED, numRuns });

const names = fc.constantFrom(
  'cdn.example',
  'WWW.cdn.example',
  'alias2.cdn.example',
  'long.cdn.example',
  'sub.cdn.example',
  'x.wild.cdn.example',
  'loop1.cdn.example',
  'nothing.cdn.example',
  'other.example',
  `${'a'.repeat(26)}.r.cdn.example`,
);
const types = fc.constantFrom('A', 'AAAA', 'NS', 'SOA', 'TXT', 'MX', 'ANY', 'CNAME', 'AXFR', 'SRV', 'DS');
const options = fc.array(
  fc.oneof(
    fc.tuple(fc.integer({ min: 0, max: 20 }), fc.uint8Array({ maxLength: 48 })),
    fc
      .tuple(fc.constantFrom(1, 2), fc.integer({ min: 0, max: 32 }), fc.uint8Array({ maxLength: 16 }))
      .map(([family, source, address]) => subnet(family, source, [...address])),
  ),
  { maxLength: 4 },
);
const queries = fc
  .record({
    name: names,
    type: types,
    flags: fc.constantFrom(0, 0x0100, 0x0110, 0x0800, 0x2000),
    id: fc.nat(0xffff),
    edns: fc.option(
      fc.record({
        size: fc.nat(0xffff),
        version: fc.constantFrom(0, 0, 0, 1),
        dnssecOk: fc.boolean(),
        options,
      }),
      {
        nil: undefined,
      },
    ),
  })
  .map(({ name, type, flags, id, edns }) => query(name, type, { flags, id, ...(edns && { edns }) }));

/** A query with bytes changed, cut, repeated or put in. */
const damaged = fc
  .tuple(queries, fc.array(fc.tuple(fc.nat(600), fc.nat(255), fc.nat(3)), { minLength: 1, maxLength: 8 }))
  .map(([bytes, edits]) => {
    let out: Buffer = Buffer.from(bytes);
    for (const [where, value, kind] of edits) {
      const at = where % Math.max(1, out.length);
      if (kind === 0) out[at] = value;
      else if (kind === 1) out = out.subarray(0, at);
      else if (kind === 2) out = Buffer.concat([out.subarray(0, at), Buffer.from([value]), out.subarray(at)]);
      else out = Buffer.concat([out, out.subarray(at)]).subarray(0, 1500);
    }
    return out;
  });

describe('the responder', () => {
  const plain = createWorld();
  const signed = createWorld({ zones: zones.map((zone) => ({ ...zone, keys: [ZoneKey.generate()] })) });
  const client = fc.constantFrom('203.0.113.5', '198.51.100.9', '2001:db8:100::1');
  const transport = fc.constantFrom('udp', 'tcp') as fc.Arbitrary<'udp' | 'tcp'>;
  const worlds = fc.constantFrom(plain, signed);

  const holds = (bytes: Uint8Array, from: string, over: 'udp' | 'tcp', world: typeof plain) => {
    const sent = Buffer.from(bytes);
    const answer = world.raw(bytes, from, over);
    expect(Buffer.compare(sent, Buffer.from(bytes))).toBe(0);
    if (!answer) {
      expect(bytes.length < 12 || (bytes[2]! & 0x80) !== 0).toBe(true);
      return;
    }
    expect(answer.length).toBeLessThanOrEqual(over === 'udp' ? 1232 : 65_535);
    // Id, opcode and RD come back, QR is set, neither RA nor Z nor AD.
    expect([...answer.subarray(0, 2)]).toEqual([...bytes.subarray(0, 2)]);
    expect(answer[2]! & 0xf9).toBe(0x80 | (bytes[2]! & 0x79));
    expect(answer[3]! & 0xe0).toBe(0);
    const decoded = packets.decode(Buffer.from(answer));
    expect(packets.decode.bytes).toBe(answer.length);
    // A question that comes back is the same, byte for byte.
    if (decoded.questions!.length > 0) {
      let length = 12;
      while (answer[length] !== 0) length += 1 + answer[length]!;
      length += 5;
      expect(Buffer.compare(answer.subarray(12, length), sent.subarray(12, length))).toBe(0);
    }
  };

  it('answers every well-formed query with a well-formed answer within its bounds', () => {
    fc.assert(fc.property(queries, client, transport, worlds, holds), runs(2_000));
  });

  it('signs whatever it answers to who asks for it', () => {
    const anchors = zones.map(({ name }) => ({
      apex: Buffer.from(keyOfText(name), 'latin1').toString('hex'),
      dnskey: Buffer.from(signed.zones.zone(keyOfText(name))!.signer!.dnskey.rdata[0]!),
    }));
    const asks = fc.tuple(names, types, client).filter(([, type]) => type !== 'AXFR');
    fc.assert(
      fc.property(asks, ([name, type, from]) => {
        const bytes = query(name, type, { edns: { dnssecOk: true, size: 4096 } });
        const message = parse(signed.raw(bytes, from, 'tcp')!);
        validate(message, anchors, Math.floor(signed.time.nowMs / 1000));
        const denies = message.records.some((rr) => rr.type === 6 && rr.section === 'authority');
        expect(message.records.some((rr) => rr.type === 47)).toBe(
          denies || message.records.some((rr) => rr.type === 2 && rr.section === 'authority'),
        );
      }),
      runs(500),
    );
  });

  it('never fails on damaged queries', () => {
    fc.assert(fc.property(damaged, client, transport, worlds, holds), runs(6_000));
  });

  it('never fails on noise', () => {
    const noise = fc.uint8Array({ maxLength: 600 });
    const headed = noise.map((tail) => Uint8Array.from([1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, ...tail]));
    fc.assert(
      fc.property(fc.oneof(noise, headed), client, transport, worlds, (bytes, from, over, world) => {
        const answer = world.raw(bytes, from, over);
        if (answer) packets.decode(Buffer.from(answer));
      }),
      runs(6_000),
    );
  });

  it('does not change answers that were given while it writes later ones', () => {
    const world = plain;
    const first = world.raw(query('cdn.example', 'A', { id: 1 }))!;
    const copy = Buffer.from(first);
    for (let i = 0; i < 5_000; i += 1)
      world.raw(query('long.cdn.example', 'TXT', { id: 2 }), '203.0.113.5', i % 50 ? 'udp' : 'tcp');
    expect(Buffer.compare(copy, Buffer.from(first))).toBe(0);
  });
});

describe('parsers', () => {
  it('read a client subnet exactly when it is canonical', () => {
    const reader = new Query();
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2),
        fc.nat(130),
        fc.uint8Array({ maxLength: 18 }),
        (family, source, address) => {
          const rcode = reader.parse(
            query('cdn.example', 'A', { edns: { options: [subnet(family, source, [...address])] } }),
          );
          const bits = family === 1 ? 32 : 128;
          const canonical =
            source <= bits &&
            address.length === Math.ceil(source / 8) &&
            (source % 8 === 0 || (address.at(-1)! & (0xff >> (source % 8))) === 0);
          expect(rcode).toBe(canonical ? 0 : 1);
          expect(reader.hasSubnet).toBe(canonical);
        },
      ),
      runs(3_000),
    );
  });

  it('lead from keys to labels and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const key = Buffer.from(bytes).toString('hex') as Key16;
        expect(key16OfLabel(labelOfKey16(key))).toBe(key);
      }),
      runs(1_000),
    );
  });

  it('lead from names to text and back', () => {
    const label = fc.uint8Array({ minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 6 }), (labels) => {
        const key =
          `${labels.map((bytes) => String.fromCharCode(bytes.length, ...bytes)).join('')}\0`.replaceAll(
            /[A-Z]/g,
            (letter) => letter.toLowerCase(),
          );
        expect(keyOfText(`${keyText(key)}.`)).toBe(key);
      }),
      runs(1_000),
    );
  });

  it('of zone files fail with a coded error or give records', () => {
    const words = fc.constantFrom(
      '@',
      'a',
      'IN',
      'A',
      '192.0.2.1',
      'TXT',
      '"x"',
      '(',
      ')',
      ';',
      '\n',
      ' ',
      '$TTL',
      '60',
      '\\',
      '"',
      'MX',
      '$ORIGIN',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
        try {
          parseZoneFile(parts.join(' '), 'example.com');
          fieldsOf(parts.join(' '));
        } catch (error) {
          expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
        }
      }),
      runs(3_000),
    );
  });
});

describe('geography', () => {
  it('gives the region of the longest network, and scopes within which no address has another', () => {
    // A small world of 12 bits, so that every address in a scope can be looked at.
    const network = fc.tuple(fc.nat(4095), fc.nat(12), fc.constantFrom('a', 'b', 'c'));
    const addressOf = (value: number) => Uint8Array.of(10, 32 + (value >> 8), value & 255, 0);
    fc.assert(
      fc.property(fc.array(network, { maxLength: 12 }), fc.nat(4095), (list, value) => {
        const unique = new Map(
          list.map(([at, length, region]) => [`${at >> (12 - length)}/${length}`, { at, length, region }]),
        );
        const networks = [...unique.values()].map(({ at, length, region }) => ({
          cidr: `${addressOf((at >> (12 - length)) << (12 - length)).join('.')}/${12 + length}`,
          region: region as RegionId,
        }));
        const expected = (address: number) =>
          [...unique.values()]
            .filter(({ at, length }) => at >> (12 - length) === address >> (12 - length))
            .sort((x, y) => y.length - x.length)[0]?.region ?? 'none';
        const geography = createGeography({ networks, countries: {}, defaultRegion: 'none' as RegionId });
        const { region, scope } = geography.locate(addressOf(value));
        expect(region).toBe(expected(value));
        const free = Math.min(12, 24 - scope);
        const start = free <= 0 ? value : (value >> free) << free;
        const inScope = Array.from({ length: 1 << Math.max(0, free) }, (_, i) => start + i);
        expect(inScope.filter((other) => expected(other) !== region)).toEqual([]);
      }),
      runs(800),
    );
  });
});
