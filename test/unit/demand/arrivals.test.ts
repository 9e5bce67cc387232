import { expect, test } from 'vitest';
import { Arrivals } from '../../../forecasting/arrivals.ts';
import type { RegionId } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';

const HORIZON = 3_600_000;
const REGION = 'eu' as RegionId;

/**
 * Pairs come and go: each has one feature, and first requests come at `rate(feature)` an hour. Returns the model
 * after `pairs` pairs, one begun every ten seconds.
 */
function taught(rate: (feature: number) => number, pairs: number, seed = 1): Arrivals {
  const random = seededRandom(seed);
  const model = new Arrivals(3, HORIZON);
  const due: { pair: string; at: number }[] = [];
  for (let i = 0; i < pairs; i += 1) {
    const now = i * 10_000;
    const feature = 2 * random.float() - 1;
    due.push({ pair: `pair-${i}`, at: now - (Math.log(1 - random.float()) / rate(feature)) * HORIZON });
    for (let k = due.length - 1; k >= 0; k -= 1) {
      if (due[k]!.at > now) continue;
      model.arrived(due[k]!.pair, due[k]!.at);
      due.splice(k, 1);
    }
    model.mature(now);
    model.watch(`pair-${i}`, REGION, Float64Array.of(1, feature, 2 * random.float() - 1), now);
  }
  return model;
}

test('learns which feature matters, and states chances that come true', () => {
  const model = taught((feature) => 0.5 * Math.exp(1.5 * feature), 6000);
  const [, matters, noise] = model.weights;
  expect(matters).toBeGreaterThan(1.1);
  expect(matters).toBeLessThan(1.9);
  expect(Math.abs(noise!)).toBeLessThan(0.25);
  for (const feature of [-0.8, 0, 0.8]) {
    const expected = model.expect(Float64Array.of(1, feature, 0), REGION);
    const truth = 0.5 * Math.exp(1.5 * feature);
    expect(expected / truth).toBeGreaterThan(0.7);
    expect(expected / truth).toBeLessThan(1.4);
  }
  expect(model.skill.gain).toBeGreaterThan(50);
});

test('where there is nothing to learn it shows no skill, at any moment', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    for (const pairs of [300, 1000, 3000]) expect(taught(() => 0.8, pairs, seed).skill.gain).toBeLessThan(8);
  }
});

test('an arrival counts for nothing before the part of the horizon that it fell into has passed for all', () => {
  const model = new Arrivals(1, HORIZON);
  for (let i = 0; i < 20; i += 1) model.watch(`pair-${i}`, REGION, Float64Array.of(1), 0);
  const before = model.baseOf(REGION);
  model.arrived('pair-1', 1000);
  model.mature(2000);
  expect(model.skill.outcomes).toBe(0);
  expect(model.baseOf(REGION)).toBe(before);
  model.mature(HORIZON / 64);
  expect(model.skill.outcomes).toBe(20);
  expect(model.watched('pair-1')).toBe(0);
  expect(model.openSamples).toBe(19);
  model.mature(2 * HORIZON);
  expect(model.openSamples).toBe(0);
});

test('open samples are bounded', () => {
  const model = new Arrivals(1, HORIZON);
  for (let i = 0; i < 50_000; i += 1) model.watch(`pair-${i % 40_000}`, REGION, Float64Array.of(1), i);
  expect(model.openSamples).toBe(20_000);
  const one = new Arrivals(1, HORIZON);
  for (let i = 0; i < 100; i += 1) one.watch('pair', REGION, Float64Array.of(1), i);
  expect(one.openSamples).toBeLessThan(10);
});

test('the same input gives the same model; a snapshot brings it back, a foreign one is left out', () => {
  const model = taught((feature) => Math.exp(feature), 800);
  expect(taught((feature) => Math.exp(feature), 800).snapshot()).toEqual(model.snapshot());
  const restored = new Arrivals(3, HORIZON);
  restored.restore(structuredClone(model.snapshot()));
  const x = Float64Array.of(1, 0.4, -0.2);
  expect(restored.expect(x, REGION)).toBe(model.expect(x, REGION));
  expect(restored.skill).toEqual(model.skill);
  const other = new Arrivals(2, HORIZON);
  other.restore(model.snapshot());
  other.restore({ features: 2, weights: [1, Number.NaN] });
  other.restore(null);
  expect(other.weights).toEqual([0, 0]);
});
