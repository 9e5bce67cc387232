import { type Key16, key16FromBytes } from '../../protocol/ids.ts';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
/** 16 bytes are 128 bits, in fives: 26 characters, of which the last carries two zero bits. */
const LABEL = /^[a-z2-7]{25}[aeimquy4]$/i;

/** The DNS label under which a resource is asked for: base32 of its key16 (RFC 4648, lower case, no padding). */
export function labelOfKey16(key16: Key16): string {
  const bytes = Buffer.from(key16, 'hex');
  let label = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      label += ALPHABET[(value >> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return label + ALPHABET[(value << (5 - bits)) & 31];
}

/** The key16 of a label in either case, or nothing if it is not the label of any. */
export function key16OfLabel(label: string): Key16 | undefined {
  if (label.length !== 26 || !LABEL.test(label)) return undefined;
  const bytes = new Uint8Array(16);
  let bits = 0;
  let value = 0;
  let at = 0;
  for (let i = 0; i < 26; i += 1) {
    const code = label.charCodeAt(i);
    value = (value << 5) | (code >= 97 ? code - 97 : code >= 65 ? code - 65 : code - 24);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = value >> bits;
      at += 1;
      value &= (1 << bits) - 1;
    }
  }
  return key16FromBytes(bytes);
}

/** The host name of one resource: `<label>.r.<site zone>`, without the final dot. */
export function resourceHost(key16: Key16, zone: string): string {
  return `${labelOfKey16(key16)}.r.${bare(zone)}`;
}

/** The key16 that a host name stands for in a site zone, or nothing; the HTTP edge maps it back to the resource. */
export function key16OfHost(host: string, zone: string): Key16 | undefined {
  const suffix = `.r.${bare(zone)}`;
  const name = bare(host);
  return name.length === 26 + suffix.length && name.endsWith(suffix)
    ? key16OfLabel(name.slice(0, 26))
    : undefined;
}

const bare = (name: string) => (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
