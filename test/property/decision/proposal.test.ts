import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bodyLimit } from '../../../protocol/agreement-bodies.ts';
import { committeesOf, type DecidedState } from '../../../protocol/decided-state.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { RegionId, SiteId } from '../../../protocol/ids.ts';
import {
  decodeProposal,
  encodeProposal,
  type Proposal,
  type ProposalCell,
  proposalBytesMax,
} from '../../../protocol/proposal.ts';
import { buildProposal, type ProposalView } from '../../../protocol/proposal-builder.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { NO_SAMPLE, type Sample } from '../../../protocol/scoring.ts';
import { SIZE_CLASS_MAX, sizeClassOf, sizeOfClass } from '../../../protocol/size-class.ts';
import { encode } from '../../../protocol/wire/codec.ts';
import {
  cell,
  entry,
  key16,
  originOf,
  proposal,
  REGIONS,
  randomProposal,
  SITES,
  START,
  WINDOW,
} from './cluster.ts';

const value = fc.integer({ min: 0, max: 0x7fff_ffff });
const thousandths = fc.integer({ min: 0, max: 1000 });
const bit = fc.integer({ min: 0, max: 1 });
const region = fc.constantFrom<RegionId>(...REGIONS);
const site = fc.constantFrom<SiteId>(...SITES);
const byRegion = (a: ProposalCell, b: ProposalCell) => (a.region < b.region ? -1 : 1);
const cells = fc
  .uniqueArray(
    fc.record({
      ...{ region, next: value, mean: value, upper: value, observed: value },
      ...{ chance: thousandths, credit: thousandths, held: bit, holder: bit },
    }),
    { selector: (one) => one.region, maxLength: 4 },
  )
  .map((list) => list.sort(byRegion));
const entries = fc.uniqueArray(
  fc.record({
    key16: fc.integer({ min: 0, max: 1000 }).map(key16),
    site,
    sizeClass: fc.integer({ min: 0, max: SIZE_CLASS_MAX }),
    cells,
  }),
  { selector: (one) => one.key16, maxLength: 20 },
);
const bodies: fc.Arbitrary<Proposal> = fc
  .record({
    entries,
    at: fc.maxSafeNat(),
    window: fc.maxSafeNat(),
    windowMs: fc.integer({ min: 1, max: 0x7fff_ffff }),
    rulesMin: fc.integer({ min: 1, max: 3 }),
    rulesMax: fc.integer({ min: 3, max: 9 }),
    cap: fc.record({
      ...{ storageBudgetMiB: value, fillKiBps: value, load: fc.integer({ min: 0, max: 15 }) },
      state: fc.constantFrom('up' as const, 'drain' as const, 'sick' as const),
    }),
    uses: fc
      .uniqueArray(
        fc.record({ site, mirroredKiB: value, usedKiB: value, unusedKiB: value, promisedKiB: value }),
        { selector: (one) => one.site },
      )
      .map((list) => list.sort((a, b) => (a.site < b.site ? -1 : 1))),
    operations: fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 4 }),
  })
  .map(proposal);

