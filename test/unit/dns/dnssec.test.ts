import { describe, expect, it } from 'vitest';
import { nameAfter, nsecRdata } from '../../../node/dns/dnssec/denial.ts';
import { ZoneKey } from '../../../node/dns/dnssec/key.ts';
import { labelOfKey16 } from '../../../node/dns/label.ts';
import { keyOfText } from '../../../node/dns/name.ts';
import { TYPE } from '../../../node/dns/rdata.ts';
import {
  type Anchor,
  compareNames,
  denied,
  dsOf,
  nsecOf,
  parse,
  tagOf,
  validate,
  wire,
} from './validator.ts';
import { createWorld, heldInBoston, query, type WorldOptions, zones } from './world.ts';

const [parent, child] = zones as [(typeof zones)[number], (typeof zones)[number]];
const parentKey = ZoneKey.generate();
const childKey = ZoneKey.generate();
const standby = ZoneKey.generate();
const DS_DATA = '12345 13 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F';
const signed = [
  {
    ...parent,
    keys: [parentKey, standby],
    records: [
      ...(parent.records ?? []),
      { name: 'safe', type: 'NS' as const, value: 'NS.Elsewhere.Example.' },
      { name: 'safe', type: 'DS' as const, value: DS_DATA },
      { name: 'Mixed', type: 'CNAME' as const, value: 'STATIC' },
      { name: '_sip._tcp', type: 'SRV' as const, value: '1 2 5060 Mail.Other.Example.' },
    ],
  },
  { ...child, keys: [childKey] },
];
const anchors: Anchor[] = [
  { apex: wire('cdn.example'), dnskey: Buffer.from(new ZoneKey(parentKey, 'test').dnskey) },
  { apex: wire('child.cdn.example'), dnskey: Buffer.from(new ZoneKey(childKey, 'test').dnskey) },
];

function client(options: WorldOptions = {}) {
  const world = createWorld({ zones: signed, ...options });
  const ask = (
    name: string,
    type: string,
    how: { compactOk?: boolean; dnssecOk?: boolean; from?: string } = {},
  ) => {
    const { compactOk = false, dnssecOk = true, from } = how;
    const packet = world.raw(query(name, type, { edns: { dnssecOk, compactOk, size: 4096 } }), from, 'tcp');
    if (!packet) throw new Error('no answer');
    const message = parse(packet);
    if (dnssecOk) validate(message, anchors, Math.floor(world.time.nowMs / 1000));
    return message;
  };
  return { world, ask };
}
const NXDOMAIN = 3;
const answers = (message: ReturnType<typeof parse>) =>
  message.records.filter(({ section, type }) => section === 'answer' && type !== 46);

describe('signed answers', () => {
  const { ask, world } = client();

  it.each([
    ['cdn.example', 'SOA', 1],
    ['cdn.example', 'NS', 2],
    ['cdn.example', 'MX', 1],
    ['cdn.example', 'DNSKEY', 2],
    ['cdn.example', 'CDS', 2],
    ['cdn.example', 'A', 1],
    ['WWW.cdn.EXAMPLE', 'AAAA', 1],
    ['static.cdn.example', 'A', 2],
    ['alias2.cdn.example', 'A', 4],
    ['mixed.cdn.example', 'A', 3],
    ['away.cdn.example', 'A', 1],
    ['toward.cdn.example', 'A', 2],
    ['x.y.wild.cdn.example', 'TXT', 1],
    ['*.wild.cdn.example', 'TXT', 1],
    ['_sip._tcp.cdn.example', 'SRV', 1],
    ['long.cdn.example', 'TXT', 60],
    ['x.child.cdn.example', 'A', 1],
    ['cdn.example', 'ANY', 1],
    [`${labelOfKey16(heldInBoston)}.r.cdn.example`, 'A', 1],
  ])('verify: %s %s', (name, type, count) => {
    const message = ask(name, type);
    expect(message.rcode).toBe(0);
    expect(answers(message).length).toBe(count);
  });

  it('verify whichever PoP a client is sent to, and whatever short-lived records a name has', () => {
    expect(answers(ask('cdn.example', 'A'))[0]!.data).toEqual(Buffer.from([192, 0, 2, 1]));
    expect(answers(ask('cdn.example', 'A', { from: '198.51.100.9' }))[0]!.data).toEqual(
      Buffer.from([192, 0, 2, 2]),
    );
    const put = (name: string, value: string) =>
      world.texts.put(name, value, world.time.nowMs + 60_000, world.zones, world.time.nowMs);
    put('_acme-challenge.cdn.example', 'one');
    expect(answers(ask('_acme-challenge.cdn.example', 'TXT')).length).toBe(1);
    put('_acme-challenge.cdn.example', 'two');
    expect(answers(ask('_acme-challenge.cdn.example', 'TXT')).length).toBe(2);
    // Beside a record of the zone they are one set.
    put('long.cdn.example', 'three');
    expect(answers(ask('long.cdn.example', 'TXT')).length).toBe(61);
    world.time.nowMs += 61_000;
    expect(answers(ask('long.cdn.example', 'TXT')).length).toBe(60);
  });

  it('are made anew long before they expire, and not before', () => {
    const fresh = client();
    const signatureOf = () =>
      fresh.ask('static.cdn.example', 'A').records.find(({ type }) => type === 46)!.data;
    const first = signatureOf();
    expect(signatureOf()).toEqual(first);
    fresh.world.time.nowMs += 86_400_000;
    expect(signatureOf()).not.toEqual(first);
    for (let day = 0; day < 10; day += 1) {
      fresh.world.time.nowMs += 40_000_000;
      signatureOf();
    }
  });

  it('carry no signatures for who does not ask for them, and none where the zone has no key', () => {
    const plain = ask('static.cdn.example', 'A', { dnssecOk: false });
    expect(plain.records.some(({ type }) => type === 46)).toBe(false);
    const missing = ask('nothing.cdn.example', 'A', { dnssecOk: false });
    expect([missing.rcode, missing.records.some(({ type }) => type === 46 || type === 47)]).toEqual([
      3,
      false,
    ]);
    const unsigned = createWorld();
    const bytes = unsigned.raw(query('static.cdn.example', 'A', { edns: { dnssecOk: true } }))!;
    expect(parse(bytes).records.filter(({ type }) => type === 46)).toEqual([]);
  });

  it('keep within the limits of UDP: what does not fit is asked for by TCP', () => {
    const bytes = world.raw(query('long.cdn.example', 'TXT', { edns: { dnssecOk: true, size: 1232 } }))!;
    expect(bytes.length).toBeLessThan(1232);
    expect(bytes[2]! & 2).toBe(2);
    const small = world.raw(query('nothing.cdn.example', 'A', { edns: { dnssecOk: true, size: 512 } }))!;
    expect(small.length).toBeLessThanOrEqual(512);
  });
});

