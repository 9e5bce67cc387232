import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { COMMITTEE_SIZE, COMMITTEES_FROM, Committees, ERA_HEIGHTS } from '../../../protocol/committee.ts';
import { committeesOf, nextCommitteesOf } from '../../../protocol/decided-state.ts';
import type { Key16, PopId } from '../../../protocol/ids.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { hash32, rendezvousWeight } from '../../../protocol/rendezvous.ts';
import { transition } from '../../../protocol/transition.ts';
import { key16, originOf, trust } from '../../property/decision/cluster.ts';

const roster = (size: number) =>
  Array.from({ length: size }, (_, i) => `pop-${String(i).padStart(3, '0')}` as PopId);
const seedOf = (name: string) => createHash('sha256').update(name).digest('hex');
const keys = Array.from({ length: 2000 }, (_, i) => key16(i));

describe('committees', () => {
  it('begin with fourteen PoPs, and not where they are turned off', () => {
    expect(new Committees(roster(COMMITTEES_FROM - 1), seedOf('a')).speakers(keys[0]!)).toBeUndefined();
    expect(new Committees(roster(COMMITTEES_FROM), seedOf('a')).speakers(keys[0]!)).toHaveLength(
      COMMITTEE_SIZE,
    );
    expect(new Committees(roster(100), seedOf('a'), 0).speakers(keys[0]!)).toBeUndefined();
    expect(new Committees(roster(100), seedOf('a'), 0).liars).toBe(33);
  });

  it('withstand the liars of their own size, not those of the roster', () => {
    expect(new Committees(roster(100), seedOf('a')).liars).toBe(quorumOf(13).liars);
    expect(new Committees(roster(100), seedOf('a'), 21).liars).toBe(6);
    expect(new Committees(roster(7), seedOf('a')).liars).toBe(2);
  });

  it('are all distinct members, evenly drawn', () => {
    const committees = new Committees(roster(50), seedOf('even'));
    const counts = new Array<number>(50).fill(0);
    for (const key of keys) {
      const slots = committees.speakers(key)!;
      expect(new Set(slots).size).toBe(COMMITTEE_SIZE);
      for (const slot of slots) counts[slot]! += 1;
    }
    const fair = (keys.length * COMMITTEE_SIZE) / 50;
    for (const count of counts) expect(Math.abs(count - fair)).toBeLessThan(fair * 0.2);
  });

  it('are the first of a rendezvous hash, and each PoP knows whether it is one of them', () => {
    const pops = roster(40);
    const committees = new Committees(pops, seedOf('z'));
    const hashes = pops.map((pop) =>
      createHash('sha256').update(seedOf('z')).update(pop).digest().readUInt32BE(),
    );
    for (const key of keys.slice(0, 100)) {
      const weights = hashes.map((hash) => rendezvousWeight(hash32(key), hash));
      const ranked = [...pops.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b);
      const speakers = committees.speakers(key)!;
      expect(speakers).toEqual(ranked.slice(0, COMMITTEE_SIZE));
      for (const [slot, pop] of pops.entries()) {
        expect(committees.includes(key, pop)).toBe(speakers.includes(slot));
      }
      expect(committees.includes(key, 'stranger' as PopId)).toBe(false);
    }
  });

  it('lose only the keys of a PoP that goes', () => {
    const all = roster(30);
    const before = new Committees(all, seedOf('x'));
    const left = all.filter((_, slot) => slot !== 7);
    const after = new Committees(left, seedOf('x'));
    const names = (slots: readonly number[], of: readonly PopId[]) => slots.map((slot) => of[slot]!);
    for (const key of keys.slice(0, 300)) {
      const old = names(before.speakers(key)!, all);
      const now = names(after.speakers(key)!, left);
      expect(now.slice(0, 12)).toEqual(old.filter((pop) => pop !== all[7]).slice(0, 12));
    }
  });

  it('change with the seed', () => {
    const a = new Committees(roster(60), seedOf('a'));
    const b = new Committees(roster(60), seedOf('b'));
    const same = keys.filter((key) => a.speakers(key)!.join() === b.speakers(key)!.join());
    expect(same.length).toBe(0);
  });

  it('of the next era are known a whole era ahead', () => {
    let state = originOf(16);
    const key: Key16 = keys[0]!;
    const drawn: string[] = [];
    const announced: string[] = [];
    for (let height = 1; height <= 3 * ERA_HEIGHTS + 1; height += 1) {
      drawn[height] = committeesOf(state).speakers(key)!.join();
      announced[height] = nextCommitteesOf(state).speakers(key)!.join();
      const included = state.members.map((_, slot) => ({ slot, proposal: undefined }));
      state = transition(state, seedOf(`chain ${height - 1}`), included, trust);
    }
    const changes = drawn.flatMap((now, height) => (height > 1 && now !== drawn[height - 1] ? [height] : []));
    expect(changes).toEqual([ERA_HEIGHTS + 2, 2 * ERA_HEIGHTS + 2]);
    for (const height of changes) {
      for (let before = height - ERA_HEIGHTS; before < height; before += 1) {
        expect(announced[before]).toBe(drawn[height]);
      }
    }
  });
});

describe('how often a committee breaks', () => {
  /** Chance that more members lie than the aggregation withstands, each with chance p: a binomial tail. */
  const broken = (k: number, p: number): number => {
    const { liars } = quorumOf(k);
    let holds = 0;
    let term = (1 - p) ** k;
    for (let i = 0; i <= liars; i += 1) {
      holds += term;
      term = (term * (k - i) * p) / ((i + 1) * (1 - p));
    }
    return 1 - holds;
  };

  it.each([
    [7, 0.1, 0.026],
    [13, 0.1, 0.0065],
    [21, 0.1, 0.0033],
  ])('k = %i, a share of %f lies: %f', (k, p, expected) => {
    expect(Math.abs(broken(k, p) - expected)).toBeLessThan(expected * 0.03);
  });

  it('is one in ten to one in seven where a fifth lies', () => {
    for (const k of [7, 13, 21]) {
      expect(broken(k, 0.2)).toBeGreaterThan(0.095);
      expect(broken(k, 0.2)).toBeLessThan(0.155);
    }
  });

  it('is what drawn committees show', () => {
    const size = 100;
    const liars = new Set(Array.from({ length: 10 }, (_, i) => i * 10));
    let bad = 0;
    let drawn = 0;
    for (let seed = 0; seed < 8; seed += 1) {
      const committees = new Committees(roster(size), seedOf(`draw ${seed}`), 7);
      for (const key of keys) {
        drawn += 1;
        if (committees.speakers(key)!.filter((slot) => liars.has(slot)).length > committees.liars) bad += 1;
      }
    }
    // Drawn without putting back, a little safer than the binomial.
    expect(bad / drawn).toBeGreaterThan(0.012);
    expect(bad / drawn).toBeLessThan(0.032);
  });
});
