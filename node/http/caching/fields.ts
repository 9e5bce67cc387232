/** Header fields in order, names in lower case; a name may occur more than once. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** All lines of a field. */
export function linesOf(fields: Fields, name: string): string[] {
  const lines: string[] = [];
  for (const field of fields) if (field[0] === name) lines.push(field[1]);
  return lines;
}

/** The first line of a field. */
export function firstOf(fields: Fields, name: string): string | undefined {
  for (const field of fields) if (field[0] === name) return field[1];
  return undefined;
}

/**
 * Members of a comma-separated list (RFC 9110 §5.6.1): lines combined, quoted strings kept whole, white space around
 * members cut, empty members left out.
 */
export function membersOf(lines: readonly string[]): string[] {
  const members: string[] = [];
  for (const line of lines) {
    let start = 0;
    let quoted = false;
    for (let at = 0; at <= line.length; at++) {
      const char = line.charCodeAt(at);
      if (quoted && char === 0x5c) at++;
      else if (char === 0x22) quoted = !quoted;
      else if (at === line.length || (char === 0x2c && !quoted)) {
        const member = line.slice(start, at).trim();
        if (member !== '') members.push(member);
        start = at + 1;
      }
    }
    // A quotation that never ends, or ends in a backslash, swallows the rest of its line.
    if (start <= line.length && quoted) {
      const member = line.slice(start).trim();
      if (member !== '' && members.at(-1) !== member) members.push(member);
    }
  }
  return members;
}

/** Fields that belong to one connection (RFC 9110 §7.6.1) and those that proxies must not pass on. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/**
 * Fields that mean something only before the content (RFC 9110 §6.5.1): they frame or route the message, steer caches or
 * the client, authenticate, or say how the content is to be read.
 */
const NEVER_TRAILING = new Set([
  ...HOP_BY_HOP,
  'age',
  'authentication-info',
  'authorization',
  'cache-control',
  'cdn-cache-control',
  'content-encoding',
  'content-length',
  'content-location',
  'content-range',
  'content-security-policy',
  'content-type',
  'cookie',
  'date',
  'expires',
  'host',
  'location',
  'no-vary-search',
  'pragma',
  'retry-after',
  'set-cookie',
  'strict-transport-security',
  'surrogate-control',
  'vary',
  'via',
  'www-authenticate',
]);
const TRAILERS_MAX = 32;
const VISIBLE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** What of an answer's trailer section (names in lower case) may be passed on. */
export function trailingFields(section: Readonly<Record<string, string | string[] | undefined>>): Fields {
  const fields: [string, string][] = [];
  for (const [name, value] of Object.entries(section))
    for (const line of value === undefined || NEVER_TRAILING.has(name) ? [] : [value].flat())
      if (VISIBLE.test(line) && fields.length < TRAILERS_MAX) fields.push([name, line]);
  return fields;
}

/** End-to-end fields of raw header lines (`[name, value, name, value …]`), names in lower case. */
export function endToEnd(raw: readonly string[]): [name: string, value: string][] {
  const named = new Set<string>();
  const fields: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    // Pseudo-fields of HTTP/2 are no fields.
    if (name.startsWith(':')) continue;
    if (name === 'connection')
      for (const option of membersOf([raw[at + 1]!])) named.add(option.toLowerCase());
    if (!HOP_BY_HOP.has(name)) fields.push([name, raw[at + 1]!]);
  }
  return named.size === 0 ? fields : fields.filter(([name]) => !named.has(name));
}
