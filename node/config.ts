import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { PresageError } from '../protocol/errors.ts';
import { type Config, type ConfigPath, flagOf, PATHS, specOf, variableOf } from './config-table.ts';
import type { Endpoint } from './config-units.ts';
import { nearest } from './spelling.ts';

export type { Config, ConfigPath } from './config-table.ts';
export type { Endpoint } from './config-units.ts';

/** A configuration file larger than this is a mistake. */
const FILE_BYTES_MAX = 1 << 20;

export interface ConfigSources {
  /** TOML file; `PRESAGE_CONFIG` if absent; none if both are. */
  readonly file?: string | undefined;
  /** Values of flags by their name without dashes (`data-dir`); several values of one flag as an array. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** Environment, of which the `PRESAGE_…` variables count. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Directory that relative paths of flags, variables and defaults start from; the current one by default. */
  readonly cwd?: string;
}

export type ConfigOrigin = 'flag' | 'variable' | 'file' | 'default' | 'unset';

/** One key as `presage config` shows it. */
export interface ConfigEntry {
  readonly key: ConfigPath;
  /** As it would be written; `null` where the key is not set. */
  readonly value: string | null;
  readonly source: ConfigOrigin;
  /** Flag, variable or file that the value came from. */
  readonly from: string;
  readonly doc: string;
}

/** The effective configuration and where each value came from. */
export interface Explained {
  readonly config: Config;
  readonly entries: readonly ConfigEntry[];
  readonly file: string | undefined;
}

/** Variables of the environment that are Presage's but not keys of the configuration; the benches read `PRESAGE_DATA`. */
const OTHER_VARIABLES: readonly string[] = ['PRESAGE_CONFIG', 'PRESAGE_DATA'];

/**
 * The effective configuration: flag > variable > file > default.
 * Fails with `CONFIG_UNKNOWN` or `CONFIG_INVALID`, naming every key, value and remedy that it found wanting.
 */
export function loadConfig(sources: ConfigSources = {}): Config {
  return explainConfig(sources).config;
}

/** As `loadConfig`, and where each value came from. */
export function explainConfig(sources: ConfigSources = {}): Explained {
  const env = sources.env ?? {};
  const flags = sources.flags ?? {};
  const cwd = sources.cwd ?? process.cwd();
  const given = sources.file ?? (env.PRESAGE_CONFIG || undefined);
  const file = given === undefined ? undefined : resolve(cwd, given);
  const fromFile = file === undefined ? new Map<string, unknown>() : flatten(readToml(file));

  refuseUnknown(fromFile.keys(), PATHS, (key) => `${key} in ${file}`);
  refuseUnknown(Object.keys(flags), PATHS.map(flagOf), (flag) => `--${flag}`);
  refuseUnknown(
    Object.keys(env).filter((name) => name.startsWith('PRESAGE_') && !OTHER_VARIABLES.includes(name)),
    PATHS.map(variableOf),
    (name) => name,
  );

  const problems: Problem[] = [];
  const values = new Map<ConfigPath, unknown>();
  const entries: ConfigEntry[] = [];
  for (const path of PATHS) {
    const spec = specOf(path);
    const { raw, source, from, base } = pick(path, { flags, env, fromFile, file, cwd });
    let value: unknown;
    if (source !== 'unset') {
      try {
        value = spec.kind.parse(raw, base);
      } catch (error) {
        problems.push({ key: path, from, value: raw, remedy: error instanceof Error ? error.message : '' });
        continue;
      }
    }
    values.set(path, value);
    entries.push({
      key: path,
      value: source === 'unset' ? null : spec.kind.print(value),
      source,
      from,
      doc: spec.doc,
    });
  }
  if (problems.length > 0) throw invalid(problems);
  const config = nest(values);
  const wrong = contradictions(config);
  if (wrong.length > 0) throw invalid(wrong);
  return { config, entries, file };
}

interface Problem {
  readonly key: ConfigPath;
  readonly from: string;
  readonly value: unknown;
  readonly remedy: string;
}

function invalid(problems: readonly Problem[]): PresageError {
  const lines = problems.map(({ key, from, value, remedy }) => {
    const shown = JSON.stringify(value)?.slice(0, 120) ?? 'nothing';
    return `${key} = ${shown} (from ${from}): ${remedy}`;
  });
  return new PresageError('CONFIG_INVALID', lines.join('\n'), { problems });
}

function refuseUnknown(
  given: Iterable<string>,
  known: readonly string[],
  describe: (name: string) => string,
): void {
  const unknown = [...given].filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  const lines = unknown.map((name) => {
    const guess = nearest(name, known);
    return `${describe(name)} is not a key${guess === undefined ? '' : `; did you mean ${guess}?`}`;
  });
  throw new PresageError('CONFIG_UNKNOWN', lines.join('\n'), { unknown });
}

