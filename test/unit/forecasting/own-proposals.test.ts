import { describe, expect, it } from 'vitest';
import { OwnProposals } from '../../../forecasting/own-proposals.ts';
import type { SiteId } from '../../../protocol/ids.ts';

const use = (site: string, usedKiB: number) => ({
  ...{ site: site as SiteId, mirroredKiB: 10, usedKiB, unusedKiB: 0, promisedKiB: 1 },
});

describe('the own proposals', () => {
  it('tell again of mirrors what a decision left out, and only that', () => {
    const proposals = new OwnProposals();
    expect(proposals.propose(1, 100, [use('b', 3), use('a', 1)])).toEqual([use('a', 1), use('b', 3)]);
    proposals.decided(1, false);
    expect(proposals.propose(2, 101, [use('b', 4)])).toEqual([
      use('a', 1),
      { ...use('b', 7), mirroredKiB: 20, promisedKiB: 2 },
    ]);
    proposals.decided(2, true);
    proposals.decided(2, false);
    expect(proposals.propose(3, 102, [])).toEqual([]);
    expect(proposals.epochOf(2)).toBe(101);
    expect(proposals.epochOf(9)).toBeUndefined();
  });
});
