import { randomInt } from 'node:crypto';
import { basename } from 'node:path';
import { coded, PresageError } from '../../protocol/errors.ts';
import { type CommandIo, processIo } from '../cli/io.ts';
import { readLogFile } from '../ingest/log-reader.ts';
import type { Load } from './load.ts';
import { nullLoad } from './null-load.ts';
import { promises } from './promises.ts';
import { replayLoad } from './replay.ts';
import { report } from './report.ts';
import { Run } from './run.ts';
import { type Screen, text, View } from './view.ts';
import { PLACES } from './world.ts';
import { zipfLoad } from './zipf-load.ts';

export interface DemoOptions {
  /** Request log to replay: combined, tab-separated or JSON lines. */
  readonly log?: string;
  /** Generated load, if there is no log; `zipf` by default. */
  readonly load?: 'zipf' | 'null';
  /** Demand time per real time; by default such that the load takes about three minutes. */
  readonly speed?: number;
  /** PoPs, 5 by default. */
  readonly pops?: number;
  /** Every PoP plans from its own forecasts and nothing is agreed on, for comparison. */
  readonly ownForecasts?: boolean;
  /** Drawn at random if absent; the report says which. */
  readonly seed?: number;
  /** Keep the directory of the PoPs' data and logs; it is kept in any case when a promise was broken. */
  readonly keep?: boolean;
  readonly json: boolean;
}

/** Exit codes. */
const HELD = 0;
const BROKEN = 1;
const INTERRUPTED = 130;
/** A terminal that is closed ends the demo as Ctrl-C does. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const DEFAULT_POPS = 5;
const MOST_POPS = 16;
/** Generated loads span so much demand time. */
const GENERATED_HOURS = 8;
/** Real time that the load is given, s, so that the whole demo ends within about five minutes. */
const LOAD_SECONDS = { zipf: 160, null: 110, log: 190 } as const;
/** No load may take longer than this in real time, s. */
const MOST_LOAD_SECONDS = 225;
/** Monday, 8:00 UTC: the day curve rises in America and falls in Asia within the run. */
const GENERATED_START = Date.UTC(2026, 0, 5, 8);
const HOUR_MS = 3_600_000;

/**
 * Runs a cluster of real daemons on this machine under a generated or replayed load and reports what it did.
 * Standard output holds the report alone, as text or as one JSON object; progress goes to standard error.
 * Resolves to the exit code: 0 only if every promise held.
 */
export async function demo(
  options: DemoOptions,
  io: Pick<CommandIo, 'stdout' | 'stderr'> = processIo(),
): Promise<number> {
  const seed = options.seed ?? randomInt(2 ** 31);
  const pops = options.pops ?? DEFAULT_POPS;
  if (!Number.isInteger(pops) || pops < 2 || pops > MOST_POPS) {
    throw new PresageError(
      'CONFIG_INVALID',
      `--pops ${pops}: expected a whole number from 2 to ${MOST_POPS}`,
    );
  }
  const load = await makeLoad(options, seed, pops);
  const speed = options.speed ?? speedFor(load);
  const limited = withinTime(load, speed);

  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort(new PresageError('CANCELLED'));
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const screen = screenOf(io.stderr);
  const view: View = new View({ screen, progress: () => run.progress() });
  const run = new Run(
    { load: limited, seed, speed, pops, agree: options.ownForecasts !== true },
    { signal: interrupted.signal, say: (line) => view.say(line) },
  );
  const abandon = () => run.abandon();
  process.on('exit', abandon);
  view.start();
  let code = BROKEN;
  try {
    const result = report(await run.findings(), promises);
    view.stop();
    io.stdout.write(`${options.json ? JSON.stringify(result) : text(result)}\n`);
    code = result.held ? HELD : BROKEN;
  } catch (error) {
    view.stop();
    if (interrupted.signal.aborted) code = INTERRUPTED;
    else io.stderr.write(`The demo failed: ${describe(error)}\n`);
  } finally {
    const keep = options.keep === true || code === BROKEN;
    await run.end({ keep });
    for (const signal of SIGNALS) process.off(signal, interrupt);
    process.off('exit', abandon);
    if (keep && run.directory !== undefined) {
      io.stderr.write(`Data and logs of the PoPs are kept in ${run.directory}\n`);
    }
  }
  return code;
}

async function makeLoad(options: DemoOptions, seed: number, pops: number): Promise<Load> {
  const regions = Math.min(pops, PLACES.length);
  if (options.log !== undefined) {
    let malformed = 0;
    const load = await replayLoad(
      observations(options.log, () => {
        malformed += 1;
      }),
      { regions, name: basename(options.log) },
    );
    return malformed === 0 ? load : { ...load, skipped: { ...load.skipped, 'not readable': malformed } };
  }
  const make = options.load === 'null' ? nullLoad : zipfLoad;
  return make({ seed, start: GENERATED_START, durationMs: GENERATED_HOURS * HOUR_MS, regions });
}

async function* observations(file: string, malformed: () => void) {
  for await (const batch of readLogFile(file, { malformed })) yield* batch;
}

/** A whole speed at which the load takes the time that it is given. */
function speedFor(load: Load): number {
  return Math.max(1, Math.ceil((load.end - load.start) / 1000 / LOAD_SECONDS[load.name]));
}

/** The part of a load that can be played in time; the rest is counted as left out. */
function withinTime(load: Load, speed: number): Load {
  const end = Math.min(load.end, load.start + MOST_LOAD_SECONDS * 1000 * speed);
  const requests = load.requests.filter(({ at }) => at < end);
  if (requests.length === 0)
    throw new PresageError('INPUT_MALFORMED', 'the log has no request that can be replayed');
  const late = load.requests.length - requests.length;
  return late === 0
    ? load
    : { ...load, end, requests, skipped: { ...load.skipped, 'after the end of the demo': late } };
}

function screenOf(stream: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }): Screen {
  return {
    write: (line) => {
      stream.write(line);
    },
    isTTY: stream.isTTY === true,
    ...(stream.columns !== undefined && { columns: stream.columns }),
  };
}

function describe(error: unknown): string {
  const { code, message, remedy } = coded(error);
  return `${code}: ${message}. ${remedy}`;
}
