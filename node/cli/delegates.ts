import type { LogFormat } from '../ingest/log-reader.ts';

/** What the command line hands to the commands that work offline. */

export interface PredictOptions {
  /** Steps ahead. */
  readonly horizon: number;
  /** Lengths of seasons in steps; empty: found from the step. */
  readonly seasons: readonly number[];
  /** Coverage of the interval in percent. */
  readonly level: number;
}

export interface SimulateOptions {
  readonly log: readonly string[];
  readonly format: LogFormat | 'auto';
  /** Number of PoPs, or a file. */
  readonly pops: string;
  /** Size such as `2GiB`, as given. */
  readonly storage?: string;
  /** Rate such as `50MiB/s`, as given. */
  readonly bandwidth?: string;
  readonly regionBy: 'geoip' | 'tld' | 'hash';
  readonly json?: boolean;
}
