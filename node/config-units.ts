import { isIP } from 'node:net';

/**
 * How amounts are written in configuration: sizes in binary units, rates a second, durations, network endpoints.
 * Parsers throw a plain `Error` whose message says what is expected; `config.ts` adds key, value and code.
 */

export interface Endpoint {
  /** IP address or host name, without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
  tb: 1000 ** 4,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const AMOUNT = /^([+-]?\d+(?:\.\d+)?)\s*([a-z]+)$/i;

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?$/i;

/** Bytes of a text such as `10GiB` or `500 MB`; a bare number is bytes. */
export function parseSize(raw: unknown): number {
  if (typeof raw === 'number' || (typeof raw === 'string' && /^\d+$/.test(raw.trim()))) {
    return whole(Number(raw), 'a size');
  }
  const [, amount, unit] = AMOUNT.exec(String(raw).trim()) ?? [];
  const factor = SIZE_UNITS[unit?.toLowerCase() ?? ''];
  if (typeof raw !== 'string' || factor === undefined) {
    throw new Error('expected a size such as "512MiB", "10GiB" or "2TB"');
  }
  return whole(Math.round(Number(amount) * factor), 'a size');
}

/** Bytes a second of a text such as `50MiB/s`. */
export function parseRate(raw: unknown): number {
  const text = String(raw).trim();
  if (typeof raw === 'string' && !/\/s$/i.test(text) && !/^\d+$/.test(text)) {
    throw new Error('expected a rate such as "50MiB/s"');
  }
  try {
    return parseSize(typeof raw === 'string' ? text.replace(/\/s$/i, '') : raw);
  } catch {
    throw new Error('expected a rate such as "50MiB/s"');
  }
}

/** Milliseconds of a text such as `30s`, `1.5h` or `250ms`. A number without a unit is refused as ambiguous. */
export function parseDuration(raw: unknown): number {
  const ms = parseOffset(typeof raw === 'number' ? `${raw}?` : raw);
  if (ms < 0 || /^\s*0*\d+\s*$/.test(String(raw))) {
    throw new Error('expected a duration with its unit, such as "250ms", "30s", "10m" or "2h"');
  }
  return ms;
}

/** Milliseconds, negative allowed; a number without a unit is milliseconds. */
export function parseOffset(raw: unknown): number {
  if (typeof raw === 'number' && Number.isSafeInteger(raw)) return raw;
  const text = String(raw).trim();
  if (/^[+-]?\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const [, amount, unit] = AMOUNT.exec(text) ?? [];
  const factor = DURATION_UNITS[unit?.toLowerCase() ?? ''];
  const ms = Math.round(Number(amount) * (factor ?? Number.NaN));
  if (!Number.isSafeInteger(ms)) {
    throw new Error('expected a duration with its unit, such as "250ms", "30s", "10m" or "2h"');
  }
  return ms;
}

/** `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (all addresses); `off` and the empty text give `undefined`. */
export function parseEndpoint(raw: unknown): Endpoint | undefined {
  const text = String(raw).trim();
  if (raw === false || text === '' || text.toLowerCase() === 'off') return undefined;
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = bracketed ?? (plain === '' ? '::' : plain);
  const valid =
    host !== undefined && port <= 65_535 && (bracketed === undefined ? isName(host) : isIP(bracketed) === 6);
  if (!valid) {
    throw new Error('expected HOST:PORT such as "127.0.0.1:8080", "[::]:8080" or ":8080", or "off"');
  }
  return { host, port };
}

const isName = (host: string) =>
  host === '::' || isIP(host) === 4 || (HOST_NAME.test(host) && !/^[\d.]+$/.test(host));

function whole(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`expected ${what} that is not negative`);
  return value;
}

export const printEndpoint = (endpoint: Endpoint | undefined): string =>
  endpoint === undefined
    ? 'off'
    : `${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;

/** The largest binary unit that divides the amount without a rest. */
export function printSize(bytes: number): string {
  for (const [unit, factor] of [
    ['TiB', 1024 ** 4],
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

/** The largest unit that divides the amount without a rest. */
export function printDuration(ms: number): string {
  for (const [unit, factor] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    if (ms !== 0 && ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}
