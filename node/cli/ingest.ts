import { resolve } from 'node:path';
import { PresageError } from '../../protocol/errors.ts';
import { type LogFormat, readLog, readLogFile } from '../ingest/log-reader.ts';
import type { Observation } from '../ingest/observation.ts';
import { rpcClient } from '../rpc/client.ts';
import type { CommandIo } from './io.ts';
import { type DaemonOptions, dataDirOf } from './remote.ts';
import { printable } from './table.ts';

/** Observations sent in one call. */
const BATCH = 2000;
/** Malformed lines that are shown one by one. */
const SHOWN_MAX = 10;
const PROGRESS_MS = 500;
/** The daemon may be busy forecasting. */
const CALL_MS = 120_000;

export interface IngestOptions extends DaemonOptions {
  readonly host?: string;
  readonly format?: LogFormat | 'auto';
}

/** Sends the requests of logs (`-` for standard input) to the daemon; returns the exit code. */
export async function ingest(
  files: readonly string[],
  options: IngestOptions,
  io: CommandIo,
): Promise<number> {
  const client = rpcClient(dataDirOf(options, io));
  const total = { read: 0, accepted: 0, refused: 0, malformed: 0 };
  const reasons = new Map<string, number>();
  const progress = new Progress(io, options.json !== true);
  let waiting: Observation[] = [];

  const send = async () => {
    if (waiting.length === 0) return;
    const observations = waiting;
    waiting = [];
    const params = { observations, ...(options.host !== undefined && { host: options.host }) };
    const result = await client.call('ingest', params, { timeoutMs: CALL_MS });
    total.accepted += result.accepted;
    total.refused += result.refused;
    for (const { code, count } of result.reasons) reasons.set(code, (reasons.get(code) ?? 0) + count);
    progress.show(total);
  };

  let failed: unknown;
  try {
    for (const file of files) {
      const settings = {
        format: options.format ?? 'auto',
        malformed: (line: number, reason: string) => {
          total.malformed += 1;
          if (total.malformed <= SHOWN_MAX) progress.say(`${file}:${line}: ${reason}`);
        },
      } as const;
      const batches =
        file === '-'
          ? readLog(io.stdin as unknown as AsyncIterable<Uint8Array>, settings)
          : readLogFile(resolve(io.cwd, file), settings);
      for await (const batch of batches) {
        total.read += batch.length;
        for (const observation of batch) {
          waiting.push(observation);
          if (waiting.length >= BATCH) await send();
        }
      }
      await send();
    }
  } catch (error) {
    failed = error;
  }
  progress.end();
  const refusals = [...reasons].map(([code, count]) => ({ code, count }));
  if (options.json) io.stdout.write(`${JSON.stringify({ ...total, reasons: refusals })}\n`);
  else {
    io.stdout.write(
      `${total.accepted} accepted, ${total.refused} refused, ${total.malformed} malformed lines\n`,
    );
    for (const { code, count } of refusals) io.stdout.write(`${count} × ${printable(code)}\n`);
  }
  if (failed !== undefined) throw failed;
  if (total.read === 0 && total.malformed > 0) {
    throw new PresageError('INPUT_MALFORMED', 'no line could be read; name its format with --format');
  }
  return 0;
}

/** One line that is written over, where standard error is a terminal. */
class Progress {
  readonly #io: CommandIo;
  readonly #live: boolean;
  #shownAt = 0;
  #open = false;

  constructor(io: CommandIo, wanted: boolean) {
    this.#io = io;
    this.#live = wanted && (io.stderr as NodeJS.WriteStream).isTTY === true;
  }

  show(total: { read: number; accepted: number; malformed: number }): void {
    if (!this.#live || performance.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = performance.now();
    this.#open = true;
    this.#io.stderr.write(
      `\r${total.accepted} of ${total.read} requests sent, ${total.malformed} lines malformed`,
    );
  }

  say(text: string): void {
    this.end();
    this.#io.stderr.write(`${printable(text)}\n`);
  }

  end(): void {
    if (this.#open) this.#io.stderr.write('\n');
    this.#open = false;
  }
}
