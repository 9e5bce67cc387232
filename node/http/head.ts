import { HEADER_BYTES_MAX } from './limits.ts';

/** Head of a request that is read without Node's parser. */
export interface Head {
  readonly method: 'GET' | 'HEAD';
  readonly target: string;
  /** `[name, value, …]`, white space around values cut. */
  readonly raw: string[];
  /** Bytes up to the end of the empty line. */
  readonly length: number;
}

/**
 * Reads the head of a plain GET or HEAD from the start of `bytes`: HTTP/1.1, whole, in the strict grammar of RFC 9112,
 * without a body and without any field that frames a message or changes the connection. `undefined` for everything
 * else, be it malformed, unusual or not there yet: that is for Node's parser to judge, so that nothing is ever read in
 * two ways.
 */
export function readHead(bytes: Buffer): Head | undefined {
  const text = bytes.toString('latin1', 0, Math.min(bytes.length, HEADER_BYTES_MAX));
  const method = text.startsWith('GET /') ? 'GET' : text.startsWith('HEAD /') ? 'HEAD' : undefined;
  const lineEnd = text.indexOf('\r\n');
  if (method === undefined || lineEnd < 0 || !text.endsWith(' HTTP/1.1', lineEnd)) return undefined;
  const target = text.slice(method.length + 1, lineEnd - 9);
  if (!VISIBLE.test(target)) return undefined;
  FIELDS.lastIndex = lineEnd + 2;
  if (!FIELDS.test(text)) return undefined;
  const length = FIELDS.lastIndex;
  const raw: string[] = [];
  for (let at = lineEnd + 2; at < length - 2; ) {
    const colon = text.indexOf(':', at);
    const stop = text.indexOf('\r\n', colon);
    const name = text.slice(at, colon);
    const value = text.slice(afterSpace(text, colon + 1), beforeSpace(text, colon, stop));
    if (framing(name, value)) return undefined;
    raw.push(name, value);
    at = stop + 2;
  }
  return { method, target, raw, length };
}

const VISIBLE = /^[\x21-\x7e]+$/;
/** Field lines and the empty line, from where the last search ended. */
const FIELDS = /(?:[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/y;

/** Whether a field says how the message ends, or what becomes of the connection. */
function framing(name: string, value: string): boolean {
  switch (name.length) {
    case 6:
      return name.toLowerCase() === 'expect';
    case 7: {
      const lower = name.toLowerCase();
      return lower === 'upgrade' || lower === 'trailer';
    }
    case 10:
      return name.toLowerCase() === 'connection' && value.toLowerCase() !== 'keep-alive';
    case 14: {
      const lower = name.toLowerCase();
      return lower === 'content-length' || lower === 'http2-settings';
    }
    case 17:
      return name.toLowerCase() === 'transfer-encoding';
    default:
      return false;
  }
}

const blank = (code: number): boolean => code === 0x20 || code === 0x09;

function afterSpace(text: string, from: number): number {
  let at = from;
  while (blank(text.charCodeAt(at))) at++;
  return at;
}

function beforeSpace(text: string, colon: number, stop: number): number {
  let at = stop;
  while (at > colon + 1 && blank(text.charCodeAt(at - 1))) at--;
  return at;
}
