import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  aggregate,
  agreedReading,
  type Panel,
  TrimmedMedian,
  type Voice,
} from '../../../protocol/aggregation.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { cell, entry, proposal, REGIONS, randomProposal, SITES } from './cluster.ts';

const value = fc.integer({ min: 0, max: 0x7fff_ffff });
const weight = fc.integer({ min: 1, max: 1000 });
const everybody = (liars: number): Panel => ({ liars, speakers: () => undefined });

interface Said {
  readonly value: number;
  readonly weight: number;
  readonly slot: number;
}

/** The rule, as it is written down. */
function asSpecified(said: readonly Said[], b: number): number {
  const list = [...said];
  for (let pad = 0; list.length < 2 * b + 1; pad += 1) list.push({ value: 0, weight: 1, slot: 10_000 + pad });
  list.sort((x, y) => x.value - y.value || x.slot - y.slot);
  const kept = list.slice(b, list.length - b);
  const total = kept.reduce((sum, one) => sum + one.weight, 0);
  let sum = 0;
  for (const one of kept) {
    sum += one.weight;
    if (2 * sum >= total) return one.value;
  }
  return 0;
}

const medianOf = (said: readonly Said[], liars: number): number => {
  const median = new TrimmedMedian();
  for (const one of said) median.add(one.value, one.weight, one.slot);
  return median.take(liars);
};

describe('the trimmed median', () => {
  const small = fc.oneof(fc.integer({ min: 0, max: 3 }), value);
  const lists = fc.array(fc.tuple(small, weight), { maxLength: 24 });

  test('is the one that is specified, in any order of arrival', () => {
    fc.assert(
      fc.property(lists, fc.integer({ min: 0, max: 8 }), fc.integer(), (pairs, liars, shuffle) => {
        const said = pairs.map(([v, w], slot) => ({ value: v, weight: w, slot }));
        const random = seededRandom(shuffle);
        const shuffled = said
          .map((one) => ({ one, at: random.uint32() }))
          .sort((x, y) => x.at - y.at)
          .map(({ one }) => one);
        expect(medianOf(said, liars)).toBe(asSpecified(said, liars));
        expect(medianOf(shuffled, liars)).toBe(asSpecified(said, liars));
      }),
      { numRuns: 500 },
    );
  });

  test('lies within what honest PoPs said, whatever liars say and weigh', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 31 }).chain((n) => {
          const { liars } = quorumOf(n);
          return fc.tuple(
            fc.array(fc.tuple(value, weight), { minLength: n - liars, maxLength: n - liars }),
            fc.array(fc.tuple(small, weight), { minLength: 0, maxLength: liars }),
            fc.constant(liars),
            fc.integer(),
          );
        }),
        ([honest, lies, liars, shuffle]) => {
          const random = seededRandom(shuffle);
          const slots = [...honest.keys(), ...lies.map((_, i) => honest.length + i)]
            .map((slot) => ({ slot, at: random.uint32() }))
            .sort((x, y) => x.at - y.at);
          const said = [...honest, ...lies].map(([v, w], i) => ({
            value: v,
            weight: w,
            slot: slots[i]!.slot,
          }));
          const result = medianOf(said, liars);
          const values = honest.map(([v]) => v);
          expect(result).toBeGreaterThanOrEqual(Math.min(...values));
          expect(result).toBeLessThanOrEqual(Math.max(...values));
        },
      ),
      { numRuns: 500 },
    );
  });
});

const voicesOf = (seed: number, size: number): Voice[] => {
  const random = seededRandom(seed);
  return Array.from({ length: size }, (_, slot) => ({
    slot,
    weight: 1 + (random.uint32() % 1000),
    proposal: randomProposal(random, 1),
  }));
};

test('the aggregate is within the honest range in every coordinate, whatever up to b liars propose', () => {
  const coordinates = ['next', 'mean', 'upper', 'observed', 'chance', 'credit', 'held', 'holder'] as const;
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(4, 7, 10, 13), fc.boolean(), (seed, size, wild) => {
      const { liars } = quorumOf(size);
      const voices = voicesOf(seed, size);
      const lied = voices.map((voice) => {
        if (voice.slot >= liars) return voice;
        const entries = voice.proposal.entries.map((one) => ({
          ...one,
          sizeClass: wild ? 319 : 0,
          cells: REGIONS.map((region) =>
            cell(
              region,
              wild ? { next: 0x7fff_ffff, mean: 0x7fff_ffff, observed: 0 } : { next: 0, mean: 0, credit: 0 },
            ),
          ),
        }));
        return { ...voice, weight: 1000, proposal: { ...voice.proposal, entries } };
      });
      const honest = lied.slice(liars);
      for (const { key16, cells } of aggregate(lied, everybody(liars))) {
        for (const one of cells) {
          const values = honest.map(({ proposal: p }) =>
            p.entries.find((e) => e.key16 === key16)?.cells.find((c) => c.region === one.region),
          );
          for (const name of coordinates) {
            const said = values.map((v) => v?.[name] ?? 0);
            expect(one[name]).toBeGreaterThanOrEqual(Math.min(...said));
            expect(one[name]).toBeLessThanOrEqual(Math.max(...said));
          }
        }
      }
    }),
    { numRuns: 40 },
  );
});

