import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

/** What the agreed state and the plan are computed by. */
const AGREED = [
  'exact',
  'size-class',
  'proposal',
  'proposal-builder',
  'aggregation',
  'committee',
  'demand-vector',
  'scoring',
  'tuning',
  'decided-state',
  'decided-state-codec',
  'roster-operations',
  'transition',
  'agreed-plan',
  'placement',
  'rendezvous',
  'quorum',
];

/** Comments and texts say what code must not. */
const codeOf = (name: string): string =>
  readFileSync(resolve(import.meta.dirname, '../../../protocol', `${name}.ts`), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/.*$/gm, '')
    .replace(/\/(?![*/ ])(?:\\.|[^/\n])+\/(?=[,.)])/g, '""')
    .replace(/'(?:\\.|[^'\n])*'|`[^`]*`/g, '""');

describe.each(AGREED)('protocol/%s.ts', (name) => {
  const code = codeOf(name);

  it('uses of Math only what is exact on integers everywhere', () => {
    const used = [...code.matchAll(/Math\.(\w+)/g)].map((match) => match[1]);
    const exact = new Set(['floor', 'ceil', 'trunc', 'min', 'max', 'abs', 'imul', 'clz32']);
    expect(used.filter((one) => !exact.has(one ?? ''))).toEqual([]);
  });

  it('has no fractions, powers, parsing of floats or collation', () => {
    const lax =
      /\d\.\d|\*\*|localeCompare|Intl\.|parseFloat|toFixed|toLocale|Float(32|64)Array|\d e-?\d|\.random\(/;
    expect(code.split('\n').filter((line) => lax.test(line))).toEqual([]);
  });

  it('rounds every quotient', () => {
    const bare = code
      .split('\n')
      .filter((line) => / \/ /.test(line) && !/Math\.(floor|ceil|trunc)\(/.test(line));
    const constants = new Set(['export const FIRST_WEIGHT = WEIGHT_MAX / 2;']);
    expect(bare.filter((line) => !constants.has(line))).toEqual([]);
  });
});
