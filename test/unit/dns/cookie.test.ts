import { describe, expect, it } from 'vitest';
import { addressBytes } from '../../../node/dns/address.ts';
import { COOKIE_BYTES, Cookies } from '../../../node/dns/cookie.ts';
import { RateLimit } from '../../../node/dns/rate-limit.ts';
import { sipHash24 } from '../../../node/dns/siphash.ts';
import { createWorld, optionOf, query } from './world.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

describe('SipHash-2-4', () => {
  it('gives the values of its reference implementation', () => {
    const key = Uint32Array.from([0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c]);
    const input = Uint8Array.from({ length: 64 }, (_, i) => i);
    const at = (length: number) =>
      [...sipHash24(key, input, length)]
        .map((word) => word.toString(16).padStart(8, '0'))
        .reverse()
        .join('');
    expect(at(0)).toBe('726fdb47dd0e0e31');
    expect(at(1)).toBe('74f839c593dc67fd');
    expect(at(7)).toBe('ab0200f58b01d137');
    expect(at(8)).toBe('93f5f5799a932462');
    expect(at(15)).toBe('a129ca6149be45e5');
    expect(at(63)).toBe('958a324ceb064572');
  });
});

describe('DNS cookies', () => {
  it('are those of RFC 9018 appendix A.1', () => {
    const cookies = new Cookies(hex('e5e973e5a6b2a43f48e7dc849e37bfcf'));
    const out = new Uint8Array(COOKIE_BYTES);
    const client = addressBytes('198.51.100.100')!;
    cookies.write(out, 0, hex('2464c4abcf10c957'), 0, client, 1_559_731_985);
    expect(Buffer.from(out).toString('hex')).toBe('2464c4abcf10c957010000005cf79f111f8130c3eee29480');
    expect(cookies.valid(out, 0, COOKIE_BYTES, client, 1_559_731_985 + 1800)).toBe(true);
  });

  it('hold for one client and one hour', () => {
    const cookies = new Cookies(hex('e5e973e5a6b2a43f48e7dc849e37bfcf'));
    const out = new Uint8Array(COOKIE_BYTES);
    const client = addressBytes('2001:db8::1')!;
    cookies.write(out, 0, hex('0102030405060708'), 0, client, 10_000);
    const valid = (at: number, from = client) => cookies.valid(out, 0, COOKIE_BYTES, from, at);
    expect(valid(10_000)).toBe(true);
    expect(valid(13_600)).toBe(true);
    expect(valid(13_601)).toBe(false);
    expect(valid(9_600)).toBe(false);
    expect(valid(10_000, addressBytes('2001:db8::2')!)).toBe(false);
    for (let i = 0; i < COOKIE_BYTES; i += 1) {
      const forged = Uint8Array.from(out);
      forged[i]! ^= 1;
      // The reserved bytes are hashed as they came (RFC 9018 §4.2), the others decide directly.
      expect(cookies.valid(forged, 0, COOKIE_BYTES, client, 10_000), `byte ${i}`).toBe(false);
    }
    expect(cookies.valid(out, 0, 16, client, 10_000)).toBe(false);
  });

  it('are given to who sends a client cookie, and are not longer than they may be', () => {
    const world = createWorld();
    const ask = (data: Uint8Array) => world.ask('cdn.example', 'A', { edns: { options: [[10, data]] } });
    const given = optionOf(ask(hex('0102030405060708')), 10)!;
    expect(given.length).toBe(24);
    expect(given.subarray(0, 8).toString('hex')).toBe('0102030405060708');
    for (const length of [0, 1, 7, 9, 15, 41])
      expect(ask(Buffer.alloc(length)).rcode, `${length}`).toBe('FORMERR');
    expect(ask(Buffer.alloc(40)).rcode).toBe('NOERROR');
    // A question for nothing but a cookie (RFC 7873 §5.4).
    const bare = query('x', 'A', { edns: { options: [[10, hex('0102030405060708')]] } });
    const bytes = Buffer.concat([bare.subarray(0, 12), bare.subarray(12 + 3 + 4)]);
    bytes.writeUInt16BE(0, 4);
    const answer = world.raw(bytes)!;
    expect(answer[3]! & 15).toBe(0);
    expect(answer.length).toBe(12 + 11 + 4 + 24);
  });
});

describe('response rate limiting', () => {
  const limits = { answersPerSecond: 10, errorsPerSecond: 2, slip: 2 };

  it('drops answers beyond the rate of a client prefix, and cuts every second one', () => {
    const world = createWorld({ rateLimit: limits });
    const outcome = (name = 'cdn.example', client = '203.0.113.5') => {
      const answer = world.raw(query(name, 'A'), client);
      if (!answer) return 'none';
      return answer[2]! & 2 ? 'cut' : 'sent';
    };
    expect(Array.from({ length: 10 }, () => outcome())).toEqual(new Array(10).fill('sent'));
    expect(Array.from({ length: 4 }, (_, i) => outcome('cdn.example', `203.0.113.${i}`))).toEqual([
      'none',
      'cut',
      'none',
      'cut',
    ]);
    expect(outcome('cdn.example', '203.0.114.1')).toBe('sent');
    world.time.nowMs += 100;
    expect(outcome()).toBe('sent');
    expect(outcome()).toBe('none');
    expect(
      ['x.cdn.example', 'y.cdn.example', 'z.other.example'].map((name) => outcome(name, '203.0.115.1')),
    ).toEqual(['sent', 'sent', 'cut']);
  });

  it('spares TCP, valid cookies and the machine itself', () => {
    const world = createWorld({ rateLimit: limits });
    const cookie = optionOf(
      world.ask('cdn.example', 'A', { edns: { options: [[10, hex('0102030405060708')]] } }),
      10,
    )!;
    const trusted = query('cdn.example', 'A', { edns: { options: [[10, cookie]] } });
    const forged = query('cdn.example', 'A', {
      edns: { options: [[10, hex('01020304050607080100000000000000ffffffffffffffff')]] },
    });
    let refused = 0;
    for (let i = 0; i < 40; i += 1) {
      expect(world.raw(trusted)![2]! & 2).toBe(0);
      expect(world.raw(query('cdn.example', 'A'), '203.0.113.50', 'tcp')![2]! & 2).toBe(0);
      expect(world.raw(query('cdn.example', 'A'), '127.0.0.1')![2]! & 2).toBe(0);
      expect(world.raw(query('cdn.example', 'A'), '::1')![2]! & 2).toBe(0);
      const answer = world.raw(forged);
      if (!answer || answer[2]! & 2) refused += 1;
    }
    expect(refused).toBeGreaterThan(20);
  });

  it('is off at rate 0', () => {
    const limit = new RateLimit({ answersPerSecond: 0, errorsPerSecond: 0, slip: 0 }, 1);
    for (let i = 0; i < 1000; i += 1)
      expect(limit.judge(Uint8Array.of(203, 0, 113, 1), i % 2 === 0, 5)).toBe('send');
  });
});
