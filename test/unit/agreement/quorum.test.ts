import { describe, expect, it } from 'vitest';
import { Coin } from '../../../protocol/coin.ts';
import { quorumOf } from '../../../protocol/quorum.ts';

describe('quorumOf', () => {
  it.each([
    [1, 0, 1],
    [2, 0, 2],
    [3, 0, 2],
    [4, 1, 3],
    [5, 1, 4],
    [6, 1, 4],
    [7, 2, 5],
    [10, 3, 7],
    [30, 9, 20],
    [100, 33, 67],
    [300, 99, 200],
  ])('of %i PoPs bears %i liars and decides with %i', (size, liars, quorum) => {
    expect(quorumOf(size)).toMatchObject({ size, liars, quorum });
  });

  it('makes two quorums share an honest PoP, and leaves enough honest ones to decide, at every size', () => {
    for (let size = 1; size <= 512; size += 1) {
      const { liars, quorum, crashes } = quorumOf(size);
      expect(2 * quorum - size).toBeGreaterThan(liars);
      expect(quorum).toBeGreaterThan(2 * liars);
      expect(crashes).toBeGreaterThanOrEqual(0);
    }
  });
});

describe('Coin', () => {
  const chain = new Uint8Array(32).fill(7);

  it('favours what is likely first, its contrary next', () => {
    const coin = new Coin(chain, 5, [true, false]);
    expect([coin.toss(0, 0), coin.toss(1, 0), coin.toss(0, 1), coin.toss(1, 1)]).toEqual([1, 0, 0, 1]);
  });

  it('is common later: it depends on chain, height, round and slot alone', () => {
    const one = new Coin(chain, 5, [true]);
    const other = new Coin(chain, 5, [false]);
    const later = new Coin(chain, 6, [true]);
    const tosses = (coin: Coin) =>
      Array.from({ length: 600 }, (_, at) => coin.toss(2 + (at % 3), at)).join('');
    expect(tosses(one)).toBe(tosses(other));
    expect(tosses(one)).not.toBe(tosses(later));
    const ones = tosses(one).replaceAll('0', '').length;
    expect(ones).toBeGreaterThan(220);
    expect(ones).toBeLessThan(380);
  });
});
