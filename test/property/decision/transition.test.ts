import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planHash, planStateOf } from '../../../protocol/agreed-plan.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import { decodeState, encodeState, stateHash } from '../../../protocol/decided-state-codec.ts';
import { plan } from '../../../protocol/placement.ts';
import { decodeProposal, encodeProposal } from '../../../protocol/proposal.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { SILENT } from '../../../protocol/scoring.ts';
import { transition } from '../../../protocol/transition.ts';
import { charterOf } from './charter.ts';
import { originOf, randomProposal, trust } from './cluster.ts';
import { historyOf, shuffled, statesOf } from './history-of.ts';

const seed = fc.integer({ min: 0, max: 0xffff_ffff });
const size = fc.constantFrom(1, 2, 4, 5, 7, 16);

test('the same bytes for any order of arrival, and restored from the own encoding at every height', () => {
  fc.assert(
    fc.property(seed, size, (from, pops) => {
      const heights = 6;
      const plain = historyOf(from, pops, heights);
      const restored = (state: DecidedState) => decodeState(encodeState(state));
      expect(historyOf(from, pops, heights, { arrange: shuffled(from ^ 0x5555) })).toEqual(plain);
      expect(historyOf(from, pops, heights, { carry: restored })).toEqual(plain);
      expect(new Set(plain).size).toBe(heights);
    }),
    { numRuns: 8 },
  );
});

test('these histories have in them what could part PoPs', () => {
  const states = statesOf(4711, 5, 14);
  const turns = new Set(states.map(({ turns: { from } }) => from));
  expect(turns.size).toBeGreaterThan(3);
  expect(new Set(states.flatMap(({ members }) => members.map(({ weight }) => weight))).size).toBeGreaterThan(
    20,
  );
  const samples = states.map(({ samples: [asked] }) => asked);
  expect(samples.some(({ keys }) => keys.length > 0)).toBe(true);
  expect(samples.some(({ keys }) => keys.length === 0)).toBe(true);
  const said = states.flatMap((state) => state.samples[1].keys.flatMap((one) => one.said));
  expect(said).toContain(SILENT);
  expect(states.at(-1)!.tunings.some(({ replan, accuracy }) => replan > 1000 || accuracy !== 500)).toBe(true);
});

test('the same result as ever: a faster transition must be the same transition', () => {
  const hash = createHash('sha256');
  for (const pops of [1, 4, 5, 16]) {
    for (const { vector, turns, tunings, samples, clock, members } of statesOf(815, pops, 10)) {
      const cells = vector.map((one) => [
        ...[one.key16, one.site, one.sizeClass],
        one.cells.map((c) => [c.region, c.expected, c.chance, c.credit, c.held, c.holder]),
      ]);
      const learned = tunings.map((one) => [
        ...[one.site, one.region, one.replan, one.accuracy],
        ...[Object.entries(one.parameters).sort(), Object.entries(one.outcome).sort()],
      ]);
      const kept = samples.map((one) => [
        ...[one.window, one.windowMs, one.pops],
        one.keys.map(({ key16, site, sizeClass, agreed, said }) => [key16, site, sizeClass, agreed, said]),
      ]);
      const weights = members.map(({ missed, weight, age }) => [missed, weight, age]);
      const times = [clock.at, clock.window, clock.windowMs];
      hash.update(JSON.stringify([cells, turns.cycle, turns.from, learned, kept, weights, times]));
    }
  }
  // Another value here is another transition, which needs another number of the rules.
  expect(hash.digest('hex')).toBe('354bcf8f6fb133ce86f35f3cdbd09c48a98f87e7852e1956e3f2d7dfd426df26');
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
  const child = (...more: string[]) =>
    JSON.parse(execFileSync(process.execPath, [script, '4711', '16', '6', ...more], { encoding: 'utf8' }));
  const own = historyOf(4711, 16, 6);
  expect(child()).toEqual(own);
  // With other orders of arrival, and every state taken from its bytes.
  expect(child('99')).toEqual(own);
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