describe('the body of a proposal', () => {
  test('comes back as it was sent', () => {
    fc.assert(
      fc.property(bodies, (body) => {
        expect(decodeProposal(encodeProposal(body))).toEqual(body);
      }),
    );
  });

  test('hostile bytes are refused with a code, or mean something that is within bounds', () => {
    const mutated = fc
      .tuple(bodies, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }))
      .map(([body, changes]) => {
        const bytes = encodeProposal(body);
        for (const [at, to] of changes) bytes[at % bytes.length] = to;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        let decoded: Proposal;
        try {
          decoded = decodeProposal(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(PresageError);
          expect((error as PresageError).code).toMatch(/^WIRE_/);
          return;
        }
        expect(decodeProposal(encodeProposal(decoded))).toEqual(decoded);
        for (const one of decoded.entries) {
          for (const { region: _, ...numbers } of one.cells) {
            for (const number of Object.values(numbers)) {
              expect(Number.isSafeInteger(number) && number >= 0 && number <= 0x7fff_ffff).toBe(true);
            }
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  test.each<[string, (row: unknown[]) => unknown[]]>([
    ['entries out of order', (row) => row.with(8, [...(row[8] as unknown[])].reverse())],
    ['an entry twice', (row) => row.with(8, [(row[8] as unknown[])[0], (row[8] as unknown[])[0]])],
    ['a fraction', (row) => row.with(3, 1.5)],
    ['a negative count', (row) => row.with(8, [[new Uint8Array(16), 0, 1, [0, -1, 0, 0, 0, 0, 0, 0]]])],
    ['a fractional count', (row) => row.with(8, [[new Uint8Array(16), 0, 1, [0, 0.5, 0, 0, 0, 0, 0, 0]]])],
    [
      'a chance above certainty',
      (row) => row.with(8, [[new Uint8Array(16), 0, 1, [0, 0, 0, 0, 0, 1001, 0, 0]]]),
    ],
    [
      'a region that is not named',
      (row) => row.with(8, [[new Uint8Array(16), 0, 1, [9, 0, 0, 0, 0, 0, 0, 0]]]),
    ],
    ['a site that is not named', (row) => row.with(8, [[new Uint8Array(16), 9, 1, []]])],
    [
      'a region twice',
      (row) => row.with(8, [[new Uint8Array(16), 0, 1, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]]),
    ],
    ['a window of no length', (row) => row.with(5, 0)],
    ['rules the wrong way round', (row) => row.with(1, 5).with(2, 4)],
    ['sites out of order', (row) => row.with(10, [...(row[10] as unknown[])].reverse())],
    ['another edition', (row) => row.with(0, 2)],
    ['more than there is', (row) => [...row, 1]],
  ])('refuses %s', (_, change) => {
    const bytes = encodeProposal(
      proposal({
        entries: [entry(1, [cell(REGIONS[0]!)]), entry(2, [cell(REGIONS[1]!)], { site: SITES[1]! })],
      }),
    );
    const key = (n: number) => Buffer.from(key16(n), 'hex');
    const [first, second] = [1, 2].sort((a, b) => Buffer.compare(key(a), key(b)));
    const row = [
      ...[1, 1, 1, 5, 5, 5, [1, 1, 1, 0], []],
      [first, second].map((n, i) => [key(n!), i, 120, [i, 1, 1, 1, 1, 1, 1, 0]]),
      ...[[], [...SITES], REGIONS.slice(0, 2)],
    ];
    expect(() => decodeProposal(encode(row))).not.toThrow();
    expect(() => decodeProposal(encode(change(row)))).toThrow(PresageError);
    expect(() => decodeProposal(bytes, bytes.length - 1)).toThrow(PresageError);
  });
});

const viewOf = (change: Partial<ProposalView>): ProposalView => ({
  ...proposal(),
  resources: [],
  observed: () => 7,
  series: () => undefined,
  windowShare: 10,
  speaks: () => true,
  ...change,
});
const resource = (n: number, credit: number, size = 10_000) => ({
  key16: key16(n),
  site: SITES[0]!,
  size,
  demand: [{ region: REGIONS[0]!, expected: 5000, chance: 900, credit, held: false }],
  holders: [REGIONS[1]!],
});

describe('building a proposal', () => {
  test('keeps within the bytes of its roster by cutting what is worth least', () => {
    const random = seededRandom(3);
    const resources = Array.from({ length: 9000 }, (_, n) => resource(n, 1 + (random.uint32() % 1000)));
    for (const size of [1, 30, 300]) {
      const state = originOf(size);
      const body = buildProposal(viewOf({ resources }), state, committeesOf(state));
      expect(body.length).toBeLessThanOrEqual(proposalBytesMax(size));
      expect(body.length).toBeGreaterThan(proposalBytesMax(size) * 0.9);
      const kept = new Set(decodeProposal(body).entries.map(({ key16: key }) => key));
      const least = Math.min(...resources.filter((r) => kept.has(r.key16)).map((r) => r.demand[0]!.credit));
      const most = Math.max(...resources.filter((r) => !kept.has(r.key16)).map((r) => r.demand[0]!.credit));
      // Within one order of magnitude a hash decides.
      expect(2 * least).toBeGreaterThanOrEqual(most);
    }
  });

  const sampleOf = (numbers: readonly number[]): Sample => ({
    ...{ window: START - 2 * WINDOW, windowMs: WINDOW, pops: [] },
    keys: numbers.map((n) => ({
      ...{ key16: key16(n), site: SITES[1]!, sizeClass: 90, said: [] },
      agreed: [[REGIONS[2]!, 5]] as const,
    })),
  });
  const built = (view: ProposalView, state: DecidedState) =>
    decodeProposal(buildProposal(view, state, committeesOf(state))).entries;

  test('states demand and holders', () => {
    const [one] = built(viewOf({ resources: [resource(1, 800)] }), originOf(1));
    expect(one?.cells).toEqual([
      cell(REGIONS[0]!, { next: 50, mean: 5000, upper: 5000, observed: 0 }),
      cell(REGIONS[1]!, { next: 0, mean: 0, upper: 0, observed: 0, chance: 0, credit: 0, holder: 1 }),
    ]);
  });

  test('tells what was seen in the window that is scored, before all else; without a forecast it tells nothing', () => {
    const state: DecidedState = { ...originOf(16), samples: [sampleOf([77]), NO_SAMPLE] };
    const asked: unknown[] = [];
    const observed = (...question: unknown[]) => asked.push(question) && 7;
    const resources = Array.from({ length: 9000 }, (_, n) => resource(n + 100, 500));
    const view = viewOf({ resources, observed });
    expect(built(view, state).find((one) => one.key16 === key16(77))).toEqual({
      ...{ key16: key16(77), site: SITES[1], sizeClass: 90 },
      cells: [cell(REGIONS[2]!, { next: 0, mean: 0, upper: 0, observed: 7, chance: 0, credit: 0 })],
    });
    expect(asked).toEqual([[key16(77), REGIONS[2], START - 2 * WINDOW, WINDOW]]);
    expect(built({ ...view, silent: true }, state)).toEqual([]);
  });

  test('repeats what has its turn, and of the rest lists only what would move the decision', () => {
    const vector = [1, 2, 3, 4]
      .map((n) => ({
        ...{ key16: key16(n), site: SITES[0]!, sizeClass: 120 },
        cells: [
          ...[{ region: REGIONS[0]!, expected: 5000, chance: 900, credit: 500, held: false, holder: false }],
          ...[{ region: REGIONS[1]!, expected: 0, chance: 0, credit: 0, held: false, holder: true }],
        ],
      }))
      .sort((a, b) => (a.key16 < b.key16 ? -1 : 1));
    // The turn is with the last key alone.
    const turns = { cycle: 3, from: vector[3]!.key16 };
    const state: DecidedState = { ...originOf(4), vector, turns };
    const credits = new Map([
      ...[[vector[0]!.key16, 510] as const, [vector[1]!.key16, 700] as const],
      ...[[vector[2]!.key16, 490] as const, [vector[3]!.key16, 500] as const],
    ]);
    const resources = [1, 2, 3, 4, 5, 6].map((n) =>
      resource(n, credits.get(key16(n)) ?? (n === 5 ? 300 : 0)),
    );
    const keys = built(viewOf({ resources }), state).map(({ key16: key }) => key);
    expect(keys.sort()).toEqual([vector[1]!.key16, vector[3]!.key16, key16(5)].sort());
  });

  test('an honest body always passes', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const body = encodeProposal(randomProposal(seededRandom(seed), 1));
        expect(() => decodeProposal(body, proposalBytesMax(5))).not.toThrow();
      }),
    );
  });
});

test('agreement and proposals mean the same limit', () => {
  for (let size = 1; size <= 512; size += 1) expect(proposalBytesMax(size)).toBe(bodyLimit(size));
});

test('a class of sizes is never below the true size, and at most an eighth above', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (bytes) => {
      const rounded = sizeOfClass(sizeClassOf(bytes));
      expect(rounded).toBeGreaterThanOrEqual(bytes);
      expect(rounded).toBeLessThanOrEqual(bytes + bytes / 8);
    }),
  );
  for (let c = 1; c <= SIZE_CLASS_MAX; c += 1) expect(sizeOfClass(c)).toBeGreaterThan(sizeOfClass(c - 1));
});
