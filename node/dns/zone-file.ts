import { PresageError } from '../../protocol/errors.ts';
import { nameBytes } from './name.ts';
import { seconds, type TypeName, typeNumber } from './rdata.ts';
import type { RecordConfig } from './zone.ts';

/** Size of one zone file; a million records have some 60 MB. */
const MAX_FILE_CHARACTERS = 128 << 20;
const MAX_TTL_SECONDS = 0x7fff_ffff;

/**
 * Reads a zone file (RFC 1035 §5): `$ORIGIN`, `$TTL`, parentheses, comments, quotes, empty owners. `$INCLUDE` and
 * `$GENERATE` are refused. Names and the names in the data come out absolute. Fails with `CONFIG_INVALID`, the line
 * named.
 */
export function parseZoneFile(text: string, zone: string): RecordConfig[] {
  if (text.length > MAX_FILE_CHARACTERS)
    throw new PresageError('CONFIG_INVALID', 'the zone file is too large');
  let origin = zone.endsWith('.') ? zone : `${zone}.`;
  let defaultTtl: number | undefined;
  let lastTtl: number | undefined;
  let owner: string | undefined;
  const records: RecordConfig[] = [];
  for (const { line, indented, fields } of entriesOf(text)) {
    const fail = (why: string) =>
      new PresageError('CONFIG_INVALID', `zone file of ${zone}, line ${line}: ${why}`);
    const rest = [...fields];
    const first = rest[0]!;
    if (first.startsWith('$')) {
      const value = rest[1];
      if (value === undefined || rest.length > 2) throw fail(`${first} takes one value`);
      if (first.toUpperCase() === '$ORIGIN') origin = absolute(value, origin);
      else if (first.toUpperCase() === '$TTL') defaultTtl = seconds(value, fail);
      else throw fail(`${first} is not supported`);
      continue;
    }
    if (!indented) owner = absolute(rest.shift()!, origin);
    if (owner === undefined) throw fail('the first record has no owner');
    let ttl: number | undefined;
    for (let seen = 0; seen < 2 && rest.length > 0; seen += 1) {
      if (/^in$/i.test(rest[0]!)) rest.shift();
      else if (ttl === undefined && /^\d+([smhdw]\d+)*[smhdw]?$/i.test(rest[0]!))
        ttl = seconds(rest.shift()!, fail);
    }
    const type = rest.shift();
    if (type === undefined) throw fail('a record lacks its type');
    if (typeNumber(type) === undefined) throw fail(`${type} is no type of record that is known here`);
    const chosen = ttl ?? defaultTtl ?? lastTtl;
    if (chosen !== undefined && chosen > MAX_TTL_SECONDS) throw fail('the time to live is too long');
    lastTtl = chosen;
    const upper = type.toUpperCase() as TypeName;
    const data = NAMES_IN.get(upper);
    const value = rest.map((field, at) => (data?.includes(at) ? absolute(field, origin) : field)).join(' ');
    records.push({ name: owner, type: upper, ttl: chosen, value });
    nameBytes(owner);
  }
  return records;
}

/** Which fields of a type's data are names. */
const NAMES_IN = new Map<TypeName, readonly number[]>([
  ['NS', [0]],
  ['CNAME', [0]],
  ['PTR', [0]],
  ['SOA', [0, 1]],
  ['MX', [1]],
  ['SRV', [3]],
  ['SVCB', [1]],
  ['HTTPS', [1]],
]);

function absolute(name: string, origin: string): string {
  if (name === '@') return origin;
  if (name.endsWith('.') && !/(^|[^\\])(\\\\)*\\\.$/.test(name)) return name;
  return origin === '.' ? `${name}.` : `${name}.${origin}`;
}

interface Entry {
  readonly line: number;
  readonly indented: boolean;
  readonly fields: readonly string[];
}

/** Logical lines: fields with their quotes and escapes, parentheses joined, comments gone, empty lines left out. */
function* entriesOf(text: string): Generator<Entry> {
  const token =
    /"(?:[^"\\\n]|\\[^\n])*"|;[^\n]*|[()]|\r?\n|[ \t]+|(?:[^\s"();\\]|\\[^\n])+(?:"(?:[^"\\\n]|\\[^\n])*")?|./gy;
  let fields: string[] = [];
  let line = 1;
  let startedAt = 1;
  let indented = false;
  let atStart = true;
  let depth = 0;
  for (const [piece] of text.matchAll(token)) {
    const fail = (why: string) => new PresageError('CONFIG_INVALID', `zone file, line ${line}: ${why}`);
    if (piece === '\n' || piece === '\r\n') {
      if (depth === 0) {
        if (fields.length > 0) yield { line: startedAt, indented, fields };
        fields = [];
        indented = false;
        atStart = true;
      }
      line += 1;
      continue;
    }
    if (atStart) {
      startedAt = line;
      indented = /^[ \t]/.test(piece);
    }
    atStart = false;
    if (piece === '(') depth += 1;
    else if (piece === ')') {
      depth -= 1;
      if (depth < 0) throw fail('a parenthesis is closed that was not opened');
    } else if (piece === '"') throw fail('a quote is not closed');
    else if (!/^[ \t;]/.test(piece)) fields.push(piece);
  }
  if (depth > 0)
    throw new PresageError('CONFIG_INVALID', `zone file, line ${startedAt}: a parenthesis stays open`);
  if (fields.length > 0) yield { line: startedAt, indented, fields };
}
