import fc from 'fast-check';
import { expect, test } from 'vitest';
import { codeOf } from '../../../protocol/errors.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { decodeSummary, encodeSummary, summaryBytesMax } from '../../../protocol/messages/summary.ts';
import { type ClientBits, clientsOf, judgeSummary, type Summary } from '../../../protocol/summary.ts';

const POP = `12D3KooW${'A'.repeat(44)}` as PopId;
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const key16 = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex') as Key16);

const resource = fc.record({
  key16,
  site: fc.constantFrom('one', 'two').map((site) => site as SiteId),
  size: fc.integer({ min: 0, max: 2 ** 40 }),
  kind: fc.integer({ min: 0, max: 9 }),
  group: fc.integer({ min: 0, max: 0xffff }),
  clients: fc.tuple(uint32, uint32),
  regions: fc.uniqueArray(
    fc.record({
      region: fc.constantFrom('eu', 'us', 'asia').map((region) => region as RegionId),
      count: fc.integer({ min: 1, max: 1_000_000 }),
      bytes: fc.integer({ min: 0, max: 1_000_000 }).map((kib) => kib * 1024),
    }),
    { selector: (row) => row.region, minLength: 1, maxLength: 3 },
  ),
});

const summary: fc.Arbitrary<Summary> = fc
  .record({
    resources: fc.uniqueArray(resource, { selector: (row) => row.key16, maxLength: 60 }),
    pairs: fc.array(fc.tuple(fc.nat(59), fc.nat(59), fc.integer({ min: 1, max: 1000 })), { maxLength: 60 }),
    from: fc.integer({ min: 0, max: 4e12 }),
    length: fc.integer({ min: 1, max: 3_600_000 }),
    capacities: fc.record({
      storageBudgetMiB: uint32,
      storageFreeMiB: uint32,
      fillKiBps: uint32,
      load: fc.integer({ min: 0, max: 15 }),
      state: fc.constantFrom('up' as const, 'drain' as const, 'sick' as const),
    }),
    worth: fc.record({ mirroredKiB: uint32, usedKiB: uint32, unusedKiB: uint32, promisedKiB: uint32 }),
  })
  .map(({ resources, pairs, from, length, capacities, worth }) => {
    const requests = resources.reduce((sum, row) => sum + row.regions.reduce((n, d) => n + d.count, 0), 0);
    return {
      pop: POP,
      sequence: 7,
      from,
      to: from + length,
      requests,
      bytes: 0,
      tail: { requests: 0, bytes: 0 },
      capacities,
      worth,
      resources,
      companions: pairs.filter(([a, b]) => a < resources.length && b < resources.length),
    };
  });

test('a summary comes back as it was sent', () => {
  fc.assert(
    fc.property(summary, (sent) => {
      expect(decodeSummary(encodeSummary(sent, 5))).toEqual(sent);
    }),
  );
});

test('in a large cluster the least is cut, moved to the tail, and the size holds', () => {
  const resources = Array.from({ length: 3000 }, (_, i) => ({
    key16: i.toString(16).padStart(32, '0') as Key16,
    site: 'one' as SiteId,
    size: 10_000 + i,
    kind: 2,
    group: i % 500,
    clients: [i, i] as const,
    regions: [{ region: 'eu' as RegionId, count: 3000 - i, bytes: 1024 }],
  }));
  const requests = resources.reduce((sum, row) => sum + row.regions[0]!.count, 0);
  const companions = Array.from({ length: 6000 }, (_, i) => [i % 3000, (i * 7) % 3000, 1] as const);
  const full: Summary = {
    pop: POP,
    sequence: 1,
    from: 0,
    to: 30_000,
    requests,
    bytes: 0,
    tail: { requests: 5, bytes: 0 },
    capacities: { storageBudgetMiB: 1, storageFreeMiB: 1, fillKiBps: 1, load: 0, state: 'up' },
    worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
    resources,
    companions,
  };
  for (const pops of [1, 5, 128, 300, 1000]) {
    const bytes = encodeSummary(full, pops);
    expect(bytes.length).toBeLessThanOrEqual(summaryBytesMax(pops));
    expect(bytes.length).toBeGreaterThan(summaryBytesMax(pops) * 0.8);
    const heard = decodeSummary(bytes);
    expect(heard.resources.map((row) => row.key16)).toEqual(
      resources.slice(0, heard.resources.length).map((row) => row.key16),
    );
    const kept = heard.resources.reduce((sum, row) => sum + row.regions[0]!.count, 0);
    expect(heard.tail.requests).toBe(requests + 5 - kept);
    expect(heard.companions.every(([a, b]) => a < heard.resources.length && b < heard.resources.length)).toBe(
      true,
    );
  }
});

test('garbage, truncated and altered summaries fail with a coded error', () => {
  fc.assert(
    fc.property(summary, fc.nat(), fc.integer({ min: 0, max: 255 }), (sent, at, byte) => {
      const bytes = encodeSummary(sent, 5);
      const cut = bytes.slice(0, at % bytes.length);
      expect(() => decodeSummary(cut)).toThrowError();
      const altered = bytes.slice();
      altered[at % altered.length] = byte;
      try {
        decodeSummary(altered);
      } catch (error) {
        expect(codeOf(error)).toMatch(/^WIRE_/);
      }
    }),
  );
});

test('a summary that speaks for another, goes back or runs ahead is refused', () => {
  fc.assert(
    fc.property(summary, (sent) => {
      const now = sent.to;
      expect(judgeSummary(sent, POP, undefined, now)).toBeUndefined();
      expect(judgeSummary(sent, `12D3KooW${'B'.repeat(44)}` as PopId, undefined, now)).toBe('WIRE_ORIGIN');
      expect(judgeSummary(sent, POP, { sequence: 7, to: sent.from }, now)).toBe('WIRE_STALE');
      expect(judgeSummary(sent, POP, { sequence: 6, to: sent.from + 1 }, now)).toBe('WIRE_STALE');
      expect(judgeSummary(sent, POP, { sequence: 6, to: sent.from }, now)).toBeUndefined();
      expect(judgeSummary(sent, POP, undefined, now - 3_600_000)).toBe('WIRE_FUTURE');
    }),
  );
});

test('linear counting: the table is 64 ln(64 / empty)', () => {
  for (let full = 0; full <= 64; full += 1) {
    const bits: ClientBits = [
      full >= 32 ? 0xffffffff : 2 ** full - 1,
      full > 32 ? (full === 64 ? 0xffffffff : 2 ** (full - 32) - 1) : 0,
    ];
    const empty = Math.max(1, 64 - full);
    expect(Math.abs(clientsOf(bits) - 64 * Math.log(64 / empty))).toBeLessThanOrEqual(1);
  }
});
