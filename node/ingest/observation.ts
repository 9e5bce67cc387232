/** One request that another cache, or a log, tells of. */
export interface Observation {
  /** When it was made, Unix ms. */
  readonly at: number;
  /** Address or name of the client, as logged. */
  readonly client: string;
  /** Upper case. */
  readonly method: string;
  /** Path and query, beginning with `/`. */
  readonly url: string;
  /** Lower case, without port; empty where neither the line nor the options name one. */
  readonly host: string;
  /** 0 where the log has none. */
  readonly status: number;
  /** Bytes of the answer's body; 0 where the log has none. */
  readonly bytes: number;
  readonly referer?: string;
}

/** Longest path and query that is taken; browsers and servers stop well before. */
const URL_LENGTH_MAX = 8192;
const CLIENT_LENGTH_MAX = 255;
/** From 1980 to 2200: anything else is a misread field. */
const AT_MIN = 315_532_800_000;
const AT_MAX = 7_258_118_400_000;

const METHOD = /^[A-Z][A-Z-]{0,31}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
const UNPRINTABLE = /[\u0000-\u0020\u007f]/;
const UNPRINTABLES = new RegExp(UNPRINTABLE, 'g');
const HOST = /^[a-z0-9._-]{1,253}$|^\[[0-9a-f:.]{2,45}\]$/;

/** The fields of a line before they are checked. */
export interface RawObservation {
  readonly at: number;
  readonly client: string;
  readonly method: string;
  /** Path and query, or a whole URL. */
  readonly target: string;
  readonly host?: string | undefined;
  readonly status: number;
  readonly bytes: number;
  readonly referer?: string | undefined;
}

/** Checks and normalises; a text is the reason why the line is malformed. */
export function observe(raw: RawObservation, defaultHost: string): Observation | string {
  const { at, client, status, bytes } = raw;
  if (!(at >= AT_MIN && at <= AT_MAX)) return 'no valid time';
  if (client === '' || client.length > CLIENT_LENGTH_MAX) return 'no valid client';
  const method = raw.method.toUpperCase();
  if (!METHOD.test(method)) return 'no valid method';
  if (raw.target.length > URL_LENGTH_MAX) return 'the URL is too long';
  let url = raw.target;
  let host = raw.host ?? '';
  if (!url.startsWith('/')) {
    const [, authority, path] = /^https?:\/\/([^/?#]+)(.*)$/i.exec(url) ?? [];
    if (authority === undefined) return 'no valid URL';
    host = authority;
    url = path === undefined || path === '' ? '/' : path.startsWith('/') ? path : `/${path}`;
  }
  const hash = url.indexOf('#');
  if (hash >= 0) url = url.slice(0, hash);
  if (UNPRINTABLE.test(url)) url = url.replace(UNPRINTABLES, encodeURIComponent);
  if (!Number.isInteger(status) || status < 0 || status > 999) return 'no valid status';
  if (!Number.isSafeInteger(bytes) || bytes < 0) return 'no valid size';
  host = host === '' || host === '-' ? defaultHost : hostOf(host);
  if (host !== '' && !HOST.test(host)) return 'no valid host name';
  const { referer } = raw;
  const told = referer !== undefined && referer !== '' && referer !== '-' && referer.length <= URL_LENGTH_MAX;
  const observation = { at: Math.round(at), client, method, url, host, status, bytes };
  return told ? { ...observation, referer } : observation;
}

/** Lower case, without port and final dot. */
const hostOf = (authority: string): string => authority.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '');
