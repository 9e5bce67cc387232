import { expect, test } from 'vitest';
import type { ContentHash, Key16, PopId, RegionId } from '../../../protocol/ids.ts';
import { decodeRising, encodeRising } from '../../../protocol/messages/rising.ts';
import { TOPICS } from '../../../protocol/ports.ts';
import { rendezvous } from '../../../protocol/rendezvous.ts';
import {
  type Rising,
  type RisingContext,
  SPECULATIVE_EPOCHS,
  Speculation,
} from '../../../protocol/rising.ts';

const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;
const POP = `12D3KooW${'A'.repeat(44)}` as PopId;
const LIAR = `12D3KooW${'B'.repeat(44)}` as PopId;
const report = (n: number, more: Partial<Rising> = {}): Rising => ({
  key16: key(n),
  content: 'c'.repeat(64) as ContentHash,
  fence: new Map([[POP, 3]]),
  size: 100_000,
  region: 'eu' as RegionId,
  count: 9,
  expected: 50_000,
  ...more,
});
const context = (more: Partial<RisingContext> = {}): RisingContext => ({
  now: 0,
  epoch: 1,
  fillKiBps: 10_240,
  storageBudgetMiB: 1000,
  weight: 1000,
  pops: 5,
  held: false,
  ...more,
});

test('a message comes back as it was sent; what does not fit is left out', () => {
  const sent = [report(1), report(2, { fence: new Map() })];
  expect(decodeRising(encodeRising(sent))).toEqual(sent);
  const wide = new Map(
    Array.from({ length: 100 }, (_, i) => [
      `12D3KooW${String(i + 100)
        .replaceAll('0', 'z')
        .padStart(44, 'C')}` as PopId,
      i,
    ]),
  );
  const many = encodeRising(Array.from({ length: 32 }, (_, i) => report(i, { fence: wide })));
  expect(many.length).toBeLessThanOrEqual(TOPICS.rising.maxBytes);
  expect(decodeRising(many).length).toBeGreaterThan(0);
  expect(() => decodeRising(many.slice(1))).toThrowError(/./);
});

test('a believed report is followed once', () => {
  const speculation = new Speculation();
  expect(speculation.judge(report(1), POP, context({ held: true }))).toBe('held');
  expect(speculation.judge(report(1, { expected: 2_000 }), POP, context())).toBe('weak');
  expect(speculation.judge(report(1), POP, context())).toBe('pull');
  expect(speculation.judge(report(1), POP, context())).toBe('held');
  expect(speculation.bytes).toBe(100_000);
});

test('a reporter is limited, the less it is believed the more, and not at the cost of others', () => {
  const speculation = new Speculation();
  const small = (n: number) => report(n, { size: 10 });
  const taken = (reporter: PopId, weight: number, from: number) => {
    let count = 0;
    for (let n = from; n < from + 40; n += 1) {
      if (speculation.judge(small(n), reporter, context({ weight })) === 'pull') count += 1;
    }
    return count;
  };
  expect(taken(LIAR, 100, 0)).toBe(1);
  expect(taken(POP, 1000, 100)).toBe(16);
  expect(speculation.judge(small(500), POP, context({ epoch: 2 }))).toBe('pull');
});

test('at most a tenth of the fill rate and a twentieth of the storage', () => {
  const speculation = new Speculation();
  let bytes = 0;
  for (let second = 0; second < 100; second += 1) {
    for (let n = 0; n < 40; n += 1) {
      const more = { now: second * 1000, epoch: second };
      if (speculation.judge(report(second * 100 + n), POP, context(more)) === 'pull') bytes += 100_000;
    }
  }
  // Ten seconds' burst and a hundred seconds at 1 MiB/s, but 50 MiB in all.
  expect(bytes).toBeLessThanOrEqual(50 << 20);
  expect(bytes).toBeGreaterThan(45 << 20);
  expect(speculation.judge(report(999_999), POP, context({ now: 1e6, epoch: 1e6 }))).toBe('storage-limit');
  const slow = new Speculation();
  expect(slow.judge(report(1, { size: 11 << 20 }), POP, context())).toBe('fill-limit');
});

test('what the plan does not list is released after three epochs', () => {
  const speculation = new Speculation();
  speculation.judge(report(1), POP, context());
  speculation.judge(report(2), POP, context());
  expect(speculation.expired(SPECULATIVE_EPOCHS, () => false)).toEqual([]);
  expect(speculation.expired(1 + SPECULATIVE_EPOCHS, (key16) => key16 === key(1))).toEqual([
    { key16: key(2), reporter: POP },
  ]);
  expect(speculation.bytes).toBe(0);
});

test('rendezvous: an even split, and losing a candidate moves its keys alone', () => {
  const pops = Array.from({ length: 10 }, (_, i) => `pop-${i}`);
  const counts = new Map<string, number>();
  for (let n = 0; n < 10_000; n += 1) {
    const ranked = rendezvous(key(n), pops);
    const without = rendezvous(
      key(n),
      pops.filter((pop) => pop !== 'pop-3'),
    );
    expect(without).toEqual(ranked.filter((pop) => pop !== 'pop-3'));
    counts.set(ranked[0]!, (counts.get(ranked[0]!) ?? 0) + 1);
  }
  for (const pop of pops) expect(Math.abs(counts.get(pop)! - 1000)).toBeLessThan(150);
});
