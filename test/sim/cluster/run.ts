import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { Dice } from '../../../node/simulator/dice.ts';
import { draw, FAULTS, type Fault } from './draw.ts';
import { type Outcome, Scenario } from './scenario.ts';

/** Simulates whole clusters, a seed each, as many at a time as there are cores. */
export interface RunOptions {
  readonly seeds: number;
  readonly from: number;
  readonly pops: number | undefined;
  readonly faults: readonly Fault[] | undefined;
  readonly workers: number | undefined;
  readonly verbose: boolean;
}

/** Seeds that a process is given at once. */
const BATCH = 10;
/** Clusters of more PoPs take their time. */
const LARGE = 30;
/** Seeds of which each is played twice, to see that it is the same history. */
const TWICE = 20;
/** Real ms between two lines that tell how far it is. */
const PROGRESS_MS = 10_000;

interface Batch {
  readonly seeds: readonly number[];
  readonly pops: number | undefined;
  readonly faults: readonly Fault[] | undefined;
  readonly verbose: boolean;
}
type Report = Outcome & { readonly cpuMs: number; readonly logs?: string };

/** The sums over all seeds. */
interface Totals {
  passed: number;
  failed: number;
  heights: number;
  messages: number;
  crashes: number;
  liars: number;
  convergedMs: number;
  mirroredBytes: number;
  readonly counts: Record<string, number>;
}

/** The number of seeds that failed. */
export async function runClusters(options: RunOptions): Promise<number> {
  const { seeds } = options;
  const totals: Totals = {
    ...{
      passed: 0,
      failed: 0,
      heights: 0,
      messages: 0,
      crashes: 0,
      liars: 0,
      convergedMs: 0,
      mirroredBytes: 0,
    },
    counts: {},
  };
  const batches = batchesOf(options);
  let toldAt = Date.now();
  const work = (child: ChildProcess) =>
    new Promise<void>((resolve, reject) => {
      const give = () => {
        const batch = batches.shift();
        if (batch) child.send(batch);
        else {
          child.disconnect();
          resolve();
        }
      };
      child.on('message', (message: Report | 'done') => {
        if (message === 'done') return give();
        add(totals, message, options);
        if (Date.now() - toldAt < PROGRESS_MS) return;
        toldAt = Date.now();
        process.stderr.write(`${totals.passed + totals.failed} of ${seeds}, ${totals.failed} failed\n`);
      });
      child.on(
        'exit',
        (code) => code !== 0 && reject(new Error(`a process of the simulation ended with ${code}`)),
      );
      give();
    });
  const count = Math.max(1, Math.min(options.workers ?? availableParallelism(), batches.length));
  const children = Array.from({ length: count }, () => fork(import.meta.filename, ['worker']));
  await Promise.all(children.map(work));
  const { counts } = totals;
  process.stdout.write(
    `${totals.heights} heights, ${totals.messages} messages, ${totals.crashes} crashes, ${totals.liars} liars, ` +
      `${counts.served ?? 0} answers, ${counts.ordered ?? 0} purges, ${counts.acknowledged ?? 0} acknowledgements, ` +
      `${counts.mirrored ?? 0} mirrors, slowest convergence ${Math.round(totals.convergedMs)} ms, ` +
      `${process.uptime().toFixed(0)} s\n${totals.passed} passed, ${totals.failed} failed\n`,
  );
  return totals.failed;
}

/** The large clusters come first and one by one, so that no process is left with one at the end. */
function batchesOf({ from, seeds, pops, faults, verbose }: RunOptions): Batch[] {
  const small: number[] = [];
  const large: { readonly seed: number; readonly size: number }[] = [];
  for (let seed = from; seed < from + seeds; seed += 1) {
    const size = pops ?? draw(new Dice(seed), {}).pops;
    if (size > LARGE) large.push({ seed, size });
    else small.push(seed);
  }
  large.sort((a, b) => b.size - a.size);
  const groups = large.map(({ seed }) => [seed]);
  for (let at = 0; at < small.length; at += BATCH) groups.push(small.slice(at, at + BATCH));
  return groups.map((group) => ({ seeds: group, pops, faults, verbose }));
}

function add(totals: Totals, report: Report, { pops, faults, verbose }: RunOptions): void {
  totals.heights += report.heights;
  totals.messages += report.messages;
  totals.crashes += report.crashes;
  totals.liars += report.liars;
  totals.mirroredBytes += report.mirroredBytes;
  totals.convergedMs = Math.max(totals.convergedMs, report.convergedMs);
  for (const [name, count] of Object.entries(report.counts))
    totals.counts[name] = (totals.counts[name] ?? 0) + count;
  if (verbose) {
    const { logs: _, ...told } = report;
    process.stdout.write(`${JSON.stringify(told)}\n`);
  }
  if (report.broken === undefined) {
    totals.passed += 1;
    return;
  }
  totals.failed += 1;
  const sized = pops === undefined ? '' : ` --pops ${pops}`;
  const faulty = faults === undefined ? '' : ` --faults ${faults.join() || 'none'}`;
  process.stdout.write(
    `seed ${report.seed}, ${report.pops} PoPs, ${report.liars} liars: ${report.broken}\n` +
      `  drawn: ${report.faults.join(', ') || 'no faults'}\n` +
      `  again: npm run sim -- --seeds 1 --from ${report.seed}${sized}${faulty} --verbose\n`,
  );
  if (verbose && report.logs) process.stdout.write(`${report.logs}\n`);
}

async function play({ seeds, pops, faults, verbose }: Batch, say: (report: Report) => void): Promise<void> {
  for (const seed of seeds) {
    const options = {
      ...{ seed, verbose },
      ...(pops !== undefined && { pops }),
      ...(faults !== undefined && { faults: new Set(faults) }),
    };
    const begun = process.cpuUsage();
    const scenario = new Scenario(options);
    let outcome = await scenario.run();
    if (seed % TWICE === 0 && outcome.pops <= 10) {
      const again = await new Scenario(options).run();
      if (again.trace !== outcome.trace)
        outcome = { ...outcome, broken: `determinism: ${outcome.trace}, then ${again.trace}` };
    }
    const { user, system } = process.cpuUsage(begun);
    const cpuMs = Math.round((user + system) / 1_000);
    say({ ...outcome, cpuMs, ...(verbose && outcome.broken && { logs: scenario.logs() }) });
  }
}

/** `none`, or names of faults with commas between them. Throws on what is neither. */
export function readFaults(text: string): readonly Fault[] {
  if (text === 'none') return [];
  return text.split(',').map((name) => {
    const fault = FAULTS.find((one) => one === name);
    if (!fault) throw new Error(`--faults ${name}: none, or some of ${FAULTS.join()}`);
    return fault;
  });
}

if (process.argv[2] === 'worker') {
  const say = (message: Report | 'done') => void process.send?.(message);
  process.on('message', (batch: Batch) => {
    play(batch, say).then(
      () => say('done'),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        process.exit(1);
      },
    );
  });
}
