import { describe, expect, it } from 'vitest';
import { Hysteresis } from '../../../protocol/hysteresis.ts';

const run = (hysteresis: Hysteresis, outcomes: string) =>
  [...outcomes].map((outcome) => (hysteresis.record(outcome === '+') === 'up' ? 'u' : 's')).join('');

describe('health', () => {
  it('is sick until the first check, which decides alone', () => {
    expect(new Hysteresis().health).toBe('sick');
    expect(run(new Hysteresis(), '+')).toBe('u');
    expect(run(new Hysteresis(), '-')).toBe('s');
  });

  it('needs three failures in a row to fall and two successes to rise', () => {
    expect(run(new Hysteresis(), '+--+---+-++')).toBe('uuuuuusssSu'.toLowerCase());
    expect(run(new Hysteresis({ failures: 1, successes: 1 }), '+-+-')).toBe('usus');
  });
});
