import { type DestinationStream, pino } from 'pino';
import { PresageError } from '../protocol/errors.ts';
import type { Fields, Log } from '../protocol/ports.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogOptions {
  readonly level?: LogLevel;
  /** Fields of every line, such as the PoP's name. */
  readonly fields?: Fields;
  /** Readable lines in place of JSON; by default where standard error is a terminal. */
  readonly readable?: boolean;
  /** By default standard error, written synchronously so that the last words before a crash are kept. */
  readonly destination?: DestinationStream;
}

/**
 * The log port over pino, in this thread alone: pino's transports would each cost a worker thread and its memory.
 * Errors among the fields are written as code, message and data, with the stack only for defects.
 */
export async function openLog(options: LogOptions = {}): Promise<Log> {
  const readable = options.readable ?? (options.destination === undefined && process.stderr.isTTY === true);
  const destination = options.destination ?? standardError();
  const stream = readable ? await prettied(destination) : destination;
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
    },
    stream,
  );
  return wrap(logger.child(plain(options.fields ?? {})));
}

type Logger = ReturnType<typeof pino>;

function wrap(logger: Logger): Log {
  return {
    debug: (message, fields) => logger.debug(fields === undefined ? {} : plain(fields), message),
    info: (message, fields) => logger.info(fields === undefined ? {} : plain(fields), message),
    warn: (message, fields) => logger.warn(fields === undefined ? {} : plain(fields), message),
    error: (message, fields) => logger.error(fields === undefined ? {} : plain(fields), message),
    child: (fields) => wrap(logger.child(plain(fields))),
  };
}

/** Fields as JSON can hold them. */
function plain(fields: Fields): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    result[name] =
      value instanceof Error ? plainError(value) : typeof value === 'bigint' ? String(value) : value;
  }
  return result;
}

function plainError(error: Error): Record<string, unknown> {
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  if (error instanceof PresageError && error.code !== 'INTERNAL') {
    return { code: error.code, message: error.message, remedy: error.remedy, ...error.data, ...cause };
  }
  return { message: error.message, ...cause, stack: error.stack };
}

function standardError(): DestinationStream {
  const stream = pino.destination({ dest: 2, sync: true });
  // Whoever read standard error is gone; the daemon serves on.
  stream.on('error', () => undefined);
  return stream;
}

async function prettied(destination: DestinationStream): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const print = prettyFactory({
    colorize: process.stderr.isTTY === true && process.env.NO_COLOR === undefined,
    translateTime: 'SYS:HH:MM:ss.l',
    messageKey: 'message',
    singleLine: true,
  });
  return { write: (line: string) => destination.write(print(line)) };
}
