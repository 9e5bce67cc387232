import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SpaceSaving } from '../../../protocol/space-saving.ts';

const stream = fc.array(
  fc.tuple(
    fc.integer({ min: 0, max: 60 }).map((n) => `k${Math.floor(n ** 2 / 60)}`),
    fc.integer({ min: 1, max: 5 }),
  ),
  { maxLength: 400 },
);

test('an estimate is never too low, and too high by its error at most, which is at most N / m', () => {
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 40 }), (offers, capacity) => {
      const sketch = new SpaceSaving(capacity, () => undefined);
      const truth = new Map<string, number>();
      for (const [key, weight] of offers) {
        sketch.offer(key, weight);
        truth.set(key, (truth.get(key) ?? 0) + weight);
      }
      const total = offers.reduce((sum, [, weight]) => sum + weight, 0);
      expect(sketch.total).toBe(total);
      expect(sketch.size).toBe(Math.min(capacity, truth.size));
      for (const { key, count, error } of sketch.entries()) {
        const exact = truth.get(key) ?? 0;
        expect(count).toBeGreaterThanOrEqual(exact);
        expect(count - error).toBeLessThanOrEqual(exact);
        expect(error).toBeLessThanOrEqual(total / capacity);
      }
      for (const [key, exact] of truth) if (exact > total / capacity) expect(sketch.get(key)).toBeDefined();
    }),
  );
});

test('entries come in order of count, and attached data is fresh when a slot changes hands', () => {
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 12 }), (offers, capacity) => {
      const sketch = new SpaceSaving(capacity, () => ({ offered: 0 }));
      for (const [key, weight] of offers) sketch.offer(key, weight).data.offered += weight;
      const entries = sketch.entries();
      for (const [i, { count, error, data }] of entries.entries()) {
        expect(data.offered).toBe(count - error);
        expect(count).toBeLessThanOrEqual(entries[i - 1]?.count ?? Number.POSITIVE_INFINITY);
      }
    }),
  );
});
