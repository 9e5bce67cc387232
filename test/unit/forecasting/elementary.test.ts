import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exp, log, log1p, pow, tanh } from '../../../forecasting/elementary.ts';
import { seededRandom } from '../../../protocol/random.ts';

const random = seededRandom(8);
const spread = (from: number, to: number) =>
  Array.from({ length: 20_000 }, () => from + (to - from) * random.float());
/** Largest relative difference to what the engine says. */
const worst = (xs: readonly number[], ours: (x: number) => number, theirs: (x: number) => number) =>
  xs.reduce((most, x) => Math.max(most, Math.abs(ours(x) - theirs(x)) / Math.abs(theirs(x))), 0);

describe('elementary functions', () => {
  it('are within two units in the last place', () => {
    const last = 2 * Number.EPSILON;
    expect(worst([...spread(-700, 700), ...spread(-1, 1)], exp, Math.exp)).toBeLessThan(last);
    const positive = spread(-300, 300).map((x) => 10 ** x);
    expect(worst([...positive, ...spread(0.5, 2)], log, Math.log)).toBeLessThan(last);
    expect(worst([...positive, ...spread(-0.9, 1)], log1p, Math.log1p)).toBeLessThan(2 * last);
    for (const x of spread(-30, 30)) expect(Math.abs(tanh(x) - Math.tanh(x))).toBeLessThan(last);
    for (const x of spread(0.1, 50)) {
      expect(pow(x, 5) / x ** 5).toBeCloseTo(1, 14);
      expect(pow(x, 0.6) / x ** 0.6).toBeCloseTo(1, 14);
      expect(pow(x, -2) * x * x).toBeCloseTo(1, 14);
    }
  });

  it('know the ends of their ranges', () => {
    for (const x of [0, 1, -0, 710, -746, -740, -720, 1e308, -1e308, Number.POSITIVE_INFINITY]) {
      for (const sign of [x, -x]) {
        const engine = Math.exp(sign);
        expect(Math.abs(exp(sign) - engine) <= 4e-16 * engine || exp(sign) === engine).toBe(true);
      }
    }
    for (const x of [0, -1, 1, 5e-324, 1e-310, Number.MAX_VALUE, Number.POSITIVE_INFINITY, Number.NaN]) {
      const engine = Math.log(x);
      expect(Object.is(log(x), engine) || Math.abs(log(x) / engine - 1) < 1e-15).toBe(true);
    }
    expect([exp(Number.NaN), tanh(Number.NaN), log1p(-2), log1p(Number.NaN)].every(Number.isNaN)).toBe(true);
    expect([tanh(1e9), tanh(-1e9), tanh(0), log1p(1e-20), log1p(-1)]).toEqual([
      ...[1, -1, 0, 1e-20, Number.NEGATIVE_INFINITY],
    ]);
  });

  it('are the only ones that forecasts are made with', () => {
    const folder = resolve(import.meta.dirname, '../../../forecasting');
    const engine =
      /Math\.(a?(sin|cos|tan)h?|atan2|exp|expm1|log|log1p|log2|log10|pow|cbrt|hypot)\(|\*\* *(?![0-9])[^/]|[^/]\*\* *\(/;
    const wrong = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) =>
        readFileSync(join(folder, name), 'utf8')
          .split('\n')
          .filter((line) => !/^\s*(\/\*|\*|\/\/)/.test(line) && engine.test(line))
          .map((line) => `${name}: ${line.trim()}`),
      );
    expect(wrong).toEqual([]);
  });
});
