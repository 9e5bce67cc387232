import { PresageError } from '../../protocol/errors.ts';
import { addressBytes } from './address.ts';
import { nameBytes } from './name.ts';

/** Types of static records by name, with their numbers (IANA registry of DNS parameters). */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DS: 43,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  CDS: 59,
  CDNSKEY: 60,
  SVCB: 64,
  HTTPS: 65,
  CAA: 257,
} as const;
/** Any other type is written as RFC 3597 has it: `TYPE99`, with `\\# 4 0a000001` for data. */
export type TypeName = keyof typeof TYPE | `TYPE${number}`;

/** RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY. */
const MADE_HERE = new Set([46, 47, 48, 50, 51, 59, 60]);

/** The number of a type, or nothing if there is none of that name or it may not stand in a zone. */
export function typeNumber(name: string): number | undefined {
  const upper = name.toUpperCase();
  const numbered = /^TYPE(\d{1,5})$/.exec(upper);
  const number = Object.hasOwn(TYPE, upper)
    ? TYPE[upper as keyof typeof TYPE]
    : numbered
      ? Number(numbered[1])
      : 0;
  // OPT and the types for questions are no data; keys, signatures and denials are made here.
  const stored = number > 0 && number <= 0xffff && number !== 41 && (number < 128 || number > 255);
  return stored && !MADE_HERE.has(number) ? number : undefined;
}

/** Record data of one record at most. */
const MAX_RDATA = 4096;
/** Parameters of SVCB and HTTPS by name (RFC 9460 §14.3.2). */
const SVC_KEYS = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint', 'dohpath'];

/** A field of record data: bare or quoted, escapes still in it. */
export interface Field {
  readonly text: string;
  readonly quoted: boolean;
}

/** Splits presentation format into fields at white space, minding quotes and escapes (RFC 1035 §5.1). */
export function fieldsOf(value: string): Field[] {
  const fields: Field[] = [];
  const field = /"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)(?:[^\s\\"]|\\.|"(?:[^"\\]|\\.)*")*)|(\S)/gs;
  for (const match of value.matchAll(field)) {
    if (match[3] !== undefined)
      throw new PresageError('CONFIG_INVALID', `DNS record data: stray ${match[3]}`);
    fields.push({ text: match[1] ?? match[2] ?? '', quoted: match[1] !== undefined });
  }
  return fields;
}

/**
 * Wire form of a record's data from presentation format, also the general one of RFC 3597; relative names are completed with `origin`. Names in it
 * are not compressed. Fails with `CONFIG_INVALID`.
 */
export function rdataBytes(type: TypeName, value: string, origin: Uint8Array): Uint8Array {
  const generic = /^\\#\s+(\d{1,5})((?:\s+[0-9a-f]+)*)\s*$/i.exec(value);
  if (generic) {
    const data = Buffer.from(generic[2]!.replaceAll(/\s/g, ''), 'hex');
    if (data.length === Number(generic[1])) return data;
  }
  const fields = fieldsOf(value);
  const fail = (why: string) => new PresageError('CONFIG_INVALID', `DNS ${type} record "${value}": ${why}`);
  let next = 0;
  const take = (what: string): string => {
    const field = fields[next];
    if (!field) throw fail(`lacks ${what}`);
    next += 1;
    return field.text;
  };
  const integer = (what: string, max: number): number => {
    const text = take(what);
    if (!/^\d{1,10}$/.test(text) || Number(text) > max) throw fail(`${what} must be 0 to ${max}`);
    return Number(text);
  };
  const u16 = (what: string) => wide(integer(what, 0xffff), 2);
  const address = (text: string, length: 4 | 16) => {
    const bytes = addressBytes(text);
    if (bytes?.length !== length) throw fail(`${text} is no IPv${length === 4 ? 4 : 6} address`);
    return bytes;
  };
  const name = (what: string) => nameBytes(take(what), origin);
  const encode = (): (Uint8Array | number[])[] => {
    switch (type) {
      case 'A':
        return [address(take('address'), 4)];
      case 'AAAA':
        return [address(take('address'), 16)];
      case 'NS':
      case 'CNAME':
      case 'PTR':
        return [name('target')];
      case 'MX':
        return [u16('preference'), name('exchange')];
      case 'SRV':
        return [u16('priority'), u16('weight'), u16('port'), name('target')];
      case 'SOA':
        return [
          name('primary server'),
          name('mailbox'),
          wide(integer('serial', 0xffff_ffff), 4),
          ...['refresh', 'retry', 'expire', 'minimum'].map((what) => wide(seconds(take(what), fail), 4)),
        ];
      case 'TXT':
      case 'HINFO': {
        const strings = fields.map(({ text }) => characterString(text, fail));
        next = fields.length;
        if (strings.length === 0 || (type === 'HINFO' && strings.length !== 2)) throw fail('lacks text');
        return strings;
      }
      case 'DS': {
        const head = [...u16('key tag'), integer('algorithm', 255), integer('digest type', 255)];
        const hex = fields.slice(next).map(({ text }) => text);
        next = fields.length;
        const digest = Buffer.from(hex.join(''), 'hex');
        if (digest.length === 0 || digest.length * 2 !== hex.join('').length)
          throw fail('the digest is not hex');
        return [head, digest];
      }
      case 'CAA': {
        const flags = integer('flags', 255);
        const tag = take('tag').toLowerCase();
        if (!/^[a-z0-9]{1,15}$/.test(tag)) throw fail('the tag must be letters and digits');
        return [[flags, tag.length], Buffer.from(tag), Uint8Array.from(unescaped(take('value')))];
      }
      case 'SVCB':
      case 'HTTPS': {
        const head = [u16('priority'), name('target')];
        const parameters = new Map<number, Uint8Array>();
        while (next < fields.length) {
          const [key, data] = serviceParameter(take('parameter'), address, fail);
          if (parameters.has(key)) throw fail('names a parameter twice');
          parameters.set(key, data);
        }
        const sorted = [...parameters].sort(([a], [b]) => a - b);
        return [...head, ...sorted.flatMap(([key, data]) => [wide(key, 2), wide(data.length, 2), data])];
      }
      default:
        throw fail('must be written as \\# length hex');
    }
  };
  const bytes = Buffer.concat(encode().map((part) => Uint8Array.from(part)));
  if (next !== fields.length) throw fail('has more fields than its type');
  if (bytes.length > MAX_RDATA) throw fail(`is longer than ${MAX_RDATA} bytes`);
  return bytes;
}