describe('a flood of names that exist', () => {
  const rateLimit = { answersPerSecond: 0, errorsPerSecond: 0, slip: 2 };
  const dnssec = { edns: { dnssecOk: true, size: 4096 } };
  const nameOf = (i: number) => `${labelOfKey16(i.toString(16).padStart(32, '0') as never)}.r.cdn.example`;
  const isCut = (bytes: Uint8Array | undefined) => (bytes![2]! & 2) !== 0;

  it('is worth so many signatures a second; who is known to be real has its own all the same', () => {
    const flooded = createWorld({ zones: signed, rateLimit });
    const known = query(nameOf(0), 'A', dnssec);
    expect(isCut(flooded.raw(known))).toBe(false);
    let whole = 0;
    for (let i = 1; i < 4_000; i += 1) whole += isCut(flooded.raw(query(nameOf(i), 'A', dnssec))) ? 0 : 1;
    expect(whole).toBeGreaterThan(1_900);
    expect(whole).toBeLessThan(2_100);
    // What is remembered costs nothing, TCP is no forgery, and the unsigned are not concerned.
    expect(isCut(flooded.raw(known))).toBe(false);
    const byTcp = parse(flooded.raw(query(nameOf(3_999), 'A', dnssec), undefined, 'tcp')!);
    validate(byTcp, anchors, Math.floor(flooded.time.nowMs / 1000));
    expect(isCut(flooded.raw(query(nameOf(5_000), 'A')))).toBe(false);
    flooded.time.nowMs += 3_000;
    expect(isCut(flooded.raw(query(nameOf(6_000), 'A', dnssec)))).toBe(false);
  });
});

