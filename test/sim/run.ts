import { parseArgs } from 'node:util';
import { runAgreement } from './agreement/run.ts';
import { readFaults, runClusters } from './cluster/run.ts';

const HELP = `npm run sim -- [options]

Plays seeds on virtual time and prints those that fail, with the command that plays them again.

  --seeds N      how many (1000)
  --from N       the first of them (1)
  --pops N       the size of the cluster, instead of the one that the seed draws
  --faults LIST  what may go wrong, with commas between, or none, instead of what the seed draws
  --world NAME   cluster: whole PoPs, all that the daemon runs; agreement: that machine alone, under attacks (cluster)
  --workers N    processes (one a core)
  --verbose      a line of JSON for each seed, and the logs of what failed
`;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    pops: { type: 'string' },
    faults: { type: 'string' },
    world: { type: 'string', default: 'cluster' },
    workers: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const fail = (what: string): never => {
  process.stderr.write(`${what}\n`);
  process.exit(2);
};
const number = (name: string, text: string): number => {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : fail(`--${name} is a whole number above 0`);
};
const optional = (name: 'pops' | 'workers') =>
  values[name] === undefined ? undefined : number(name, values[name]);

if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const options = {
  seeds: number('seeds', values.seeds),
  from: number('from', values.from),
  pops: optional('pops'),
  verbose: values.verbose,
};
if (values.world === 'agreement') process.exitCode = runAgreement(options) > 0 ? 1 : 0;
else if (values.world === 'cluster') {
  let faults: ReturnType<typeof readFaults> | undefined;
  try {
    faults = values.faults === undefined ? undefined : readFaults(values.faults);
  } catch (error) {
    fail((error as Error).message);
  }
  const failed = await runClusters({ ...options, faults, workers: optional('workers') });
  process.exitCode = failed > 0 ? 1 : 0;
} else fail('--world is cluster or agreement');
