import { resolve } from 'node:path';
import { isRegionId, type RegionId } from '../protocol/ids.ts';
import {
  type Endpoint,
  parseDuration,
  parseEndpoint,
  parseOffset,
  parseRate,
  parseSize,
  printDuration,
  printEndpoint,
  printSize,
} from './config-units.ts';

/** What values of one sort look like, how they are read from text or TOML, and how they are written again. */
export interface Kind<T> {
  /** What `--help` calls the value. */
  readonly placeholder: string;
  /** Whether the flag may be given several times and the variable is a comma-separated list. */
  readonly list?: boolean;
  /** Throws a plain `Error` that says what is expected. `base` is the directory that relative paths start from. */
  parse(raw: unknown, base: string): T;
  print(value: T): string;
}

const MULTIADDR = /^\/(ip4|ip6|dns|dns4|dns6|dnsaddr)\/[^/\s]+\/tcp\/\d{1,5}(\/[^\s/]+)*$/;
const ZONE = /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?$/;
const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/i;

const kind = <T>(placeholder: string, parse: Kind<T>['parse'], print: (value: T) => string): Kind<T> => ({
  placeholder,
  parse,
  print,
});

const text = (raw: unknown): string => {
  if (typeof raw !== 'string' || raw.trim() === '') throw new Error('expected a text that is not empty');
  return raw.trim();
};

const plain = (value: unknown) => String(value ?? '');

const parseRegion = (raw: unknown): RegionId => {
  const value = text(raw);
  if (!isRegionId(value)) throw new Error('expected 1 to 32 characters of a-z, 0-9 and -');
  return value;
};

const parseName = (raw: unknown): string => {
  const value = text(raw);
  if (!NAME.test(value)) throw new Error('expected 1 to 63 letters, digits, dots and hyphens');
  return value;
};

const parseUrl = (raw: unknown): string => {
  const value = text(raw);
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new Error('expected a base URL such as "https://origin.example.net", without query');
  }
  if (url.username !== '' || url.password !== '') throw new Error('expected a URL without user and password');
  return value.replace(/\/+$/, '');
};

const parseWebSocket = (raw: unknown): string => {
  const value = text(raw);
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !/^wss?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new Error(
      'expected a URL such as "wss://jetstream2.us-east.bsky.network/subscribe", without query',
    );
  }
  if (url.username !== '' || url.password !== '') throw new Error('expected a URL without user and password');
  return value;
};

/** Several values of one sort: an array in TOML, a repeated flag, or text with commas. */
const listOf = (placeholder: string, item: (raw: unknown) => string): Kind<readonly string[]> => ({
  placeholder,
  list: true,
  parse: (raw) => {
    const parts = Array.isArray(raw) ? raw.flatMap((part) => split(part)) : split(raw);
    return parts.map(item);
  },
  print: (value) => value.join(','),
});

/** Several endpoints, as on a machine with addresses of both families; "off" is none. */
const endpoints: Kind<readonly Endpoint[]> = {
  placeholder: 'HOST:PORT',
  list: true,
  parse: (raw) =>
    (Array.isArray(raw) ? raw.flatMap((part) => split(part)) : split(raw)).flatMap(
      (part) => parseEndpoint(part) ?? [],
    ),
  print: (value) => value.map(printEndpoint).join(',') || 'off',
};

const split = (raw: unknown): unknown[] =>
  typeof raw === 'string'
    ? raw
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    : [raw];

const matching = (pattern: RegExp, expected: string) => (raw: unknown) => {
  const value = text(raw);
  if (!pattern.test(value)) throw new Error(expected);
  return value;
};

const number = (expected: string, valid: (value: number) => boolean): Kind<number> =>
  kind(
    'NUMBER',
    (raw) => {
      const value = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw;
      if (typeof value !== 'number' || !Number.isFinite(value) || !valid(value)) {
        throw new Error(`expected ${expected}`);
      }
      return value;
    },
    plain,
  );

const oneOf = <const T extends string>(...choices: readonly T[]): Kind<T> =>
  kind(
    choices.join('|'),
    (raw) => {
      const found = choices.find((choice) => choice === String(raw).trim());
      if (found === undefined) throw new Error(`expected one of ${choices.join(', ')}`);
      return found;
    },
    plain,
  );

export const KINDS = {
  name: kind('NAME', parseName, plain),
  region: kind<RegionId>('REGION', parseRegion, plain),
  url: kind<string>('URL', parseUrl, plain),
  urls: listOf('URL', parseUrl),
  webSocket: kind<string>('URL', parseWebSocket, plain),
  path: kind<string>('PATH', (raw, base) => resolve(base, text(raw)), plain),
  endpoint: kind<Endpoint | undefined>('HOST:PORT', parseEndpoint, printEndpoint),
  endpoints,
  size: kind('SIZE', parseSize, printSize),
  rate: kind('RATE', parseRate, (value: number) => `${printSize(value)}/s`),
  duration: kind('DURATION', parseDuration, printDuration),
  offset: kind('DURATION', parseOffset, printDuration),
  multiaddrs: listOf(
    'MULTIADDR',
    matching(MULTIADDR, 'expected a multiaddress such as "/ip4/192.0.2.1/tcp/7400/p2p/12D3KooW…"'),
  ),
  zones: listOf('ZONE', (raw) =>
    matching(
      ZONE,
      'expected a domain name such as "cdn.example.net"',
    )(String(raw).toLowerCase()).replace(/\.$/, ''),
  ),
  share: number('a number from 0 to 1', (value) => value >= 0 && value <= 1),
  speed: number('a number above 0 and at most 100000', (value) => value > 0 && value <= 100_000),
  workers: number(
    'a whole number from 1 to 64',
    (value) => Number.isInteger(value) && value >= 1 && value <= 64,
  ),
  level: oneOf('debug', 'info', 'warn', 'error'),
  check: oneOf('off', 'tcp', 'http', 'https'),
  batch: oneOf('auto', 'on', 'off'),
  direct: oneOf('auto', 'off'),
} as const;
