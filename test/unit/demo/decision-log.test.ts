import { describe, expect, it } from 'vitest';
import { DecisionLog } from '../../../node/demo/decision-log.ts';

const hash = (n: number) => n.toString(16).padStart(64, '0');
const decision = (height: number, plan: string | null = hash(3 * height), state = hash(2 * height)) => ({
  type: 'decision',
  data: { height, hash: hash(height), stateHash: state, planHash: plan },
});

describe('the log of decisions', () => {
  it('counts heights that two PoPs told of, and plans that two had made', () => {
    const log = new DecisionLog();
    for (const height of [1, 2, 3]) log.add('a', decision(height));
    log.add('b', decision(2));
    // A plan that the next height overtook is no difference.
    log.add('b', decision(3, null));
    expect(log.compare()).toEqual({ heights: 3, sharedHeights: 2, sharedPlans: 1, differing: [] });
  });

  it('tells which part of which height differs, and who told what', () => {
    const log = new DecisionLog();
    log.add('a', decision(5));
    log.add('b', decision(5, hash(9), hash(8)));
    expect(log.compare().differing).toEqual([
      { height: 5, part: 'state', told: { a: [hash(10)], b: [hash(8)] } },
      { height: 5, part: 'plan', told: { a: [hash(15)], b: [hash(9)] } },
    ]);
  });

  it('holds a PoP to what it told before its restart', () => {
    const log = new DecisionLog();
    log.add('a', decision(5));
    log.add('a', decision(5));
    expect(log.compare().differing).toEqual([]);
    log.add('a', decision(5, null, hash(8)));
    expect(log.compare().differing).toEqual([{ height: 5, part: 'state', told: { a: [hash(10), hash(8)] } }]);
  });

  it('leaves out what is not a decision, or has no hashes', () => {
    const log = new DecisionLog();
    log.add('a', { ...decision(1), type: 'epoch' });
    log.add('a', { type: 'decision', data: { height: 'one' } });
    log.add('a', { type: 'decision', data: { height: 2, hash: 'zz', stateHash: null } });
    log.add('b', decision(2));
    expect(log.compare()).toMatchObject({ heights: 1, sharedHeights: 0 });
  });

  it('wakes who waits for a height, and gives up at the deadline', async () => {
    const log = new DecisionLog();
    log.add('a', decision(3));
    const reached = log.until(() => log.tip('b') >= 3, 60_000);
    log.add('b', decision(2));
    log.add('b', decision(3));
    expect(await reached).toBeGreaterThanOrEqual(0);
    expect([log.tipOfOthers('a'), log.tipOfOthers('a', 'b')]).toEqual([3, 0]);
    expect(await log.until(() => log.tip('b') > 3, 1)).toBeUndefined();
    const cancelled = new AbortController();
    const never = log.until(() => false, 60_000, cancelled.signal);
    cancelled.abort();
    expect(await never).toBeUndefined();
    expect(await log.until(() => false, 60_000, cancelled.signal)).toBeUndefined();
  });
});
