import { createHash, createPublicKey, verify } from 'node:crypto';

/** A validator that shares nothing with the server: its own reading of packets, and the signatures by the system's library. */

export interface Rr {
  /** Wire form in lower case, hex. */
  readonly owner: string;
  readonly type: number;
  readonly ttl: number;
  readonly data: Buffer;
  readonly section: 'answer' | 'authority' | 'additional';
}

export interface Message {
  readonly rcode: number;
  readonly question: { readonly name: string; readonly type: number };
  readonly records: readonly Rr[];
}

/** Reads a name, following pointers; gives its wire form in lower case and where it ends. */
function nameAt(bytes: Buffer, from: number): { name: Buffer; end: number } {
  const labels: Buffer[] = [];
  let at = from;
  let end = -1;
  for (let steps = 0; steps < 128; steps += 1) {
    const length = bytes.readUInt8(at);
    if (length >= 0xc0) {
      if (end < 0) end = at + 2;
      at = bytes.readUInt16BE(at) & 0x3fff;
      continue;
    }
    labels.push(Buffer.from(bytes.subarray(at, at + 1 + length)));
    at += 1 + length;
    if (length === 0) return { name: folded(Buffer.concat(labels)), end: end < 0 ? at : end };
  }
  throw new Error('a name that does not end');
}

const folded = (name: Buffer) =>
  name.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte)) as Buffer;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export function parse(packet: Uint8Array): Message {
  const bytes = Buffer.from(packet);
  const { name, end } = nameAt(bytes, 12);
  let at = end + 4;
  const records: Rr[] = [];
  const counts = [6, 8, 10].map((offset) => bytes.readUInt16BE(offset));
  for (const [index, section] of (['answer', 'authority', 'additional'] as const).entries()) {
    for (let i = 0; i < counts[index]!; i += 1) {
      const owner = nameAt(bytes, at);
      const length = bytes.readUInt16BE(owner.end + 8);
      const dataAt = owner.end + 10;
      records.push({
        ...{ owner: hex(owner.name), type: bytes.readUInt16BE(owner.end), section },
        ttl: bytes.readUInt32BE(owner.end + 4),
        data: Buffer.from(bytes.subarray(dataAt, dataAt + length)),
      });
      at = dataAt + length;
    }
  }
  if (at !== bytes.length) throw new Error('bytes are left over');
  return {
    ...{ rcode: bytes.readUInt8(3) & 15, records },
    question: { name: hex(name), type: bytes.readUInt16BE(end) },
  };
}

/** Wire form of a name in text, in hex. */
export const wire = (name: string): string =>
  hex(
    Buffer.concat([
      ...(name === '' ? [] : name.split('.')).map((label) =>
        Buffer.concat([Buffer.from([label.length]), Buffer.from(label.toLowerCase())]),
      ),
      Buffer.from([0]),
    ]),
  );

/** Names in the data of types whose names are signed in lower case. */
const NAMES: Record<number, { at: number; count: number }> = {
  2: { at: 0, count: 1 },
  5: { at: 0, count: 1 },
  6: { at: 0, count: 2 },
  12: { at: 0, count: 1 },
  15: { at: 2, count: 1 },
  33: { at: 6, count: 1 },
};

function canonical({ type, data }: Rr): Buffer {
  const names = NAMES[type];
  if (!names) return data;
  const parts = [data.subarray(0, names.at)];
  let { at } = names;
  for (let i = 0; i < names.count; i += 1) {
    const { name, end } = nameAt(data, at);
    parts.push(name);
    at = end;
  }
  return Buffer.concat([...parts, data.subarray(at)]);
}

export interface Anchor {
  /** Apex, wire form in hex. */
  readonly apex: string;
  /** Data of the DNSKEY record. */
  readonly dnskey: Buffer;
}

/** Key tag by RFC 4034 appendix B, summed as pairs. */
export function tagOf(dnskey: Buffer): number {
  let sum = 0;
  for (let at = 0; at < dnskey.length; at += 2) sum += (dnskey[at]! << 8) + (dnskey[at + 1] ?? 0);
  return (sum + (sum >>> 16)) & 0xffff;
}

export const dsOf = ({ apex, dnskey }: Anchor): string =>
  createHash('sha256').update(Buffer.from(apex, 'hex')).update(dnskey).digest('hex');

