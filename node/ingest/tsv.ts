import { type Observation, observe } from './observation.ts';

/**
 * Tab-separated log with a header line that names the columns, as the NASA log of the Internet Traffic Archive is
 * distributed: host (the client), logname, time (Unix seconds), method, url, response, bytes, referer, useragent.
 */
export type TsvColumns = Readonly<Record<string, number>>;

const NEEDED = ['host', 'time', 'url'];

/** Columns of a header line; `undefined` if it is not one. */
export function parseTsvHeader(line: string): TsvColumns | undefined {
  const names = line.split('\t').map((name) => name.trim().toLowerCase());
  if (!NEEDED.every((name) => names.includes(name))) return undefined;
  return Object.fromEntries(names.map((name, index) => [name, index]));
}

/** Reads one line; a text is the reason why it is malformed. */
export function parseTsv(line: string, columns: TsvColumns, defaultHost: string): Observation | string {
  const parts = line.split('\t');
  const cell = (name: string): string => {
    const index = columns[name];
    return index === undefined ? '' : (parts[index] ?? '');
  };
  const time = cell('time');
  if (!/^\d{1,12}(\.\d{1,6})?$/.test(time)) return 'no valid time';
  const url = cell('url');
  return observe(
    {
      at: Number(time) * 1000,
      client: cell('host'),
      method: cell('method') || 'GET',
      // Requests of early clients lack the leading slash now and then.
      target: url.startsWith('/') || /^https?:/i.test(url) ? url : `/${url}`,
      host: cell('vhost'),
      status: integer(cell('response') || cell('status')),
      bytes: integer(cell('bytes')),
      referer: cell('referer'),
    },
    defaultHost,
  );
}

const integer = (text: string): number => (text === '' || text === '-' ? 0 : Number(text));
