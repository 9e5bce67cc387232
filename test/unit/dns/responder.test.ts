import { describe, expect, it } from 'vitest';
import { labelOfKey16 } from '../../../node/dns/label.ts';
import { TALLY } from '../../../node/dns/responder.ts';
import { type Asked, createWorld, heldInBoston, optionOf, query, rcodeOf, shop, subnet } from './world.ts';

const data = (answer: Asked) => (answer.answers ?? []).map((record) => record.data);
const us = subnet(1, 24, [198, 51, 100]);

describe('routed names', () => {
  const world = createWorld();

  it('are answered with the nearest PoP of the client, in both families', () => {
    expect(data(world.ask('cdn.example', 'A'))).toEqual(['192.0.2.1']);
    expect(data(world.ask('www.cdn.example', 'AAAA'))).toEqual(['2001:db8:f::1']);
    expect(data(world.ask('cdn.example', 'A', { client: '198.51.100.9' }))).toEqual(['192.0.2.2']);
    expect(data(world.ask('cdn.example', 'A', { client: '2001:db8:100::1' }))).toEqual(['192.0.2.2']);
    const { answers, flag_aa } = world.ask('cdn.example', 'A');
    expect(answers![0]).toMatchObject({ name: 'cdn.example', ttl: 30, class: 'IN' });
    expect(flag_aa).toBe(true);
  });

  it('lead to a holder when they are of one resource, and to the PoP of the site when nothing is known of it', () => {
    const held = `${labelOfKey16(heldInBoston)}.r.cdn.example`;
    expect(data(world.ask(held, 'A'))).toEqual(['192.0.2.2']);
    expect(data(world.ask(held.toUpperCase(), 'A'))).toEqual(['192.0.2.2']);
    expect(data(world.ask(`${'a'.repeat(26)}.r.cdn.example`, 'A'))).toEqual(['192.0.2.1']);
    expect(world.ask(held, 'MX')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    for (const wrong of ['short', 'b'.repeat(26), `x.${'a'.repeat(26)}`]) {
      expect(world.ask(`${wrong}.r.cdn.example`, 'A').rcode, wrong).toBe('NXDOMAIN');
    }
    expect(world.ask('r.cdn.example', 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] });
  });

  it('serve as name servers: the nearest PoP and the second nearest', () => {
    expect(data(world.ask('cdn.example', 'NS'))).toEqual(['ns1.cdn.example', 'ns2.cdn.example']);
    expect(data(world.ask('ns1.cdn.example', 'A'))).toEqual(['192.0.2.1']);
    expect(data(world.ask('ns2.cdn.example', 'A'))).toEqual(['192.0.2.2']);
    expect(data(world.ask('ns2.cdn.example', 'AAAA'))).toEqual(['2001:db8:f::2']);
  });

  it('follow the table when it is swapped', () => {
    const moving = createWorld();
    expect(data(moving.ask('cdn.example', 'A'))).toEqual(['192.0.2.1']);
    moving.rebuild({ paris: { state: 'sick' } });
    expect(data(moving.ask('cdn.example', 'A'))).toEqual(['192.0.2.2']);
    moving.rebuild({
      paris: { addresses: { v4: ['192.0.2.77', '192.0.2.78'], v6: [] } },
      boston: { state: 'drain' },
    });
    expect(data(moving.ask('cdn.example', 'A'))).toEqual(['192.0.2.77', '192.0.2.78']);
  });

  it('have no records of a family that no near PoP has, and fail when there is no PoP at all', () => {
    const none = { addresses: { v4: ['192.0.2.9'], v6: [] } };
    const answer = createWorld({ paris: none, boston: none }).ask('cdn.example', 'AAAA');
    expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(answer.authorities![0]).toMatchObject({ type: 'SOA', name: 'cdn.example' });
    const empty = createWorld({ noPops: true }).ask('cdn.example', 'A');
    expect(empty).toMatchObject({ rcode: 'SERVFAIL', answers: [], flag_aa: false });
  });

  it('are all names where the zone is the root', () => {
    const lone = createWorld({ zones: [{ name: '.', site: shop }], siteOfName: () => shop });
    for (const name of ['anything.test', 'a.b.c.d.example.com', 'com']) {
      expect(data(lone.ask(name, 'A'))).toEqual(['192.0.2.1']);
    }
    expect(lone.ask('com', 'TXT').authorities![0]).toMatchObject({ type: 'SOA' });
  });

  it('do not make the server remember every name that is asked for', () => {
    let asked = 0;
    const counting = createWorld({
      siteOfName: () => {
        asked += 1;
        return undefined;
      },
    });
    for (let i = 0; i < 20_000; i += 1) counting.raw(query(`n${i}.cdn.example`, 'A'));
    expect(asked).toBe(20_000);
    for (let i = 0; i < 50; i += 1) counting.raw(query('n19999.cdn.example', 'A'));
    expect(asked).toBe(20_000);
  });
});

