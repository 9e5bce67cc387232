import { describe, expect, it } from 'vitest';
import type { EdgeRequest } from '../../../node/http/request.ts';
import { underWay, useOf } from '../../../node/http/use.ts';

/** A request without directives of its own. */
const plain = { directives: { empty: true } } as unknown as EdgeRequest;

/** What a response, born at 0, may do at `now`, ms; `whileRevalidate` in seconds. */
const useAt = (now: number, lifetimeMs: number, whileRevalidate: number) => {
  const aged = underWay(0, lifetimeMs);
  const stored = { ...aged, limits: { ...aged.limits, whileRevalidate } };
  return useOf({ standing: 'valid', stored }, plain, now, true);
};

describe('the use of a stored response', () => {
  it.each([
    [9_999, 'fresh'],
    [10_000, 'revalidate'],
    [10_001, 'revalidate'],
  ])('without leave to be used stale, after %i of 10,000 ms: %s', (now, use) => {
    expect(useAt(now, 10_000, 0)).toBe(use);
  });

  it('that was stale from the beginning is asked for in its first millisecond too', () => {
    expect(useAt(0, 0, 0)).toBe('revalidate');
  });

  it.each([
    [10_000, 'while-revalidating'],
    [14_999, 'while-revalidating'],
    [15_000, 'revalidate'],
  ])('that may be used stale for five seconds, after %i ms: %s', (now, use) => {
    expect(useAt(now, 10_000, 5)).toBe(use);
  });
});
