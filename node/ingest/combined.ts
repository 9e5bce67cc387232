import { type Observation, observe } from './observation.ts';

/**
 * Common and combined log of Apache and nginx, also with the virtual host in front (`vhost_combined`):
 * `[vhost[:port] ]client ident user [day/Mon/year:h:m:s zone] "METHOD target HTTP/x" status bytes["referer" "agent"]`.
 */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const TIME = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/;
const HEAD = /^(?:([^\s"[]+) )?(\S+) \S+ (\S+(?: [^\s[][^[]{0,200})?) \[([^\]]{20,40})\] "/;
const TAIL = /^" (\d{3}|-) (\d{1,16}|-)(?: "([^"]*)")?/;

/** Reads one line; a text is the reason why it is malformed. */
export function parseCombined(line: string, defaultHost: string): Observation | string {
  const head = HEAD.exec(line);
  if (!head) return 'not a combined log line';
  const at = parseTime(head[4] ?? '');
  const open = head[0].length;
  const close = closingQuote(line, open);
  if (close < 0) return 'the request has no closing quote';
  const request = unescaped(line.slice(open, close));
  const tail = TAIL.exec(line.slice(close, close + 10_000));
  if (!tail) return 'no status after the request';
  const first = request.indexOf(' ');
  const last = request.lastIndexOf(' HTTP/');
  if (first <= 0) return 'no valid request line';
  const target = request.slice(first + 1, last > first ? last : undefined);
  return observe(
    {
      at,
      client: head[2] ?? '',
      method: request.slice(0, first),
      target,
      host: head[1],
      status: tail[1] === '-' ? 0 : Number(tail[1]),
      bytes: tail[2] === '-' ? 0 : Number(tail[2]),
      referer: tail[3],
    },
    defaultHost,
  );
}

/** `17/May/2015:10:05:03 +0000` as Unix ms; `NaN` if it is not. */
function parseTime(text: string): number {
  const match = TIME.exec(text);
  const month = MONTHS.indexOf(match?.[2] ?? '');
  if (!match || month < 0) return Number.NaN;
  const [, day, , year, hour, minute, second, sign, zoneHours, zoneMinutes] = match;
  const utc = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Number(second));
  const zone = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000;
  return sign === '-' ? utc + zone : utc - zone;
}

/** Where the quoted request ends; quotes inside are escaped with a backslash. */
function closingQuote(line: string, from: number): number {
  for (let at = line.indexOf('"', from); at >= 0; at = line.indexOf('"', at + 1)) {
    let slashes = 0;
    while (line[at - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

/** `\xHH`, `\"` and `\\` as Apache and nginx write them. */
const unescaped = (text: string): string =>
  text.includes('\\')
    ? text.replace(/\\(?:x([0-9a-fA-F]{2})|(.))/g, (_, hex: string | undefined, other: string | undefined) =>
        hex === undefined ? (other ?? '') : String.fromCharCode(Number.parseInt(hex, 16)),
      )
    : text;
