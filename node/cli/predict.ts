import { availableParallelism } from 'node:os';
import * as v from 'valibot';
import { ForecastPool } from '../../forecasting/pool.ts';
import type { Series, SeriesForecast } from '../../forecasting/series.ts';
import { VALUES_MAX } from '../../forecasting/series.ts';
import { codeOf, PresageError } from '../../protocol/errors.ts';
import type { Log, Metrics } from '../../protocol/ports.ts';
import { systemClock } from '../adapters/clock.ts';
import { linesOf } from '../ingest/lines.ts';
import type { PredictOptions } from './delegates.ts';

/** Longest line: a series of `VALUES_MAX` values with all their digits. */
const LINE_BYTES_MAX = 4 << 20;
/** Series handed to the workers at once; also how many answers wait for their turn. */
const CHUNK = 256;
/** Values in a chunk, so that chunks of long series stay small in memory. */
const CHUNK_VALUES = 1 << 20;
/** Threads beyond four only wait for the reader. */
const WORKERS_MAX = 4;
const DAY_S = 86_400;
const WEEK_S = 7 * DAY_S;
/** Seasons beyond this many steps (five minutes in a week) are left out when they are found from the step. */
const SEASON_MAX = 2_100;
/** Ms between two states of the progress line. */
const PROGRESS_MS = 200;

const LINE = v.object({
  id: v.union([v.pipe(v.string(), v.maxLength(1024)), v.number()]),
  start: v.pipe(
    v.string(),
    v.check((text) => Number.isFinite(Date.parse(text)), 'must be an ISO 8601 time'),
  ),
  step: v.pipe(
    v.number(),
    v.check((step) => step > 0 && step <= 366 * DAY_S, 'must be seconds above 0'),
  ),
  values: v.pipe(v.array(v.nullable(v.number())), v.maxLength(VALUES_MAX)),
});

/** A parsed line: a series, and the id as it stood there. */
interface Entry {
  readonly id: string | number;
  readonly series: Series;
  readonly seasons: readonly number[];
}

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};
const uncounted: Metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined };

/**
 * `presage predict`: NDJSON series in, NDJSON forecasts out, in order, through the worker pool of the daemon. Streams:
 * what is in memory is bounded by the chunk. A line that cannot be read is reported with its number and left out; the
 * exit code is then 1. Progress goes to `errorOutput` when that is a terminal.
 */