function pick(
  path: ConfigPath,
  at: {
    flags: Readonly<Record<string, unknown>>;
    env: Readonly<Record<string, string | undefined>>;
    fromFile: ReadonlyMap<string, unknown>;
    file: string | undefined;
    cwd: string;
  },
): { raw: unknown; source: ConfigOrigin; from: string; base: string } {
  const flag = at.flags[flagOf(path)];
  if (flag !== undefined) return { raw: flag, source: 'flag', from: `--${flagOf(path)}`, base: at.cwd };
  const variable = at.env[variableOf(path)];
  if (variable !== undefined && variable !== '') {
    return { raw: variable, source: 'variable', from: variableOf(path), base: at.cwd };
  }
  if (at.file !== undefined && at.fromFile.has(path)) {
    return { raw: at.fromFile.get(path), source: 'file', from: at.file, base: dirname(at.file) };
  }
  const preset = specOf(path).default;
  if (preset === undefined) return { raw: undefined, source: 'unset', from: '', base: at.cwd };
  return { raw: preset, source: 'default', from: 'default', base: at.cwd };
}

function readToml(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PresageError('CONFIG_INVALID', `${file} cannot be read: ${reason}`, { file }, error);
  }
  if (text.length > FILE_BYTES_MAX) {
    throw new PresageError('CONFIG_INVALID', `${file} is larger than ${FILE_BYTES_MAX} bytes`, { file });
  }
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new PresageError('CONFIG_INVALID', `${file} is not TOML: ${error.message}`, {
      file,
      line: error.line,
    });
  }
}

/** Keys with dots; a table that is itself a key of ours is not entered. */
function flatten(table: Record<string, unknown>, prefix = '', into = new Map<string, unknown>()) {
  for (const [name, value] of Object.entries(table)) {
    const path = `${prefix}${name}`;
    const isTable =
      typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
    if (isTable) flatten(value as Record<string, unknown>, `${path}.`, into);
    else into.set(path, value);
  }
  return into;
}

function nest(values: ReadonlyMap<ConfigPath, unknown>): Config {
  const root: Record<string, unknown> = {};
  for (const [path, value] of values) {
    const steps = path.split('.');
    let at = root;
    for (const step of steps.slice(0, -1)) {
      at[step] ??= {};
      at = at[step] as Record<string, unknown>;
    }
    at[steps.at(-1) ?? path] = value;
  }
  return root as Config;
}

/** Loopback by address or by the one name that always means it. */
export const isLoopback = ({ host }: Endpoint): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

/** What is wrong only in company. */
function contradictions(config: Config): readonly Problem[] {
  const found: Problem[] = [];
  const say = (key: ConfigPath, value: unknown, remedy: string) =>
    found.push({ key, value, remedy, from: 'the whole' });
  const { cluster, rpc, http, storage } = config;
  if ((cluster.certificate === undefined) !== (cluster.key === undefined)) {
    const key = cluster.certificate === undefined ? 'cluster.certificate' : 'cluster.key';
    say(key, undefined, 'set cluster.certificate and cluster.key together, both from `presage keys`');
  }
  if (cluster.certificate !== undefined && cluster.charter === undefined) {
    say('cluster.charter', undefined, 'a PoP with a certificate needs the charter of its cluster');
  }
  for (const key of ['charter', 'founders', 'revocations'] as const) {
    if (cluster.certificate !== undefined || cluster[key] === undefined) continue;
    say(
      `cluster.${key}`,
      cluster[key],
      'leave it out, or set cluster.certificate: a PoP alone is its own operator',
    );
  }
  if (config.origin !== undefined && cluster.charter !== undefined) {
    say('origin', config.origin, 'leave it out: with a charter, the sites of the charter name their origins');
  }
  if ((http.tls.certificate === undefined) !== (http.tls.key === undefined)) {
    const key = http.tls.certificate === undefined ? 'http.tls.certificate' : 'http.tls.key';
    say(key, undefined, 'set http.tls.certificate and http.tls.key together');
  }
  if (rpc.listen !== undefined && !isLoopback(rpc.listen)) {
    say(
      'rpc.listen',
      rpc.listen.host,
      'expected a loopback address such as "127.0.0.1:9090"; tunnel to it from afar',
    );
  }
  if (storage.maxObject > storage.budget) {
    say('storage.maxObject', storage.maxObject, 'expected at most storage.budget');
  }
  return found;
}
