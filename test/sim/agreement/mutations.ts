import { parseArgs } from 'node:util';
import { DEFECTS, hunt } from './defects.ts';

/** Runs every deliberate defect and tells how often it was noticed, by which promise, and how often it must be. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});

const row = (cells: readonly string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
row(['defect', 'attack', 'noticed', 'share', 'prototype', 'by', 'first seed', 'wrong without it']);
row(['---', '---', '---', '---', '---', '---', '---', '---']);
const chosen = DEFECTS.filter(({ name }) => values.only === undefined || name.includes(values.only));
const seeds = Number(values.seeds);
let short = 0;
for (const defect of chosen) {
  const { caught, by, first, blamed } = hunt(defect, seeds, Number(values.from), true);
  if (caught / seeds < defect.target || blamed.length > 0) short += 1;
  const promises = [...by].sort((a, b) => b[1] - a[1]).map(([promise, count]) => `${promise} ${count}`);
  row([
    ...[defect.name, defect.attack ?? defect.lies?.join() ?? 'at random', `${caught} of ${seeds}`],
    ...[percent(caught / seeds), percent(defect.target), promises.join(', '), String(first ?? '')],
    blamed.length > 0 ? `seeds ${blamed.join()}` : '0',
  ]);
}
process.stdout.write(`${chosen.length - short} as often as they must be, ${short} not\n`);
process.exitCode = short > 0 ? 1 : 0;