export async function predict(
  options: PredictOptions,
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
  errorOutput: NodeJS.WritableStream,
): Promise<number> {
  const request = {
    horizon: options.horizon,
    level: options.level > 1 ? options.level / 100 : options.level,
  };
  const pool = new ForecastPool(
    { workers: Math.min(WORKERS_MAX, availableParallelism()) },
    { log: silent, metrics: uncounted, clock: systemClock },
  );
  const progress = progressLine(errorOutput);
  let bad = 0;
  const complain = (line: number, error: unknown) => {
    bad++;
    progress.clear();
    const reason = error instanceof Error ? error.message : String(error);
    errorOutput.write(`${codeOf(error, 'INPUT_MALFORMED')} line ${line}: ${reason}\n`);
  };
  try {
    let entries: Entry[] = [];
    let values = 0;
    // One chunk is forecast while the next is read, and never more than that.
    let previous: Promise<void> = Promise.resolve();
    const flush = async () => {
      const chunk = entries;
      entries = [];
      values = 0;
      const forecasts = forecastChunk(pool, chunk, request);
      // A failure is seen when the chunk is awaited; until then it must not count as unhandled.
      forecasts.catch(() => undefined);
      await previous;
      previous = forecasts.then(async (rows) => {
        await writeRows(output, chunk, rows);
        progress.show(chunk.length);
      });
      previous.catch(() => undefined);
    };
    let number = 0;
    for await (const lines of linesOf(bytesOf(input), LINE_BYTES_MAX)) {
      for (const line of lines) {
        number++;
        if (line?.trim() === '') continue;
        try {
          if (line === undefined)
            throw new PresageError('INPUT_MALFORMED', `more than ${LINE_BYTES_MAX} bytes`);
          const entry = parse(line, options.seasons);
          entries.push(entry);
          values += entry.series.values.length;
        } catch (error) {
          complain(number, error);
        }
        if (entries.length >= CHUNK || values >= CHUNK_VALUES) await flush();
      }
    }
    if (entries.length > 0) await flush();
    await previous;
  } catch (error) {
    // The reader of our output has gone: there is nobody to tell.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') {
      progress.clear();
      errorOutput.write(`${codeOf(error)}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
    bad++;
  } finally {
    progress.clear();
    await pool.close();
  }
  return bad > 0 ? 1 : 0;
}

/** A stream as bytes, whether or not it was told to decode. */
async function* bytesOf(input: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const piece of input) yield typeof piece === 'string' ? Buffer.from(piece) : piece;
}

function parse(text: string, seasons: readonly number[]): Entry {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new PresageError('INPUT_MALFORMED', 'not JSON');
  }
  const result = v.safeParse(LINE, value, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const path = issue.path?.map((item) => String(item.key)).join('.') ?? '';
    throw new PresageError('INPUT_MALFORMED', `${path}${path && ': '}${issue.message}`);
  }
  const { id, start, step, values } = result.output;
  return {
    id,
    series: {
      id: String(id),
      startMs: Date.parse(start),
      stepMs: step * 1000,
      values: Float64Array.from(values, (item) => item ?? Number.NaN),
    },
    seasons: seasons.length > 0 ? seasons : seasonsOf(step),
  };
}

/** Day and week in steps, as far as they are whole and of use. */
function seasonsOf(step: number): number[] {
  return [DAY_S / step, WEEK_S / step].filter(
    (season) => Number.isInteger(season) && season >= 2 && season <= SEASON_MAX,
  );
}

/** Forecasts a chunk in order; series with other seasons than their neighbours go in a call of their own. */
async function forecastChunk(
  pool: ForecastPool,
  chunk: readonly Entry[],
  request: { horizon: number; level: number },
): Promise<SeriesForecast[]> {
  const groups: { seasons: readonly number[]; indices: number[] }[] = [];
  chunk.forEach(({ seasons }, i) => {
    const group = groups.find((candidate) => candidate.seasons.join() === seasons.join());
    if (group === undefined) groups.push({ seasons, indices: [i] });
    else group.indices.push(i);
  });
  const out = new Array<SeriesForecast>(chunk.length);
  await Promise.all(
    groups.map(async ({ seasons, indices }) => {
      const series = indices.map((i) => chunk[i]!.series);
      const rows = await pool.predict(series, { ...request, seasons });
      indices.forEach((i, k) => {
        out[i] = rows[k]!;
      });
    }),
  );
  return out;
}

async function writeRows(
  output: NodeJS.WritableStream,
  chunk: readonly Entry[],
  rows: readonly SeriesForecast[],
): Promise<void> {
  const lines = rows.map(({ model, mean, lower, upper }, i) =>
    JSON.stringify({
      id: chunk[i]!.id,
      model,
      mean: rounded(mean),
      lower: rounded(lower),
      upper: rounded(upper),
    }),
  );
  await new Promise<void>((resolve, reject) => {
    output.write(`${lines.join('\n')}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

/** Six significant digits: more is noise, and a third of the bytes. */
const rounded = (row: Float64Array): number[] => Array.from(row, (value) => Number(value.toPrecision(6)));

function progressLine(errorOutput: NodeJS.WritableStream) {
  const terminal = (errorOutput as Partial<NodeJS.WriteStream>).isTTY === true;
  const started = systemClock.monotonic();
  let count = 0;
  let shownAt = Number.NEGATIVE_INFINITY;
  let shown = false;
  return {
    show(more: number): void {
      count += more;
      const now = systemClock.monotonic();
      if (!terminal || now - shownAt < PROGRESS_MS) return;
      shownAt = now;
      shown = true;
      const rate = Math.round((1000 * count) / Math.max(1, now - started));
      errorOutput.write(`\r\u001b[K${count} series, ${rate} a second`);
    },
    clear(): void {
      if (shown) errorOutput.write('\r\u001b[K');
      shown = false;
    },
  };
}
