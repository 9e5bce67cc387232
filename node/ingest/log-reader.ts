import { createReadStream } from 'node:fs';
import { PresageError } from '../../protocol/errors.ts';
import { parseCombined } from './combined.ts';
import { parseJsonLine } from './json-lines.ts';
import { decompressed, LINE_LENGTH_MAX, linesOf } from './lines.ts';
import type { Observation } from './observation.ts';
import { parseTsv, parseTsvHeader, type TsvColumns } from './tsv.ts';

export type LogFormat = 'combined' | 'json' | 'tsv';

/** Bytes read from a file at once. */
const PIECE_BYTES = 256 * 1024;

export interface ReadLogOptions {
  /** By default judged by the first line that is not empty. */
  readonly format?: LogFormat | 'auto';
  /** Host name of lines that carry none. */
  readonly host?: string;
  /** Hears of each line that could not be read; counted from 1. */
  readonly malformed?: (line: number, reason: string) => void;
}

/**
 * Requests of a log, gzip or plain, in batches, in the order of the log. Lines that cannot be read are told to
 * `malformed` and skipped. Memory is bounded by a piece of the file. Fails with `INPUT_MALFORMED` if the log is
 * damaged gzip.
 */
export async function* readLog(
  pieces: AsyncIterable<Uint8Array>,
  options: ReadLogOptions = {},
): AsyncGenerator<Observation[]> {
  const { host = '', malformed } = options;
  let format = options.format === 'auto' ? undefined : options.format;
  let columns: TsvColumns | undefined;
  let number = 0;
  try {
    for await (const lines of linesOf(decompressed(pieces))) {
      const batch: Observation[] = [];
      for (const line of lines) {
        number += 1;
        if (line === undefined) {
          malformed?.(number, `longer than ${LINE_LENGTH_MAX} bytes`);
          continue;
        }
        if (line.trim() === '') continue;
        format ??= detect(line);
        if (format === 'tsv' && columns === undefined) {
          columns = parseTsvHeader(line);
          if (columns === undefined) malformed?.(number, 'no header line with host, time and url');
          continue;
        }
        const result =
          format === 'json'
            ? parseJsonLine(line, host)
            : format === 'tsv' && columns !== undefined
              ? parseTsv(line, columns, host)
              : parseCombined(line, host);
        if (typeof result === 'string') malformed?.(number, result);
        else batch.push(result);
      }
      if (batch.length > 0) yield batch;
    }
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw error;
    throw new PresageError(
      'INPUT_MALFORMED',
      `after line ${number}: damaged gzip (${code})`,
      { line: number },
      error,
    );
  }
}

/** As `readLog`, of a file. Fails with `STORE_IO` if it cannot be read. */
export async function* readLogFile(
  file: string,
  options: ReadLogOptions = {},
): AsyncGenerator<Observation[]> {
  const stream = createReadStream(file, { highWaterMark: PIECE_BYTES });
  try {
    yield* readLog(stream as AsyncIterable<Uint8Array>, options);
  } catch (error) {
    if (error instanceof PresageError)
      throw new PresageError(error.code, `${file}: ${error.message}`, error.data, error);
    const { code, message } = error as NodeJS.ErrnoException;
    throw new PresageError(
      'STORE_IO',
      `${file}: ${code === 'ENOENT' ? 'no such file' : message}`,
      { file },
      error,
    );
  } finally {
    stream.destroy();
  }
}

/** What the first line tells; combined where nothing else fits. */
export function detect(line: string): LogFormat {
  if (line.trimStart().startsWith('{')) return 'json';
  return parseTsvHeader(line) ? 'tsv' : 'combined';
}
