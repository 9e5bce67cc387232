import type { NameKey } from '../name.ts';
import { parentAt } from '../name.ts';
import { TYPE } from '../rdata.ts';
import type { RecordSet } from '../record-set.ts';

/** Where in the data of a type its names begin; they are signed in lower case (RFC 4034 §6.2, RFC 6840 §5.1). */
const NAMES_AT = new Map<number, number>([
  [TYPE.NS, 0],
  [TYPE.CNAME, 0],
  [TYPE.PTR, 0],
  [TYPE.SOA, 0],
  [TYPE.MX, 2],
  [TYPE.SRV, 6],
]);

/** Record data in canonical form. */
export function canonicalRdata(type: number, rdata: Uint8Array): Uint8Array {
  const from = NAMES_AT.get(type);
  if (from === undefined) return rdata;
  const folded = Uint8Array.from(rdata);
  let at = from;
  for (let names = type === TYPE.SOA ? 2 : 1; names > 0 && at < folded.length; names -= 1) {
    // Length bytes are below the letters, so that a name can be folded as a whole.
    while (folded[at] !== 0) {
      const end = at + 1 + folded[at]!;
      for (at += 1; at < end; at += 1) if (folded[at]! >= 0x41 && folded[at]! <= 0x5a) folded[at]! += 32;
    }
    at += 1;
  }
  return folded;
}

/** The records of a set as they are signed: canonical, in canonical order, each whole (RFC 4034 §6.3). */
export function canonicalRecords(set: RecordSet, owner: NameKey): Uint8Array {
  const head = Buffer.concat([Buffer.from(owner, 'latin1'), Buffer.alloc(10)]);
  head.writeUInt16BE(set.type, head.length - 10);
  head.writeUInt16BE(1, head.length - 8);
  head.writeUInt32BE(set.ttl, head.length - 6);
  const sorted = set.rdata.map((data) => canonicalRdata(set.type, data)).sort(Buffer.compare);
  return Buffer.concat(
    sorted.flatMap((data) => {
      const own = Buffer.from(head);
      own.writeUInt16BE(data.length, own.length - 2);
      return [own, data];
    }),
  );
}

/** Labels of a name as RRSIG counts them: neither the root nor a wildcard's asterisk (RFC 4034 §3.1.3). */
export function labelsOf(owner: NameKey): number {
  let labels = 0;
  for (let at = 0; owner.charCodeAt(at) !== 0; at = parentAt(owner, at)) labels += 1;
  return owner.startsWith('\u0001*') ? labels - 1 : labels;
}
