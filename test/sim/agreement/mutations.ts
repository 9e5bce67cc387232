import { parseArgs } from 'node:util';
import { DEFECTS, hunt } from './defects.ts';

/** Runs every deliberate defect and tells how often it was noticed, and by which promise. */
const { values } = parseArgs({
  options: { seeds: { type: 'string' }, from: { type: 'string', default: '1' }, only: { type: 'string' } },
});

const row = (cells: readonly string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
row(['defect', 'caught in', 'by', 'first seed']);
row(['---', '---', '---', '---']);
const chosen = DEFECTS.filter(({ name }) => values.only === undefined || name.includes(values.only));
let missed = 0;
for (const defect of chosen) {
  const seeds = values.seeds === undefined ? defect.seeds : Number(values.seeds);
  const { caught, by, first } = hunt(defect, seeds, Number(values.from));
  if (caught === 0) missed += 1;
  const promises = [...by].sort((a, b) => b[1] - a[1]).map(([promise, count]) => `${promise} ${count}`);
  row([defect.name, `${caught} of ${seeds}`, promises.join(', '), String(first ?? '')]);
}
process.stdout.write(`${chosen.length - missed} noticed, ${missed} missed\n`);
process.exitCode = missed > 0 ? 1 : 0;