/** Fails unless every set of answer and authority is signed by the key at this time; delegations are not signed. */
export function validate(message: Message, anchors: readonly Anchor[], nowSeconds: number): void {
  const sets = new Map<string, Rr[]>();
  for (const rr of message.records) {
    if (rr.section === 'additional' || rr.type === 46) continue;
    const key = `${rr.section} ${rr.owner} ${rr.type}`;
    sets.set(key, [...(sets.get(key) ?? []), rr]);
  }
  for (const [key, set] of sets) {
    const [first] = set;
    const { owner, type, section, ttl } = first!;
    // Name servers of a zone below belong to that zone.
    if (type === 2 && section === 'authority') continue;
    const signature = message.records.find(
      (rr) =>
        rr.type === 46 && rr.section === section && rr.owner === owner && rr.data.readUInt16BE(0) === type,
    );
    if (!signature) throw new Error(`${key}: no signature`);
    const { data } = signature;
    const signer = nameAt(data, 18);
    const anchor = anchors.find(({ apex }) => apex === hex(signer.name));
    if (!anchor) throw new Error(`${key}: signed by ${hex(signer.name)}`);
    if (!owner.endsWith(anchor.apex)) throw new Error(`${key}: not in the zone of its signer`);
    const labels = Buffer.from(owner, 'hex');
    let count = 0;
    for (let at = 0; labels[at] !== 0; at += 1 + labels[at]!) count += 1;
    if (owner.startsWith('012a')) count -= 1;
    const faults = [
      [data[2] !== 13, 'algorithm'],
      [data[3] !== count, 'labels'],
      [data.readUInt32BE(4) !== ttl || set.some((rr) => rr.ttl !== ttl), 'TTL'],
      [data.readUInt32BE(8) < nowSeconds, 'expired'],
      [data.readUInt32BE(12) > nowSeconds, 'not valid yet'],
      [data.readUInt16BE(16) !== tagOf(anchor.dnskey), 'key tag'],
    ] as const;
    for (const [broken, what] of faults) if (broken) throw new Error(`${key}: ${what}`);
    const rows = set.map(canonical).sort(Buffer.compare);
    const signed = Buffer.concat([
      data.subarray(0, signer.end),
      ...rows.map((row) => {
        const head = Buffer.alloc(10);
        head.writeUInt16BE(type, 0);
        head.writeUInt16BE(1, 2);
        head.writeUInt32BE(ttl, 4);
        head.writeUInt16BE(row.length, 8);
        return Buffer.concat([Buffer.from(owner, 'hex'), head, row]);
      }),
    ]);
    const x = anchor.dnskey.subarray(4, 36).toString('base64url');
    const y = anchor.dnskey.subarray(36, 68).toString('base64url');
    const publicKey = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
    const good = verify(
      'sha256',
      signed,
      { key: publicKey, dsaEncoding: 'ieee-p1363' },
      data.subarray(signer.end),
    );
    if (!good) throw new Error(`${key}: bogus`);
  }
}

/** Order of names by RFC 4034 §6.1: label by label from the right. Names are wire form in hex. */
export function compareNames(a: string, b: string): number {
  const labels = (name: string) => {
    const bytes = Buffer.from(name, 'hex');
    const list: Buffer[] = [];
    for (let at = 0; bytes[at] !== 0; at += 1 + bytes[at]!)
      list.unshift(bytes.subarray(at + 1, at + 1 + bytes[at]!));
    return list;
  };
  const [left, right] = [labels(a), labels(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i += 1) {
    const order = Buffer.compare(left[i]!, right[i]!);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** What an NSEC record says: the name after it, and the types at its own. */
export function nsecOf({ data }: Rr): { next: string; types: number[] } {
  const { name, end } = nameAt(data, 0);
  const types: number[] = [];
  for (let at = end; at < data.length; at += 2 + data[at + 1]!) {
    for (let i = 0; i < data[at + 1]! * 8; i += 1) {
      if (data[at + 2 + (i >> 3)]! & (0x80 >> (i & 7))) types.push(data[at]! * 256 + i);
    }
  }
  return { next: hex(name), types };
}

const NXNAME = 128;

/**
 * What the signed denial in a message proves of the name and type (RFC 4035 §5.4, RFC 9824): that the type is not
 * there, or the name neither. Fails if it proves nothing.
 */
export function denied(message: Message, name: string, type: number): 'nodata' | 'nxname' {
  const nsec = message.records.filter((rr) => rr.type === 47 && rr.section === 'authority');
  if (nsec.length !== 1) throw new Error(`${nsec.length} NSEC records`);
  const [record] = nsec;
  const { next, types } = nsecOf(record!);
  if (record!.owner !== wire(name)) throw new Error('the NSEC record is of another name');
  if (compareNames(record!.owner, next) >= 0) throw new Error('the next name does not follow');
  if (types.includes(type) || types.includes(5)) throw new Error('the type is there');
  // Nothing may be denied beside the name itself: a name between the two must not exist in any zone.
  return types.includes(NXNAME) ? 'nxname' : 'nodata';
}