/** Strings for a TXT record from any text: cut into pieces of 255 bytes. */
export function textRdata(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += 255) {
    const piece = bytes.subarray(at, at + 255);
    pieces.push(Buffer.from([piece.length]), piece);
  }
  return Buffer.concat(pieces);
}

/** Seconds, plain or with units as zone files have them (`1h30m`). */
export function seconds(text: string, fail: (why: string) => PresageError): number {
  const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  let total = 0;
  if (/^\d{1,10}$/.test(text)) total = Number(text);
  else if (/^(\d{1,8}[smhdw])+$/i.test(text)) {
    for (const [, count, unit] of text.matchAll(/(\d+)([smhdw])/gi)) {
      total += Number(count) * units[unit!.toLowerCase()]!;
    }
  } else throw fail(`${text} is no time`);
  // RFC 2181 §8: times are 31 bits.
  if (total > 0x7fff_ffff) throw fail(`${text} is too long`);
  return total;
}

function wide(value: number, bytes: 2 | 4): Uint8Array {
  const out = Buffer.alloc(bytes);
  out.writeUIntBE(value, 0, bytes);
  return out;
}

/** Bytes of a field with its `\X` and `\DDD` escapes undone. */
function unescaped(text: string): number[] {
  const out: number[] = [];
  const bytes = Buffer.from(text, 'utf8');
  for (let i = 0; i < bytes.length; i += 1) {
    if (bytes[i] !== 0x5c) out.push(bytes[i]!);
    else if (/^\d{3}$/.test(bytes.toString('latin1', i + 1, i + 4))) {
      out.push(Number(bytes.toString('latin1', i + 1, i + 4)) & 255);
      i += 3;
    } else {
      i += 1;
      if (i < bytes.length) out.push(bytes[i]!);
    }
  }
  return out;
}

function characterString(text: string, fail: (why: string) => PresageError): number[] {
  const bytes = unescaped(text);
  if (bytes.length > 255) throw fail('has a string longer than 255 bytes');
  return [bytes.length, ...bytes];
}

function serviceParameter(
  text: string,
  address: (text: string, length: 4 | 16) => Uint8Array,
  fail: (why: string) => PresageError,
): [key: number, data: Uint8Array] {
  const split = text.indexOf('=');
  const name = (split < 0 ? text : text.slice(0, split)).toLowerCase();
  const value = split < 0 ? '' : text.slice(split + 1).replace(/^"(.*)"$/s, '$1');
  const numbered = /^key(\d{1,5})$/.exec(name);
  const key = numbered ? Number(numbered[1]) : SVC_KEYS.indexOf(name);
  if (key < 0 || key > 0xfffe) throw fail(`${name} is no known parameter`);
  const list = () => value.split(',').filter((item) => item !== '');
  switch (name) {
    case 'mandatory': {
      const keys = list().map((item) => SVC_KEYS.indexOf(item.toLowerCase()));
      if (keys.length === 0 || keys.some((k) => k < 1)) throw fail('mandatory must list known parameters');
      return [key, Buffer.concat(keys.sort((a, b) => a - b).map((k) => wide(k, 2)))];
    }
    case 'alpn': {
      if (list().length === 0) throw fail('alpn is empty');
      return [key, Uint8Array.from(list().flatMap((item) => characterString(item, fail)))];
    }
    case 'no-default-alpn':
      if (value !== '') throw fail('no-default-alpn takes no value');
      return [key, new Uint8Array(0)];
    case 'port':
      if (!/^\d{1,5}$/.test(value) || Number(value) > 0xffff) throw fail('port must be 0 to 65535');
      return [key, wide(Number(value), 2)];
    case 'ipv4hint':
    case 'ipv6hint': {
      if (list().length === 0) throw fail(`${name} is empty`);
      return [key, Buffer.concat(list().map((item) => address(item, name === 'ipv4hint' ? 4 : 16)))];
    }
    case 'ech':
      return [key, Buffer.from(value, 'base64')];
    default:
      return [key, Uint8Array.from(unescaped(value))];
  }
}
