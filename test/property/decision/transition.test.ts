import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planHash, planStateOf } from '../../../protocol/agreed-plan.ts';
import { decodeState, encodeState, stateHash } from '../../../protocol/decided-state-codec.ts';
import { plan } from '../../../protocol/placement.ts';
import { decodeProposal, encodeProposal } from '../../../protocol/proposal.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { transition } from '../../../protocol/transition.ts';
import { charterOf } from './charter.ts';
import { originOf, randomProposal, trust } from './cluster.ts';
import { historyOf } from './history-of.ts';

const seed = fc.integer({ min: 0, max: 0xffff_ffff });
const size = fc.constantFrom(1, 2, 4, 5, 7, 16);

test('the same bytes for any order of arrival, and restored from the own encoding at every height', () => {
  fc.assert(
    fc.property(seed, size, (from, pops) => {
      const random = seededRandom(from ^ 0x5555);
      const heights = 6;
      const plain = historyOf(from, pops, heights);
      const shuffled = historyOf(from, pops, heights, {
        arrange: (included) =>
          included
            .map((one) => ({ one, at: random.uint32() }))
            .sort((a, b) => a.at - b.at)
            .map(({ one }) => one),
      });
      const restored = historyOf(from, pops, heights, { carry: (state) => decodeState(encodeState(state)) });
      expect(shuffled).toEqual(plain);
      expect(restored).toEqual(plain);
      expect(new Set(plain).size).toBe(heights);
    }),
    { numRuns: 12 },
  );
});

test('the same bytes when objects were built in another order of keys', () => {
  const reversed = <T>(value: T): T => {
    if (Array.isArray(value)) return value.map(reversed) as T;
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([name, part]) => [name, reversed(part)]),
    ) as T;
  };
  fc.assert(
    fc.property(seed, (from) => {
      const other = historyOf(from, 5, 4, {
        arrange: (included) => included.map(reversed),
        carry: reversed,
      });
      expect(other).toEqual(historyOf(from, 5, 4));
    }),
    { numRuns: 8 },
  );
});

test('another process computes the same states', () => {
  const script = resolve(import.meta.dirname, 'history-of.ts');
  const said = execFileSync(process.execPath, [script, '4711', '16', '8'], { encoding: 'utf8' });
  expect(JSON.parse(said)).toEqual(historyOf(4711, 16, 8));
});

test('all numbers of a state are bounded integers, whatever was proposed, and the plan follows', () => {
  const value = fc.oneof(fc.constantFrom(0, 1, 0x7fff_ffff), fc.integer({ min: 0, max: 0x7fff_ffff }));
  fc.assert(
    fc.property(seed, fc.array(value, { minLength: 8, maxLength: 8 }), (from, extremes) => {
      const random = seededRandom(from);
      const pick = () => extremes[random.uint32() % extremes.length]!;
      let state = originOf(4);
      for (let height = 1; height <= 4; height += 1) {
        const included = state.members.map((_, slot) => {
          const honest = randomProposal(random, height);
          const wild = {
            ...honest,
            at: random.uint32() % 2 === 0 ? Number.MAX_SAFE_INTEGER : 0,
            window: Number.MAX_SAFE_INTEGER - pick(),
            cap: { storageBudgetMiB: pick(), fillKiBps: pick(), load: 15, state: 'up' as const },
            uses: honest.uses.map(({ site }) => ({
              ...{ site, mirroredKiB: pick(), usedKiB: pick(), unusedKiB: pick(), promisedKiB: pick() },
            })),
            entries: honest.entries.map((entry) => ({
              ...entry,
              sizeClass: pick() % 320,
              cells: entry.cells.map((cell) => ({
                ...cell,
                ...{ next: pick(), mean: pick(), upper: pick(), observed: pick(), credit: pick() % 1001 },
              })),
            })),
          };
          return { slot, proposal: decodeProposal(encodeProposal(wild)) };
        });
        state = transition(state, 'ab'.repeat(32), included, trust);
        const encoded = encodeState(state);
        expect(stateHash(decodeState(encoded))).toBe(stateHash(state));
        for (const { parameters, replan } of state.tunings) {
          for (const number of [...Object.values(parameters), replan])
            expect(number).toSatisfy(Number.isSafeInteger);
        }
        const { placements } = plan(planStateOf(state), charterOf());
        for (const { value: worth } of placements) expect(worth).toSatisfy(Number.isSafeInteger);
        expect(planHash(plan(planStateOf(decodeState(encoded)), charterOf()))).toBe(
          planHash({ placements, skips: [] }),
        );
      }
    }),
    { numRuns: 15 },
  );
});
