import { parseArgs } from 'node:util';
import { hunt, SABOTAGES } from './sabotage.ts';

/** Plays seeds with each deliberate defect, and tells how often the checker for it noticed. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
const seeds = Number(values.seeds);
process.stdout.write('| defect | PoPs | noticed by | in | first seed |\n| --- | --- | --- | --- | --- |\n');
let unnoticed = 0;
for (const sabotage of SABOTAGES.filter(
  ({ name }) => values.only === undefined || name.includes(values.only),
)) {
  const { caught, others, first } = await hunt(sabotage, seeds, Number(values.from));
  if (caught === 0) unnoticed += 1;
  const also = others.length > 0 ? `, others in ${others.length}: ${others[0]!.broken}` : '';
  process.stdout.write(
    `| ${sabotage.name} | ${sabotage.pops} | ${sabotage.by} | ${caught} of ${seeds}${also} | ${first ?? ''} |\n`,
  );
}
process.exitCode = unnoticed > 0 ? 1 : 0;
