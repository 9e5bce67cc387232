import type { Key16 } from '../../protocol/ids.ts';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
/** 16 bytes are 128 bits, in fives: 26 characters, of which the last carries two zero bits. */
const LABEL_LENGTH = 26;
const NONE = 255;
/** By character code. */
const VALUES = new Uint8Array(128).fill(NONE);
for (let i = 0; i < 32; i += 1) {
  VALUES[ALPHABET.charCodeAt(i)] = i;
  VALUES[ALPHABET.toUpperCase().charCodeAt(i)] = i;
}
const scratch = Buffer.alloc(16);

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

/** The key16 of a label in either case, or nothing if it is not the label of any. Looks at the `at`-th character on. */
export function key16OfLabel(label: string, at = 0): Key16 | undefined {
  if (label.length < at + LABEL_LENGTH) return undefined;
  let bits = 0;
  let value = 0;
  let byte = 0;
  for (let i = at; i < at + LABEL_LENGTH; i += 1) {
    const code = label.charCodeAt(i);
    const five = code < 128 ? VALUES[code]! : NONE;
    if (five === NONE) return undefined;
    value = (value << 5) | five;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      scratch[byte] = value >> bits;
      byte += 1;
      value &= (1 << bits) - 1;
    }
  }
  return value === 0 ? (scratch.toString('hex') as Key16) : undefined;
}

/** The host name of one resource: `<label>.r.<site zone>`, without the final dot. */
export function resourceHost(key16: Key16, zone: string): string {
  return `${labelOfKey16(key16)}.r.${bare(zone)}`;
}

/** The key16 that a host name stands for in a site zone, or nothing; the HTTP edge maps it back to the resource. */
export function key16OfHost(host: string, zone: string): Key16 | undefined {
  const suffix = `.r.${bare(zone)}`;
  const name = bare(host);
  return name.length === LABEL_LENGTH + suffix.length && name.endsWith(suffix)
    ? key16OfLabel(name)
    : undefined;
}

const bare = (name: string) => (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
