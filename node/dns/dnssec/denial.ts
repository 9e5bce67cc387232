import { type NameKey, parentAt } from '../name.ts';
import { TYPE } from '../rdata.ts';

/** Longest name in wire form (RFC 1035 §2.3.4). */
const MAX_NAME = 255;

/**
 * The first name that can follow a name in canonical order (RFC 4034 §6.1), so that an NSEC record from one to the other
 * denies nothing else (RFC 9824 §3.1): a label of one zero byte before it. Where that has no room, the first name beyond
 * it of the same length or less.
 */
export function nameAfter(owner: NameKey): NameKey {
  return owner.length + 2 <= MAX_NAME ? `\u0001\u0000${owner}` : raised(owner);
}

/** The name with the last byte of its first label raised that can be: beyond the name and all below it. */
function raised(owner: NameKey): NameKey {
  const length = owner.charCodeAt(0);
  if (length === 0) return owner;
  for (let at = length; at > 0; at -= 1) {
    const code = owner.charCodeAt(at);
    if (code === 255) continue;
    // Letters are compared in lower case, so that what would become a capital letter goes beyond them.
    const next = code === 0x40 ? 0x5b : code + 1;
    return String.fromCharCode(at) + owner.slice(1, at) + String.fromCharCode(next) + owner.slice(length + 1);
  }
  return raised(owner.slice(parentAt(owner)));
}

/** Data of an NSEC record at a name which has records of these types (RFC 4034 §4.1). */
export function nsecRdata(owner: NameKey, types: Iterable<number>): Uint8Array {
  const windows = new Map<number, Uint8Array>();
  for (const type of new Set([...types, TYPE.RRSIG, TYPE.NSEC])) {
    const bits = windows.get(type >> 8) ?? new Uint8Array(32);
    windows.set(type >> 8, bits);
    bits[(type & 255) >> 3]! |= 0x80 >> (type & 7);
  }
  const parts: Uint8Array[] = [Buffer.from(nameAfter(owner), 'latin1')];
  for (const [window, bits] of [...windows].sort(([a], [b]) => a - b)) {
    const length = bits.findLastIndex((byte) => byte !== 0) + 1;
    parts.push(Uint8Array.of(window, length), bits.subarray(0, length));
  }
  return Buffer.concat(parts);
}