describe('client subnets (RFC 7871)', () => {
  const world = createWorld();
  const scopeOf = (answer: Asked) => optionOf(answer, 8)?.[3];
  const withSubnet = (option: ReturnType<typeof subnet>, client?: string) =>
    world.ask('cdn.example', 'A', { edns: { options: [option] }, ...(client ? { client } : {}) });

  it('decide instead of the resolver, with the scope that decided', () => {
    const near = withSubnet(us);
    expect(data(near)).toEqual(['192.0.2.2']);
    expect(optionOf(near, 8)).toEqual(Buffer.from([0, 1, 24, 24, 198, 51, 100]));
    const far = withSubnet(subnet(1, 24, [203, 0, 113]), '198.51.100.9');
    expect(data(far)).toEqual(['192.0.2.1']);
    // 203.0.113.0 leaves 198.51.100.0 at the fifth bit.
    expect(scopeOf(far)).toBe(5);
    const six = withSubnet(subnet(2, 56, [0x20, 0x01, 0x0d, 0xb8, 0x01, 0, 0]));
    expect(data(six)).toEqual(['192.0.2.2']);
    expect(scopeOf(six)).toBe(40);
  });

  it('with too few bits get a scope that asks for more', () => {
    const answer = withSubnet(subnet(1, 16, [198, 51]));
    expect(scopeOf(answer)).toBeGreaterThan(16);
  });

  it('of length 0 mean the resolver itself, with scope 0', () => {
    const answer = withSubnet(subnet(1, 0, []), '198.51.100.9');
    expect(data(answer)).toEqual(['192.0.2.2']);
    expect(optionOf(answer, 8)).toEqual(Buffer.from([0, 1, 0, 0]));
  });

  it('get scope 0 where the answer is the same for all', () => {
    const at = (name: string, type: string) => world.ask(name, type, { edns: { options: [us] } });
    expect(scopeOf(at('static.cdn.example', 'A'))).toBe(0);
    expect(scopeOf(at('nothing.cdn.example', 'A'))).toBe(0);
    expect(scopeOf(at('cdn.example', 'MX'))).toBe(0);
    expect(scopeOf(at('other.example', 'A'))).toBe(0);
    expect(scopeOf(at('toward.cdn.example', 'A'))).toBe(24);
  });

  it('are not answered where they were not sent', () => {
    expect(optionOf(world.ask('cdn.example', 'A', { edns: {} }), 8)).toBeUndefined();
  });

  it.each([
    ['bits beyond the prefix', subnet(1, 20, [198, 51, 101])],
    ['too many bytes', subnet(1, 24, [198, 51, 100, 0])],
    ['too few bytes', subnet(1, 24, [198, 51])],
    ['too long a prefix', subnet(1, 33, [198, 51, 100, 1, 0])],
    ['an unknown family', subnet(3, 8, [1])],
    ['a scope in the query', subnet(1, 24, [198, 51, 100], 24)],
    ['no header', [8, Uint8Array.of(0, 1)] as const],
  ])('with %s are malformed', (_, option) => {
    expect(withSubnet(option as typeof us)).toMatchObject({ rcode: 'FORMERR', answers: [] });
  });
});