describe('signed denials', () => {
  const { ask, world } = client();

  it.each([
    ['nothing.cdn.example', 'A', 'nxname'],
    ['a.b.c.d.cdn.example', 'A', 'nxname'],
    ['NoThing.child.cdn.example', 'TXT', 'nxname'],
    ['x.real.wild.cdn.example', 'TXT', 'nxname'],
    ['static.cdn.example', 'TXT', 'nodata'],
    ['static.cdn.example', 'AAAA', 'nodata'],
    ['b.deep.cdn.example', 'A', 'nodata'],
    ['x.wild.cdn.example', 'A', 'nodata'],
    ['cdn.example', 'TXT', 'nodata'],
    ['www.cdn.example', 'MX', 'nodata'],
    ['r.cdn.example', 'A', 'nodata'],
    [`${labelOfKey16(heldInBoston)}.r.cdn.example`, 'MX', 'nodata'],
  ])('prove that there is no %s %s: %s', (name, type, what) => {
    const message = ask(name, type);
    expect(message.rcode).toBe(0);
    expect(answers(message)).toEqual([]);
    expect(denied(message, name, TYPE[type as keyof typeof TYPE])).toBe(what);
    // Who knows the compact form is told the true code beside the same proof (RFC 9824 §5).
    const compact = ask(name, type, { compactOk: true });
    expect(compact.rcode).toBe(what === 'nxname' ? NXDOMAIN : 0);
    expect(denied(compact, name, TYPE[type as keyof typeof TYPE])).toBe(what);
  });

  it('name the types that are there, so that nobody concludes too much', () => {
    const typesAt = (name: string, type: string) => {
      const nsec = ask(name, type).records.find((rr) => rr.type === 47)!;
      return nsecOf(nsec).types;
    };
    expect(typesAt('static.cdn.example', 'TXT')).toEqual([1, 46, 47]);
    expect(typesAt('www.cdn.example', 'MX')).toEqual([1, 28, 46, 47]);
    expect(typesAt('cdn.example', 'TXT')).toEqual([1, 2, 6, 15, 28, 46, 47, 48, 59, 60]);
    expect(typesAt('b.deep.cdn.example', 'A')).toEqual([46, 47]);
  });

  it('end an alias that leads nowhere', () => {
    const message = ask('dangling.cdn.example', 'A');
    expect(answers(message).map(({ type }) => type)).toEqual([5]);
    expect(denied(message, 'missing.cdn.example', 1)).toBe('nxname');
  });

  it('are answers themselves where NSEC is asked for; NXNAME is not to be asked for', () => {
    const [nsec] = answers(ask('static.cdn.example', 'NSEC'));
    expect(nsecOf(nsec!).types).toEqual([1, 46, 47]);
    expect(denied(ask('nothing.cdn.example', 'NSEC'), 'nothing.cdn.example', 99)).toBe('nxname');
    const bytes = query('cdn.example', 'A');
    bytes.writeUInt16BE(128, bytes.length - 4);
    expect(world.raw(bytes)![3]! & 15).toBe(1);
  });

  it('count as denials where answers are rationed, and cost no signature then', () => {
    const rateLimit = { answersPerSecond: 1_000, errorsPerSecond: 2, slip: 0 };
    const rationed = createWorld({ zones: signed, rateLimit });
    const sent = Array.from({ length: 20 }, (_, i) =>
      rationed.raw(query(`n${i}.cdn.example`, 'A', { edns: { dnssecOk: true } })),
    );
    expect(sent.filter(Boolean).length).toBe(2);
  });
});

describe('delegations', () => {
  const { ask } = client();

  it('to signed zones carry their keys, others the proof that there are none', () => {
    const safe = ask('www.safe.cdn.example', 'A');
    const authority = safe.records.filter((rr) => rr.section === 'authority').map(({ type }) => type);
    expect(authority).toEqual([2, 43, 46]);
    expect(answers(ask('safe.cdn.example', 'DS')).length).toBe(1);
    const open = ask('x.sub.cdn.example', 'A');
    const nsec = open.records.find((rr) => rr.type === 47)!;
    expect(nsec.owner).toBe(wire('sub.cdn.example'));
    expect(nsecOf(nsec).types).toEqual([2, 46, 47]);
    expect(denied(ask('sub.cdn.example', 'DS'), 'sub.cdn.example', 43)).toBe('nodata');
  });

  it('between zones of ours are answered from the upper one', () => {
    const [ds] = answers(ask('child.cdn.example', 'DS'));
    const [, anchor] = anchors;
    expect(ds!.data.subarray(4).toString('hex')).toBe(dsOf(anchor!));
    expect(ds!.data.readUInt16BE(0)).toBe(tagOf(anchor!.dnskey));
    const half = createWorld({ zones: [signed[0]!, child] });
    const bytes = half.raw(query('child.cdn.example', 'DS', { edns: { dnssecOk: true } }))!;
    const message = parse(bytes);
    validate(message, anchors, Math.floor(half.time.nowMs / 1000));
    expect(denied(message, 'child.cdn.example', 43)).toBe('nodata');
  });
});

describe('keys and names', () => {
  it('take no other kind of key', () => {
    for (const pem of ['nonsense', ZoneKey.generate().replace('PRIVATE', 'PUBLIC')])
      expect(() => new ZoneKey(pem, 'key')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  it('deny one name and nothing else, however long it is', () => {
    const long = Array.from({ length: 3 }, () => 'a'.repeat(63)).join('.');
    const names = ['a.cdn.example', `${long}.${'b'.repeat(61)}`, `@.${long}.${'b'.repeat(59)}`];
    for (const name of names) {
      const owner = keyOfText(name);
      const next = Buffer.from(nameAfter(owner), 'latin1');
      expect(next.length).toBeLessThanOrEqual(255);
      expect(compareNames(Buffer.from(owner, 'latin1').toString('hex'), next.toString('hex'))).toBeLessThan(
        0,
      );
    }
    expect(Buffer.from(nsecRdata(keyOfText('a'), [1, 257])).toString('hex')).toBe(
      // \000.a, window 0 with A, RRSIG and NSEC, window 1 with CAA.
      `0100016100${'00064000000000' + '03'}${'0101' + '40'}`,
    );
  });
});
