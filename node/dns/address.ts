import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Text of an address of 4 or 16 bytes; IPv6 without compression, which every parser reads. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  let text = '';
  for (let i = 0; i < 16; i += 2) text += `${i ? ':' : ''}${((bytes[i]! << 8) | bytes[i + 1]!).toString(16)}`;
  return text;
}

/** Bytes of an IPv4 or IPv6 address, or nothing if the text is neither. */
export function addressBytes(text: string): Uint8Array | undefined {
  const v4 = new Uint8Array(4);
  if (parseV4(text, v4)) return v4;
  if (!isIPv6(text)) return undefined;
  const bare = text.split('%')[0]!;
  return Uint8Array.from(ipaddr.parse(bare).toByteArray());
}

/** Parses dotted decimal into `out` without allocating; false if it is not that. */
function parseV4(text: string, out: Uint8Array): boolean {
  let part = 0;
  let value = -1;
  for (let i = 0; i <= text.length; i += 1) {
    const code = i === text.length ? 46 : text.charCodeAt(i);
    if (code === 46) {
      if (value < 0 || value > 255 || part > 3) return false;
      out[part] = value;
      part += 1;
      value = -1;
    } else if (code >= 48 && code <= 57) value = Math.max(0, value) * 10 + code - 48;
    else return false;
    if (value > 255) return false;
  }
  return part === 4;
}

/**
 * The bytes of a datagram's sender. Mapped addresses (`::ffff:a.b.c.d`, IPv4 on a dual-stack socket) become IPv4.
 * The last address is remembered: resolvers send in bursts.
 */
export function senderAddress(text: string): Uint8Array {
  if (text === lastText) return lastBytes;
  const bare = text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text;
  lastBytes = addressBytes(bare) ?? new Uint8Array(4);
  lastText = text;
  return lastBytes;
}

let lastText = '';
let lastBytes: Uint8Array = new Uint8Array(4);
