import { type Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../config.ts';
import type { Call, MethodName, Result } from '../rpc/methods.ts';
import type { CommandIo } from './io.ts';

/** Options of every command that asks the daemon. */
export function withDaemon(command: Command): Command {
  return command
    .option('--config <FILE>', 'configuration of the daemon to ask')
    .option('--data-dir <DIR>', 'data directory of the daemon to ask')
    .option('--json', 'print the result as JSON');
}

export interface DaemonOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

/** The data directory that options, environment and file name. */
export function dataDirOf(options: DaemonOptions, io: CommandIo): string {
  const flags = options.dataDir === undefined ? {} : { 'data-dir': options.dataDir };
  return loadConfig({ file: options.config, flags, env: io.env, cwd: io.cwd }).dataDir;
}

/** Asks the daemon, prints the answer as JSON or through `view`, and returns it. */
export async function ask<M extends MethodName>(
  io: CommandIo,
  options: DaemonOptions,
  method: M,
  params: Call<M>,
  view: (result: Result<M>) => string,
  timeoutMs?: number,
): Promise<Result<M>> {
  const { rpcClient } = await import('../rpc/client.ts');
  const client = rpcClient(dataDirOf(options, io));
  const result = await client.call(method, params, timeoutMs === undefined ? {} : { timeoutMs });
  io.stdout.write(`${options.json ? JSON.stringify(result) : view(result)}\n`);
  return result;
}

/** Parser of a whole number of at least `min` for commander. */
export const integer =
  (min: number, max = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
    }
    return value;
  };

/** Parser of a time: ISO 8601 or Unix ms. */
export function time(text: string): number {
  const value = /^\d{10,15}$/.test(text) ? Number(text) : Date.parse(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError('expected a time such as 2026-12-01T20:00:00Z');
  return value;
}
