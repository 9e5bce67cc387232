import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Finding, Report } from './engine.ts';
import type { LaneOrder, LaneWord } from './lane.ts';
import { TARGETS } from './targets.ts';

/** A decoder's process gets this much memory, and no more: whoever needs it all is found. */
const HEAP_MIB = 512;
/** A thousand inputs that take longer than this hold one that hangs. */
const HANG_MS = 180_000;
/** Reports of one target are asked for in parts, so that little is lost with a process. */
const PART = 250_000;

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '200000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    target: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
const firstSeed = Number(values.seed);
const chosen = TARGETS.filter(({ name }) => values.target?.includes(name) ?? true);
if (chosen.length === 0) {
  process.stderr.write(`no such target; there are: ${TARGETS.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}

let lane: ChildProcess | undefined;
process.on('exit', () => lane?.kill('SIGKILL'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** Runs an order in a process of its own; gives its report, or how far it came and how it ended. */
function run(order: LaneOrder): Promise<Report | { readonly from: number; readonly how: string }> {
  const child = fork(join(import.meta.dirname, 'lane.ts'), {
    execArgv: [`--max-old-space-size=${HEAP_MIB}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  lane = child;
  child.send(order);
  return new Promise((resolve) => {
    let from = 0;
    let report: Report | undefined;
    let hung = false;
    const silent = () => {
      hung = true;
      child.kill('SIGKILL');
    };
    let watch = setTimeout(silent, HANG_MS);
    child.on('message', (word: LaneWord) => {
      clearTimeout(watch);
      if (word.type === 'done') report = word.report;
      else {
        from = word.inputs;
        watch = setTimeout(silent, HANG_MS);
      }
    });
    child.on('close', (code, signal) => {
      clearTimeout(watch);
      resolve(report ?? { from, how: hung ? 'hangs' : `kills its process (${signal ?? code})` });
    });
  });
}

/** As `run`; a process that was lost is a finding, and the input that it was lost over is looked for. */
async function part(target: string, inputs: number, seed: number): Promise<Report> {
  const outcome = await run({ target, inputs, seed });
  if (!('how' in outcome)) return outcome;
  const directory = mkdtempSync(join(tmpdir(), 'presage-fuzz-'));
  const file = join(directory, 'input');
  await run({ target, inputs, seed, trace: { from: outcome.from, file } });
  const input = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  rmSync(directory, { recursive: true });
  const finding: Finding = {
    ...{ target, what: outcome.how, bytes: input.length },
    input: input.subarray(0, 4_096).toString('hex'),
  };
  const none = { accepted: 0, refused: {}, outcomes: 0, slowestMs: 0 };
  return { target, inputs: outcome.from, ...none, findings: [finding] };
}

const startedAt = performance.now();
const shares = chosen.reduce((sum, { share = 1 }) => sum + share, 0);
const totals = { inputs: 0, accepted: 0, findings: [] as Finding[] };
for (const { name, share = 1 } of chosen) {
  const perTarget = Math.ceil((Number(values.inputs) * share) / shares);
  const began = performance.now();
  const sum = { inputs: 0, accepted: 0, outcomes: 0, slowestMs: 0 };
  for (let seed = firstSeed; sum.inputs < perTarget; seed += 1) {
    const report = await part(name, Math.min(PART, perTarget - sum.inputs), seed >>> 0);
    sum.inputs += report.inputs;
    sum.accepted += report.accepted;
    sum.outcomes = Math.max(sum.outcomes, report.outcomes);
    sum.slowestMs = Math.max(sum.slowestMs, report.slowestMs);
    totals.findings.push(...report.findings);
    for (const { what, bytes, input } of report.findings) {
      process.stderr.write(`${name}: ${what}\n  ${bytes} bytes: ${input}\n`);
      process.stderr.write(
        `  npm run fuzz -- --target ${name} --seed ${seed} --inputs ${report.inputs + 1_000}\n`,
      );
    }
    if (report.findings.length > 0) break;
  }
  totals.inputs += sum.inputs;
  totals.accepted += sum.accepted;
  const line = `${sum.inputs} inputs, ${sum.accepted} decoded, ${sum.outcomes} outcomes, slowest ${sum.slowestMs} ms`;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  process.stderr.write(`${name.padEnd(22)} ${line}, ${seconds} s\n`);
}
const seconds = Math.round((performance.now() - startedAt) / 1000);
const { inputs, findings } = totals;
const result = { seed: firstSeed, seconds, targets: chosen.length, ...totals };
process.stdout.write(
  values.json
    ? `${JSON.stringify(result)}\n`
    : `${inputs} inputs to ${chosen.length} decoders in ${seconds} s, seed ${firstSeed}: ${findings.length} findings\n`,
);
process.exitCode = findings.length === 0 ? 0 : 1;
