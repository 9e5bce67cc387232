import * as v from 'valibot';
import { idBytes, type PopId } from '../ids.ts';
import { TOPICS } from '../ports.ts';
import type { Rising } from '../rising.ts';
import { decode, encode, type MessageSpec } from '../wire/codec.ts';
import { contentHash, key16, popId, regionId, rows, uint } from '../wire/schemas.ts';

/** Reports in one message. */
const REPORTS_MAX = 32;
/** Issuers that a fence names. */
const FENCE_MAX = 300;

const fence = rows(v.tuple([popId, uint()]), FENCE_MAX);

/** `[1, [[key16, content, fence, size, region, count, expected]…]]`; fences are `[issuer, seq]` pairs. */
const schema = v.tuple([
  v.literal(1),
  rows(
    v.tuple([key16, contentHash, fence, uint(), regionId, uint(0xffffffff), uint(0x7fffffff)]),
    REPORTS_MAX,
  ),
]);

export const risingSpec: MessageSpec<typeof schema> = {
  name: 'rising',
  schema,
  maxBytes: TOPICS.rising.maxBytes,
  depth: 6,
  elements: 8192,
};

/** The wire form of a few reports; those that do not fit are left out, the last first. */
export function encodeRising(reports: readonly Rising[]): Uint8Array {
  let kept = reports.slice(0, REPORTS_MAX);
  for (;;) {
    const bytes = encode([
      1,
      kept.map((r) => [
        idBytes(r.key16),
        idBytes(r.content),
        [...r.fence].map(([issuer, seq]): [PopId, number] => [issuer, seq]),
        r.size,
        r.region,
        r.count,
        r.expected,
      ]),
    ]);
    if (bytes.length <= TOPICS.rising.maxBytes || kept.length === 0) return bytes;
    kept = kept.slice(0, -1);
  }
}

/** Fails with `WIRE_*`. */
export function decodeRising(bytes: Uint8Array): Rising[] {
  const [, reports] = decode(bytes, risingSpec);
  return reports.map(([key, content, pairs, size, region, count, expected]) => ({
    key16: key,
    content,
    fence: new Map(pairs),
    size,
    region,
    count,
    expected,
  }));
}