describe('static names', () => {
  const world = createWorld();

  it('have their records, with the least TTL of the set', () => {
    const answer = world.ask('static.cdn.example', 'A');
    expect(data(answer)).toEqual(['203.0.113.7', '203.0.113.8']);
    expect(answer.answers!.map(({ ttl }) => ttl)).toEqual([60, 60]);
    expect(data(world.ask('cdn.example', 'MX'))).toEqual([{ preference: 10, exchange: 'mail.cdn.example' }]);
    expect(data(world.ask('x.child.cdn.example', 'A'))).toEqual(['203.0.113.12']);
  });

  it('follow chains of aliases within our zones, to routed names too', () => {
    const chain = world.ask('alias2.cdn.example', 'A');
    expect(chain.answers!.map(({ name, type }) => [name, type])).toEqual([
      ['alias2.cdn.example', 'CNAME'],
      ['alias.cdn.example', 'CNAME'],
      ['static.cdn.example', 'A'],
      ['static.cdn.example', 'A'],
    ]);
    const routed = world.ask('toward.cdn.example', 'A', { client: '198.51.100.1' });
    expect(data(routed)).toEqual(['www.cdn.example', '192.0.2.2']);
    expect(data(world.ask('away.cdn.example', 'A'))).toEqual(['elsewhere.example.net']);
    expect(data(world.ask('alias.cdn.example', 'CNAME'))).toEqual(['static.cdn.example']);
  });

  it('end chains that dangle or turn in circles', () => {
    const dangling = world.ask('dangling.cdn.example', 'A');
    expect(dangling.rcode).toBe('NXDOMAIN');
    expect(data(dangling)).toEqual(['missing.cdn.example']);
    expect(dangling.authorities![0]).toMatchObject({ type: 'SOA', name: 'cdn.example' });
    const loop = world.ask('loop1.cdn.example', 'A');
    expect(loop.rcode).toBe('NOERROR');
    expect(data(loop)).toEqual(['loop2.cdn.example', 'loop1.cdn.example']);
  });

  it('match wildcards, which stop at names that exist', () => {
    expect(data(world.ask('x.wild.cdn.example', 'TXT'))[0]).toEqual([Buffer.from('any name')]);
    expect(world.ask('x.y.wild.cdn.example', 'TXT').answers!.length).toBe(1);
    expect(world.ask('x.wild.cdn.example', 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(world.ask('real.wild.cdn.example', 'TXT')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(world.ask('x.real.wild.cdn.example', 'TXT').rcode).toBe('NXDOMAIN');
  });

  it('exist between other names though they are empty', () => {
    expect(world.ask('b.deep.cdn.example', 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(world.ask('c.deep.cdn.example', 'A').rcode).toBe('NXDOMAIN');
  });

  it('below a delegation are referred, with the addresses of servers that lie there', () => {
    for (const name of ['sub.cdn.example', 'x.y.sub.cdn.example', 'ns.sub.cdn.example']) {
      const answer = world.ask(name, 'A');
      expect(answer).toMatchObject({ rcode: 'NOERROR', flag_aa: false, answers: [] });
      expect(answer.authorities!.map(({ name: owner, type }) => [owner, type])).toEqual([
        ['sub.cdn.example', 'NS'],
        ['sub.cdn.example', 'NS'],
      ]);
      expect(answer.additionals).toMatchObject([
        { name: 'ns.sub.cdn.example', type: 'A', data: '203.0.113.9' },
      ]);
    }
    expect(world.ask('sub.cdn.example', 'DS')).toMatchObject({ flag_aa: true, answers: [] });
  });

  it('that are not there are denied with the SOA record, its TTL bounded by its minimum', () => {
    const answer = world.ask('nothing.child.cdn.example', 'A');
    expect(answer).toMatchObject({ rcode: 'NXDOMAIN', flag_aa: true, answers: [] });
    expect(answer.authorities).toMatchObject([{ type: 'SOA', name: 'child.cdn.example', ttl: 60 }]);
  });

  it('live only as long as they were set for', () => {
    const put = (name: string, value: string, seconds: number) =>
      world.texts.put(name, value, world.time.nowMs + seconds * 1000, world.zones, world.time.nowMs);
    put('_acme-challenge.cdn.example', 'one', 60);
    put('_acme-challenge.cdn.example', 'two', 90);
    const ask = () => world.ask('_acme-challenge.cdn.example', 'TXT');
    expect(data(ask())).toEqual([[Buffer.from('one')], [Buffer.from('two')]]);
    expect(world.ask('_acme-challenge.cdn.example', 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    world.time.nowMs += 61_000;
    expect(data(ask())).toEqual([[Buffer.from('two')]]);
    expect(ask().answers![0]!.ttl).toBe(5);
    world.time.nowMs += 61_000;
    expect(ask().rcode).toBe('NXDOMAIN');
    expect(() => put('other.example', 'x', 60)).toThrow(expect.objectContaining({ code: 'RPC_PARAMS' }));
    // Below a wildcard they are names of their own, and so are the names above them, which minimising resolvers ask first.
    put('_acme-challenge.x.cname.cdn.example', 'three', 60);
    expect(data(world.ask('_acme-challenge.x.cname.cdn.example', 'TXT'))).toEqual([[Buffer.from('three')]]);
    expect(world.ask('x.cname.cdn.example', 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(data(world.ask('y.cname.cdn.example', 'A'))[0]).toBe('static.cdn.example');
    put('_acme-challenge.new.cdn.example', 'four', 60);
    expect(world.ask('new.cdn.example', 'NS')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    put('alias.cdn.example', 'five', 60);
    expect(data(world.ask('alias.cdn.example', 'TXT'))).toEqual([[Buffer.from('five')]]);
    world.time.nowMs += 61_000;
    expect(world.ask('new.cdn.example', 'NS').rcode).toBe('NXDOMAIN');
    expect(data(world.ask('x.cname.cdn.example', 'A'))[0]).toBe('static.cdn.example');
    put('a.cdn.example', 'x', 0);
    expect(world.ask('a.cdn.example', 'TXT').rcode).toBe('NXDOMAIN');
  });
});

describe('what is refused', () => {
  const world = createWorld();

  it('is a name outside our zones, another class, a transfer', () => {
    expect(world.ask('other.example', 'A')).toMatchObject({ rcode: 'REFUSED', flag_aa: false });
    expect(world.ask('example', 'A').rcode).toBe('REFUSED');
    expect(world.ask('version.bind', 'TXT', { class: 'CH' }).rcode).toBe('REFUSED');
    expect(world.ask('cdn.example', 'A', { class: 'CH' }).rcode).toBe('REFUSED');
    for (const transport of ['udp', 'tcp'] as const) {
      expect(world.ask('cdn.example', 'AXFR', { transport })).toMatchObject({
        rcode: 'REFUSED',
        answers: [],
      });
      expect(world.ask('cdn.example', 'IXFR', { transport }).rcode).toBe('REFUSED');
    }
  });

  it('is every other operation', () => {
    for (const opcode of [1, 2, 4, 5, 6, 15]) {
      const bytes = query('cdn.example', 'A', { flags: opcode << 11 });
      const answer = world.raw(bytes)!;
      expect(answer[3]! & 15).toBe(4);
      expect((answer[2]! >> 3) & 15).toBe(opcode);
    }
    // MAILB, a type for questions only.
    const bytes = query('cdn.example', 'A');
    bytes.writeUInt16BE(253, bytes.length - 4);
    expect(world.raw(bytes)![3]! & 15).toBe(4);
  });

  it('is everything at once: one small record instead (RFC 8482)', () => {
    const answer = world.ask('cdn.example', 'ANY');
    expect(answer.answers).toMatchObject([{ type: 'HINFO', data: { cpu: 'RFC8482', os: '' } }]);
    expect(world.ask('nothing.cdn.example', 'ANY').rcode).toBe('NXDOMAIN');
  });
});

describe('the form of an answer', () => {
  const world = createWorld();

  it('keeps id, case of the question, RD and CD, and offers no recursion', () => {
    const answer = world.ask('CdN.eXaMpLe', 'A', { flags: 0x0110 });
    expect(answer.questions![0]!.name).toBe('CdN.eXaMpLe');
    expect(answer.answers![0]!.name).toBe('CdN.eXaMpLe');
    expect(answer).toMatchObject({
      id: 4711,
      type: 'response',
      flag_rd: true,
      flag_ra: false,
      flag_cd: true,
      flag_ad: false,
    });
    expect(world.ask('cdn.example', 'A')).toMatchObject({ flag_rd: false, flag_cd: false });
  });

  it('is cut with TC when it does not fit, to 512 bytes without EDNS, and whole by TCP', () => {
    const plain = world.ask('long.cdn.example', 'TXT');
    expect(plain).toMatchObject({ flag_tc: true, answers: [] });
    expect(plain.bytes.length).toBeLessThan(512);
    const offered = world.ask('long.cdn.example', 'TXT', { edns: { size: 65_535 } });
    expect(offered).toMatchObject({ flag_tc: true, answers: [] });
    expect(world.ask('long.cdn.example', 'TXT', { transport: 'tcp' }).answers!.length).toBe(60);
    // Sizes below 512 count as 512 (RFC 6891 §6.2.3).
    expect(world.ask('static.cdn.example', 'A', { edns: { size: 20 } })).toMatchObject({ flag_tc: false });
  });

  it('has OPT exactly when the query has it, with our size and the DO bit as it came', () => {
    expect(world.ask('cdn.example', 'A').additionals).toEqual([]);
    const [opt] = world.ask('cdn.example', 'A', { edns: { dnssecOk: true } }).additionals!;
    expect(opt).toMatchObject({
      type: 'OPT',
      name: '.',
      udpPayloadSize: 1232,
      ednsVersion: 0,
      flag_do: true,
      options: [],
    });
    expect(world.ask('other.example', 'A', { edns: {} }).additionals!.length).toBe(1);
  });

  it('says BADVERS to versions of EDNS to come, and passes over options that it does not know', () => {
    const bytes = world.raw(query('cdn.example', 'A', { edns: { version: 1 } }))!;
    expect(rcodeOf(bytes)).toBe(16);
    expect(
      data(world.ask('cdn.example', 'A', { edns: { options: [[65001, Uint8Array.of(1, 2)]] } })),
    ).toEqual(['192.0.2.1']);
  });

  it('names the server to who asks (RFC 5001), and the patience of its TCP side (RFC 7828)', () => {
    const asked = {
      edns: {
        options: [
          [3, new Uint8Array(0)],
          [11, new Uint8Array(0)],
        ] as const,
      },
    };
    expect(optionOf(world.ask('cdn.example', 'A', asked), 3)?.toString()).toBe('pop-1');
    expect(optionOf(world.ask('cdn.example', 'A', asked), 11)).toBeUndefined();
    expect(optionOf(world.ask('cdn.example', 'A', { ...asked, transport: 'tcp' }), 11)).toEqual(
      Buffer.from([0, 100]),
    );
  });

  it('is never longer than a few times the query, and errors are never longer at all', () => {
    for (const [name, type] of [
      ['cdn.example', 'A'],
      ['cdn.example', 'ANY'],
      ['long.cdn.example', 'TXT'],
      ['nothing.cdn.example', 'A'],
      ['sub.cdn.example', 'A'],
    ] as const) {
      const asked = query(name, type, { edns: { size: 4096 } });
      expect(world.raw(asked)!.length / asked.length, `${name} ${type}`).toBeLessThan(3);
    }
    for (const asked of [
      query('other.example', 'A'),
      query('cdn.example', 'AXFR'),
      query('x.example', 'A', { edns: {} }),
    ]) {
      expect(world.raw(asked)!.length).toBeLessThanOrEqual(asked.length);
    }
  });
});

describe('malformed packets', () => {
  const world = createWorld();
  const good = query('cdn.example', 'A', { edns: { options: [us] } });
  const rcode = (bytes: Uint8Array) => {
    const answer = world.raw(bytes);
    return answer && answer[3]! & 15;
  };

  it('that cannot be answered or are answers themselves are dropped and counted', () => {
    const before = world.responder.tally[TALLY.malformed]!;
    for (let length = 0; length < 12; length += 1) expect(rcode(good.subarray(0, length))).toBeUndefined();
    const answer = Buffer.from(good);
    answer[2]! |= 0x80;
    expect(rcode(answer)).toBeUndefined();
    expect(world.responder.tally[TALLY.malformed]! - before).toBe(13);
  });

  it('cut short anywhere, or with bytes behind them, are format errors', () => {
    for (let length = 12; length < good.length; length += 1)
      expect(rcode(good.subarray(0, length)), `${length}`).toBe(1);
    expect(rcode(Buffer.concat([good, Buffer.alloc(1)]))).toBe(1);
    expect(rcode(good)).toBe(0);
  });

  it('with counts that no query has are format errors', () => {
    const counted = (at: number, value: number) => {
      const bytes = Buffer.from(good);
      bytes.writeUInt16BE(value, at);
      return rcode(bytes);
    };
    expect(counted(4, 0)).toBe(1);
    expect(counted(4, 2)).toBe(1);
    expect(counted(4, 65_535)).toBe(1);
    expect(counted(6, 1)).toBe(1);
    expect(counted(8, 1)).toBe(1);
    expect(counted(10, 65_535)).toBe(1);
  });

  it('with pointers, long labels or long names in the question are format errors', () => {
    const named = (name: readonly number[]) =>
      rcode(Buffer.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 1, 0, 1]));
    const label = (length: number) => [length, ...new Array<number>(length).fill(97)];
    expect(named([0xc0, 12])).toBe(1);
    expect(named([1, 97, 0xc0, 12])).toBe(1);
    expect(named([...label(64), 0])).toBe(1);
    expect(named([...label(63), ...label(63), ...label(63), ...label(61), 0])).toBe(5);
    expect(named([...label(63), ...label(63), ...label(63), ...label(62), 0])).toBe(1);
    expect(named([0])).toBe(5);
  });

  it('with two OPT records, or one that is not at the root, are format errors', () => {
    const opt = good.subarray(good.length - 22);
    const twice = Buffer.concat([good, opt]);
    twice.writeUInt16BE(2, 10);
    expect(rcode(twice)).toBe(1);
    const named = Buffer.concat([good.subarray(0, good.length - 22), Buffer.from([1, 97]), opt]);
    expect(rcode(named)).toBe(1);
  });

  it('with a signature that cannot be checked are not authorised', () => {
    const tsig = Buffer.from([0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
    const bytes = Buffer.concat([query('cdn.example', 'A'), tsig]);
    bytes.writeUInt16BE(1, 10);
    expect(rcode(bytes)).toBe(9);
  });
});