test('every coordinate of the aggregate is the median of those who list it', () => {
  const coordinates = ['next', 'mean', 'upper', 'observed', 'chance', 'credit', 'held', 'holder'] as const;
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(1, 4, 7, 13), fc.boolean(), (seed, size, alike) => {
      const { liars } = quorumOf(size);
      const voices = voicesOf(seed, size).map((voice, _, all) =>
        alike && voice.slot > liars ? { ...voice, proposal: all[0]!.proposal } : voice,
      );
      const agreed = new Map(aggregate(voices, everybody(liars)).map((one) => [one.key16, one]));
      for (const key16 of new Set(voices.flatMap(({ proposal: p }) => p.entries.map((e) => e.key16)))) {
        for (const region of REGIONS) {
          const listed = voices.flatMap(({ slot, weight: w, proposal: p }) => {
            const found = p.entries.find((e) => e.key16 === key16)?.cells.find((c) => c.region === region);
            return found === undefined ? [] : [{ slot, weight: w, cell: found }];
          });
          const result = agreed.get(key16)?.cells.find((c) => c.region === region);
          for (const name of coordinates) {
            const said = listed.map(({ slot, weight: w, cell: c }) => ({ slot, weight: w, value: c[name] }));
            expect(result?.[name] ?? 0).toBe(asSpecified(said, liars));
          }
        }
      }
    }),
    { numRuns: 20 },
  );
});

test('order of arrival does not matter', () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(1, 4, 7), (seed, size) => {
      const voices = voicesOf(seed, size);
      const { liars } = quorumOf(size);
      expect(aggregate([...voices].reverse(), everybody(liars))).toEqual(aggregate(voices, everybody(liars)));
    }),
    { numRuns: 30 },
  );
});

test('what no more than b PoPs list vanishes; one more, and it is there', () => {
  fc.assert(
    fc.property(fc.constantFrom(4, 5, 7, 10, 13, 30), fc.integer({ min: 0, max: 12 }), (size, listers) => {
      const { liars } = quorumOf(size);
      const listing = Math.min(listers, size);
      const voices = Array.from({ length: size }, (_, slot) => ({
        ...{ slot, weight: 1000 },
        proposal: proposal({ entries: slot < listing ? [entry(1, [cell(REGIONS[0]!)])] : [] }),
      }));
      const agreed = aggregate(voices, everybody(liars));
      expect(agreed.length).toBe(listing > liars ? 1 : 0);
    }),
    { numRuns: 60 },
  );
});

test('a wrong site by up to b liars does not stand, and what they say of the resource does not count', () => {
  const voices = Array.from({ length: 7 }, (_, slot) => ({
    ...{ slot, weight: 500 },
    proposal: proposal({
      entries: [
        slot < 2
          ? entry(1, [cell(REGIONS[0]!, { mean: 0x7fff_ffff })], { site: SITES[1]!, sizeClass: 1 })
          : entry(1, [cell(REGIONS[0]!)]),
      ],
    }),
  }));
  const [agreed] = aggregate(voices, everybody(2));
  expect(agreed).toMatchObject({ site: SITES[0], sizeClass: 120 });
  expect(agreed?.cells[0]?.mean).toBe(20_000);
});

test('only those who speak on a key are heard on it', () => {
  const voices = Array.from({ length: 20 }, (_, slot) => ({
    ...{ slot, weight: 500 },
    proposal: proposal({ entries: [entry(1, [cell(REGIONS[0]!, { mean: slot < 13 ? 100 : 900 })])] }),
  }));
  const panel: Panel = { liars: 4, speakers: () => Array.from({ length: 13 }, (_, slot) => slot) };
  expect(aggregate(voices, panel)[0]?.cells[0]?.mean).toBe(100);
});

test('a clock is agreed only when enough speak to trim the liars', () => {
  const voices = [5, 900, 7].map((at, slot) => ({ slot, weight: 1, proposal: proposal({ at }) }));
  expect(agreedReading(voices, 1, ({ at }) => at)).toBe(7);
  expect(agreedReading(voices.slice(0, 2), 1, ({ at }) => at)).toBeUndefined();
});
