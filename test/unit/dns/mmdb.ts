import { parseNetwork } from '../../../protocol/geography.ts';

interface Entry {
  readonly network: string;
  readonly country: string;
}

/** A country database in MaxMind's format (version 2.0 of its specification), IPv4 below ::/96, records of 24 bits. */
export function mmdb(entries: readonly Entry[]): Buffer {
  const data: Buffer[] = [];
  let dataBytes = 0;
  const nodes: [left: number, right: number][] = [[-1, -1]];
  // Leaves are kept as −2 − offset until the number of nodes is known; −1 is nothing.
  for (const { network, country } of entries) {
    const { bytes, length } = parseNetwork(network);
    const bits = [...(bytes.length === 4 ? new Array(12).fill(0) : []), ...bytes].flatMap((byte: number) =>
      Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1),
    );
    const prefix = bits.slice(0, length + (bytes.length === 4 ? 96 : 0));
    let node = 0;
    prefix.forEach((bit, depth) => {
      if (depth === prefix.length - 1) {
        nodes[node]![bit] = -2 - dataBytes;
        return;
      }
      if (nodes[node]![bit]! === -1) nodes[node]![bit] = nodes.push([-1, -1]) - 1;
      node = nodes[node]![bit]!;
    });
    const record = map([['country', map([['iso_code', text(country)]])]]);
    data.push(record);
    dataBytes += record.length;
  }
  const count = nodes.length;
  const tree = Buffer.alloc(count * 6);
  nodes.forEach((pair, at) => {
    pair.forEach((value, side) => {
      tree.writeUIntBE(
        value >= 0 ? value : value === -1 ? count : count + 16 + (-2 - value),
        at * 6 + side * 3,
        3,
      );
    });
  });
  const metadata = map([
    ['node_count', uint(6, count)],
    ['record_size', uint(5, 24)],
    ['ip_version', uint(5, 6)],
    ['database_type', text('Test-Country')],
    ['languages', Buffer.from([0x00, 0x04])],
    ['binary_format_major_version', uint(5, 2)],
    ['binary_format_minor_version', uint(5, 0)],
    ['build_epoch', uint(6, 1_700_000_000)],
    ['description', map([])],
  ]);
  return Buffer.concat([
    tree,
    Buffer.alloc(16),
    ...data,
    Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'),
    metadata,
  ]);
}

const text = (value: string) => Buffer.concat([Buffer.from([(2 << 5) | value.length]), Buffer.from(value)]);
const map = (pairs: readonly (readonly [string, Buffer])[]) =>
  Buffer.concat([
    Buffer.from([(7 << 5) | pairs.length]),
    ...pairs.flatMap(([key, value]) => [text(key), value]),
  ]);
/** Types 5 (16 bits) and 6 (32 bits). */
function uint(type: 5 | 6, value: number): Buffer {
  const width = type === 5 ? 2 : 4;
  const out = Buffer.alloc(1 + width);
  out[0] = (type << 5) | width;
  out.writeUIntBE(value, 1, width);
  return out;
}
