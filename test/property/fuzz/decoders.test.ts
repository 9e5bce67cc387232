import { describe, expect, it } from 'vitest';
import { PresageError } from '../../../protocol/errors.ts';
import { fuzz, type Report } from '../../fuzz/engine.ts';
import { mustHold, type Target } from '../../fuzz/target.ts';
import { TARGETS } from '../../fuzz/targets.ts';

/** A fixed seed, so that a failure is one of the change and not of the day; long runs take fresh ones. */
const SEED = 20261123;
const INPUTS = 500;

describe('every decoder that reads from outside', () => {
  it.each(TARGETS.map((target) => [target.name, target] as const))(
    '%s bears what it is given',
    async (_, target) => {
      const { findings, accepted, inputs } = await fuzz(target, { inputs: INPUTS, seed: SEED });
      expect(findings).toEqual([]);
      expect(inputs).toBe(INPUTS);
      // Its seeds are valid: the inputs made of them go further than its first check.
      expect(accepted).toBeGreaterThan(0);
    },
  );
});

describe('the harness', () => {
  const target = (run: Target['run']): Target => ({
    ...{ name: 'defect', shape: 'bytes', seeds: [Uint8Array.of(1, 2, 3, 4)], maxBytes: 4_096 },
    run,
  });
  const whatIsFound = async (run: Target['run']) => {
    const { findings }: Report = await fuzz(target(run), { inputs: 2_000, seed: 1 });
    return findings.map(({ what }) => what.split(' ')[0]);
  };

  it('finds errors without a code, promises that are not kept, time and memory', async () => {
    expect(await whatIsFound((input) => input.length > 5 && (undefined as never as string).length)).toContain(
      'TypeError:',
    );
    expect(await whatIsFound((input) => mustHold(input[0] !== 9, 'nine'))).toContain('Violation:');
    // One input alone, so that this does not take for ever or fill the memory.
    const first = () => {
      let chosen: Uint8Array | undefined;
      return (input: Uint8Array) => {
        if (input.length > 1_000) chosen ??= input;
        return input === chosen;
      };
    };
    const isSlow = first();
    const slow = (input: Uint8Array) => {
      if (!isSlow(input)) return;
      const until = performance.now() + 200;
      while (performance.now() < until);
    };
    expect(await whatIsFound(slow)).toContain('takes');
    const kept: unknown[] = [];
    const isLarge = first();
    const large = (input: Uint8Array) => void (isLarge(input) && kept.push(new Float64Array(4 << 20)));
    expect(await whatIsFound(large)).toContain('allocates');
  });

  it('counts refusals by code, and comes to the same end from the same seed', async () => {
    const refuse = (input: Uint8Array) => {
      if (input.length % 3 === 0) throw new PresageError('WIRE_TRAILING');
      if (input.length % 3 === 1) throw new PresageError('WIRE_SCHEMA', `of ${input[0]}`);
    };
    const run = async () => {
      const { slowestMs: _, ...report } = await fuzz(target(refuse), { inputs: 1_000, seed: 5 });
      return report;
    };
    const report = await run();
    expect(Object.keys(report.refused).sort()).toEqual(['WIRE_SCHEMA', 'WIRE_TRAILING']);
    expect(await run()).toEqual(report);
  });
});
