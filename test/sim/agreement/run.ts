import { Scenario } from './scenario.ts';

export interface AgreementRun {
  readonly seeds: number;
  readonly from: number;
  readonly pops: number | undefined;
  readonly verbose: boolean;
}

/** Seeds between two lines that tell how far it is. */
const PROGRESS = 1_000;

/** Plays the agreement alone, and tells of seeds that fail; how many did. */
export function runAgreement({ seeds, from, pops, verbose }: AgreementRun): number {
  let failed = 0;
  const total = { heights: 0, messages: 0, crashes: 0, liars: 0, rounds: 0, contested: 0, convergedMs: 0 };
  for (let seed = from; seed < from + seeds; seed += 1) {
    const outcome = new Scenario({ seed, ...(pops !== undefined && { pops }) }).run();
    total.heights += outcome.heights;
    total.messages += outcome.messages;
    total.crashes += outcome.crashes;
    total.liars += outcome.liars;
    total.contested += outcome.contested;
    total.rounds = Math.max(total.rounds, outcome.rounds);
    total.convergedMs = Math.max(total.convergedMs, outcome.convergedMs);
    const done = seed - from + 1;
    if (done % PROGRESS === 0) process.stderr.write(`${done} of ${seeds}, ${failed} failed\n`);
    if (verbose) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    if (!outcome.broken) continue;
    failed += 1;
    const again = `npm run sim -- --world agreement --seeds 1 --from ${seed}${pops === undefined ? '' : ` --pops ${pops}`}`;
    process.stdout.write(`seed ${seed}, ${outcome.pops} PoPs: ${outcome.broken}\n  again: ${again}\n`);
  }
  const seconds = process.uptime().toFixed(1);
  process.stdout.write(
    `${total.heights} heights, ${total.contested} contested, ${total.messages} messages, ${total.crashes} crashes, ${total.liars} liars, ` +
      `round ${total.rounds} at most, slowest convergence ${Math.round(total.convergedMs)} ms, ${seconds} s\n`,
  );
  process.stdout.write(`${seeds - failed} passed, ${failed} failed\n`);
  return failed;
}
