import { Unpackr } from 'msgpackr';
import type { Random } from '../../protocol/ports.ts';
import { encode } from '../../protocol/wire/codec.ts';

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

const below = (random: Random, limit: number): number => Math.floor(random.float() * limit);
const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;

/** Values that are at the edge of something. */
const EDGES: readonly unknown[] = [
  ...[0, 1, -1, 2, 15, 16, 31, 32, 127, 128, 255, 256, 0x7fff, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000],
  ...[0xffff_ffff, 2 ** 32, 2 ** 47, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 2 ** 63, 1e308, -0.5, 0.1],
  ...[Number.NaN, Number.POSITIVE_INFINITY, null, true, false, '', [], {}, new Uint8Array(0)],
  ...['length', '__proto__', 'constructor', 'toString', '0', '*', 'a'.repeat(300), '\u0000', '\ud800', '😀'],
  ...[new Uint8Array(8), new Uint8Array(16), new Uint8Array(32), new Uint8Array(64), new Uint8Array(300)],
];

function leaf(random: Random): unknown {
  const kind = below(random, 4);
  if (kind === 0) return below(random, 2 ** below(random, 54));
  if (kind === 1) return Uint8Array.from({ length: below(random, 70) }, () => random.uint32() & 255);
  return copyOf(pick(random, EDGES), 1);
}

/** Any plain data, nested a little. */
export function anything(random: Random, depth = 4): unknown {
  if (depth === 0 || random.float() < 0.4) return leaf(random);
  const length = below(random, random.float() < 0.05 ? 200 : 8);
  if (random.float() < 0.9) return Array.from({ length }, () => anything(random, depth - 1));
  return Object.fromEntries(Array.from({ length }, (_, i) => [`k${i}`, anything(random, depth - 1)]));
}

const isNode = (value: unknown): value is unknown[] => Array.isArray(value);

/** All arrays of a tree, the root among them. */
function nodes(value: unknown, found: unknown[][] = []): unknown[][] {
  if (!isNode(value) || found.length > 500) return found;
  found.push(value);
  for (const child of value) nodes(child, found);
  return found;
}

/** A copy, so that no tree holds itself. */
function copyOf(value: unknown, depth: number): unknown {
  if (!isNode(value)) return value;
  return depth === 0 ? [] : value.map((child) => copyOf(child, depth - 1));
}

function edit(random: Random, list: unknown[], all: readonly unknown[][]): void {
  const at = below(random, list.length + 1);
  const there = list[at];
  switch (below(random, 9)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(at, 0, leaf(random));
      break;
    case 2:
      if (at < list.length) list[at] = anything(random, 2);
      break;
    case 3:
      // The same again, once or many times: duplicates, and more than a limit.
      list.splice(at, 0, ...new Array<unknown>(random.float() < 0.1 ? 300 : 1).fill(copyOf(there, 6)));
      break;
    case 4:
      if (at < list.length) list[at] = copyOf(pick(random, pick(random, all)), 6);
      break;
    case 5:
      list.reverse();
      break;
    case 6:
      if (typeof there === 'number') list[at] = there + pick(random, [1, -1, 2, -2, 0.5, 2 ** 32]);
      else if (there instanceof Uint8Array) {
        const bytes = new Uint8Array(Math.max(0, there.length + pick(random, [0, 0, 1, -1, 16])));
        bytes.set(there.subarray(0, bytes.length));
        if (bytes.length > 0) bytes[below(random, bytes.length)]! ^= 1 << below(random, 8);
        list[at] = bytes;
      } else if (typeof there === 'string') list[at] = there + pick(random, ['', 'x', '.', '\u0000', there]);
      break;
    default:
      if (at < list.length) list[at] = leaf(random);
  }
}

/** A valid message with its structure changed: still MessagePack, no longer quite what it was. */
export function mutateMessage(random: Random, input: Uint8Array): Uint8Array {
  let tree: unknown;
  try {
    tree = unpackr.unpack(input);
  } catch {
    return encode(anything(random));
  }
  const root = [tree];
  for (let edits = 1 + below(random, 3); edits > 0; edits -= 1) {
    const all = nodes(root).slice(1);
    if (all.length === 0) root[0] = leaf(random);
    else edit(random, pick(random, all), all);
  }
  try {
    return encode(root[0]);
  } catch {
    return input;
  }
}

/** Bytes that begin as MessagePack does and promise what they do not hold. */
export function rawMessage(random: Random): Uint8Array {
  const parts: number[] = [];
  for (let tokens = 1 + below(random, 12); tokens > 0; tokens -= 1) {
    const tag = pick(
      random,
      [0x80, 0x90, 0x91, 0xa0, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3],
    );
    parts.push(
      random.float() < 0.5 ? tag : pick(random, [0xd4, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff]),
    );
    for (let bytes = below(random, 9); bytes > 0; bytes -= 1)
      parts.push(pick(random, [0, 0xff, 0x7f, 1, random.uint32() & 255]));
  }
  return Uint8Array.from(parts);
}
