import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { PresageError } from '../../protocol/errors.ts';
import { Directives } from './caching/directives.ts';
import type { Conditions, Precondition } from './caching/validators.ts';
import type { StoredResponse } from './stored.ts';

/** Header lines of one request; more are refused. */
const LINES_MAX = 128;

/** Length of a header section over HTTP/2, which Node does not limit as it does for HTTP/1.1. */
const HEADER_LENGTH_MAX = 16 * 1024;

const NO_CONDITIONS: Conditions = {};

/**
 * A request as the edge reads it: one pass over the raw header lines, and nothing kept but what caching needs. Throws
 * `HTTP_MALFORMED` for what could be read in two ways.
 */
export class EdgeRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  /** Header lines, `[name, value, …]`. */
  raw: readonly string[];
  /** Whether it came over TLS. */
  readonly secure: boolean;
  range: string | undefined;
  authorised = false;
  cookie = false;
  via: string | undefined;
  conditions: Conditions = NO_CONDITIONS;
  directives: Directives = Directives.NONE;
  /** What its entity tags say of a stored response, once they have been held against it. */
  judged: { readonly stored: StoredResponse; readonly verdict: Precondition } | undefined;

  constructor(message: IncomingMessage) {
    const raw = message.rawHeaders;
    if (raw.length > 2 * LINES_MAX) throw new PresageError('HTTP_TOO_LARGE', 'Too many header lines');
    if (message.httpVersionMajor === 2 && lengthOf(raw) > HEADER_LENGTH_MAX)
      throw new PresageError('HTTP_TOO_LARGE', 'The header section is too long');
    this.method = message.method ?? '';
    this.raw = raw;
    this.secure = (message.socket as TLSSocket).encrypted === true;
    let host: string | undefined;
    let authority: string | undefined;
    let conditions: { -readonly [Name in keyof Conditions]: Conditions[Name] } | undefined;
    let control: string[] | undefined;
    let pragma: string | undefined;
    for (let at = 0; at < raw.length; at += 2) {
      const name = raw[at]!;
      const value = raw[at + 1]!;
      switch (name.length) {
        case 3:
          if (name.toLowerCase() === 'via')
            this.via = this.via === undefined ? value : `${this.via}, ${value}`;
          break;
        case 4:
          if (name.toLowerCase() !== 'host') break;
          if (host !== undefined) throw new PresageError('HTTP_MALFORMED', 'More than one Host field');
          host = value;
          break;
        case 5:
          if (name.toLowerCase() === 'range') this.range ??= value;
          break;
        case 6:
          switch (name.toLowerCase()) {
            case 'cookie':
              this.cookie = true;
              break;
            case 'pragma':
              pragma = value;
              break;
          }
          break;
        case 8:
          switch (name.toLowerCase()) {
            case 'if-range':
              conditions ??= {};
              conditions.ifRange = value;
              break;
            case 'if-match':
              conditions ??= {};
              conditions.ifMatch = join(conditions.ifMatch, value);
              break;
          }
          break;
        case 10:
          if (name === ':authority') authority = value;
          break;
        case 13:
          switch (name.toLowerCase()) {
            case 'cache-control':
              control ??= [];
              control.push(value);
              break;
            case 'authorization':
              this.authorised = true;
              break;
            case 'if-none-match':
              conditions ??= {};
              conditions.ifNoneMatch = join(conditions.ifNoneMatch, value);
              break;
          }
          break;
        case 17:
          if (name.toLowerCase() !== 'if-modified-since') break;
          conditions ??= {};
          conditions.ifModifiedSince ??= value;
          break;
        case 19:
          if (name.toLowerCase() !== 'if-unmodified-since') break;
          conditions ??= {};
          conditions.ifUnmodifiedSince ??= value;
          break;
      }
    }
    if (conditions) this.conditions = conditions;
    if (control) this.directives = new Directives(control);
    else if (pragma?.toLowerCase().includes('no-cache')) this.directives = NO_CACHE;
    // RFC 9113 §8.3.1: the two must name the same host.
    if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase())
      throw new PresageError('HTTP_MALFORMED', 'Host and :authority differ');
    host ??= authority;
    const target = message.url ?? '';
    const absolute = target.startsWith('/') ? null : ABSOLUTE.exec(target);
    // The authority of an absolute target goes before Host (RFC 9112 §3.2.2).
    this.host = absolute ? absolute[1]! : (host ?? '');
    this.target = absolute ? absolute[2] || '/' : target;
  }

  /** Authorization was meant for the edge: from here on the request is as if it had come without. */
  consumeAuthorization(): void {
    this.authorised = false;
    this.raw = this.raw.filter((_, at) => this.raw[at & ~1]!.toLowerCase() !== 'authorization');
  }

  /** All lines of a field, by its name in lower case. */
  lines = (name: string): readonly string[] => {
    const lines: string[] = [];
    for (let at = 0; at < this.raw.length; at += 2) {
      const candidate = this.raw[at]!;
      if (candidate.length === name.length && candidate.toLowerCase() === name) lines.push(this.raw[at + 1]!);
    }
    return lines;
  };

  get conditional(): boolean {
    return this.conditions !== NO_CONDITIONS;
  }
}

function lengthOf(raw: readonly string[]): number {
  let length = 0;
  for (const text of raw) length += text.length;
  return length;
}

const NO_CACHE = new Directives(['no-cache']);
const ABSOLUTE = /^https?:\/\/([^/?#@]*)(\/[^#]*)?$/i;
const join = (before: string | undefined, value: string): string =>
  before === undefined ? value : `${before}, ${value}`;
