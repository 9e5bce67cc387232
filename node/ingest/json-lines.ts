import { type Observation, observe } from './observation.ts';

/**
 * One JSON object a line. Field names of Presage's own observations, of common nginx and Apache JSON formats, of
 * Caddy (a `request` object) and of the Elastic Common Schema in dotted form are understood.
 */

const NAMES = {
  at: ['at', 'time', 'timestamp', '@timestamp', 'ts', 'time_iso8601', 'time_local', 'msec'],
  client: ['client', 'remote_addr', 'remote_ip', 'client_ip', 'clientip', 'ip', 'source.ip'],
  method: ['method', 'request_method', 'http.request.method'],
  target: ['url', 'uri', 'request_uri', 'path', 'url.original'],
  host: ['host', 'http_host', 'server_name', 'vhost', 'url.domain'],
  status: ['status', 'response', 'status_code', 'http.response.status_code'],
  bytes: ['bytes', 'body_bytes_sent', 'bytes_sent', 'size', 'http.response.body.bytes'],
  referer: ['referer', 'referrer', 'http_referer', 'http_referrer', 'http.request.referrer'],
} as const;

type Row = Readonly<Record<string, unknown>>;

/** Numbers below this are seconds since 1970, those above are ms: both until the year 2286. */
const SECONDS_MAX = 10_000_000_000;

/** Reads one line; a text is the reason why it is malformed. */
export function parseJsonLine(line: string, defaultHost: string): Observation | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return 'not JSON';
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'not a JSON object';
  const row = parsed as Row;
  const inner = typeof row.request === 'object' && row.request !== null ? (row.request as Row) : undefined;
  const pick = (field: keyof typeof NAMES): unknown => {
    for (const from of inner ? [row, inner] : [row]) {
      for (const name of NAMES[field])
        if (Object.hasOwn(from, name) && from[name] !== null) return from[name];
    }
    return undefined;
  };
  let method = pick('method');
  let target = pick('target');
  if (typeof row.request === 'string') {
    const [verb, uri] = row.request.split(' ', 2);
    method ??= verb;
    target ??= uri;
  }
  if (typeof target !== 'string') return 'no URL';
  return observe(
    {
      at: timeOf(pick('at')),
      client: textOf(pick('client')),
      method: textOf(method) || 'GET',
      target,
      host: textOf(pick('host')),
      status: numberOf(pick('status')),
      bytes: numberOf(pick('bytes')),
      referer: textOf(pick('referer')),
    },
    defaultHost,
  );
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const numberOf = (value: unknown): number =>
  value === undefined || value === '' || value === '-'
    ? 0
    : typeof value === 'boolean'
      ? Number.NaN
      : Number(value);

function timeOf(value: unknown): number {
  if (typeof value === 'string' && !/^\d+(\.\d+)?$/.test(value)) return Date.parse(value);
  const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN;
  return number < SECONDS_MAX ? number * 1000 : number;
}
