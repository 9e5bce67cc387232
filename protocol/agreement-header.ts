import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { PresageError } from './errors.ts';
import { type Genesis, genesisBytes } from './genesis.ts';
import type { PopId } from './ids.ts';
import { type Cert, type Digest, MAX_ROSTER, type SlotDigest } from './messages/agreement.ts';
import type { Quorum } from './quorum.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, popId, rows, uint } from './wire/schemas.ts';

/** What all correct PoPs decided at one height. */
export interface Header {
  readonly height: number;
  /** Hash of the header before; of the genesis at height 1. */
  readonly previous: Digest;
  /** Which proposals are in, ascending by slot. */
  readonly included: readonly SlotDigest[];
  /** SHA-256 of the state after this height. */
  readonly stateHash: Digest;
  /** The roster from the next height on, if this height changes it; sorted. */
  readonly roster: readonly PopId[] | undefined;
}

/** Signs with this PoP's key. */
export type SignMessage = (message: Uint8Array) => Uint8Array;
/** Whether `pop` signed `message`; never throws. */
export type VerifyMessage = (pop: PopId, message: Uint8Array, signature: Uint8Array) => boolean;

export const digestOf = (data: Uint8Array): Digest => createHash('sha256').update(data).digest('hex');
export const digestBytes = (digest: Digest): Uint8Array => Buffer.from(digest, 'hex');

/** chain(0), from which the first header descends. */
export const chainRoot = (genesis: Genesis): Digest => digestOf(genesisBytes(genesis));

/** Peer ids in slot order: by their bytes. Base58 text is ASCII, so that code units order as bytes do. */
export const inSlotOrder = (pops: Iterable<PopId>): PopId[] =>
  [...new Set(pops)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));

const digest = v.pipe(
  bytes(32, 32),
  v.transform((b): Digest => Buffer.from(b).toString('hex')),
);
const schema = v.strictTuple([
  v.pipe(uint(), v.minValue(1)),
  digest,
  rows(v.strictTuple([uint(MAX_ROSTER - 1), digest]), MAX_ROSTER),
  digest,
  v.nullable(v.pipe(rows(popId, MAX_ROSTER), v.minLength(1))),
]);

/** `[h, prev, [[slot, id]…], stateHash, roster | nil]`: what the chain hashes and COMMITs sign. */
export function encodeHeader({ height, previous, included, stateHash, roster }: Header): Uint8Array {
  const slots = included.map(([slot, id]) => [slot, digestBytes(id)]);
  return encode([height, digestBytes(previous), slots, digestBytes(stateHash), roster ?? null]);
}

/** Fails with `WIRE_*`. */
export function decodeHeader(data: Uint8Array): Header {
  const [height, previous, included, stateHash, roster] = decode(data, {
    name: 'header',
    maxBytes: 128 * 1024,
    depth: 3,
    elements: 8 + 4 * MAX_ROSTER,
    schema,
  });
  if (roster && inSlotOrder(roster).some((pop, slot) => pop !== roster[slot])) {
    throw new PresageError('WIRE_SCHEMA', 'header: the roster is not sorted');
  }
  return { height, previous, included, stateHash, roster: roster ?? undefined };
}

/** What is signed: the kind, the cluster, the height and what is said, all of fixed length. */
function statement(kind: 'propose' | 'commit', genesis: Genesis, height: number, hash: Digest): Uint8Array {
  const message = Buffer.alloc(8 + 32 + 8 + 32);
  message.write(kind, 'latin1');
  message.write(genesis, 8, 'hex');
  message.writeBigUInt64BE(BigInt(height), 40);
  message.write(hash, 48, 'hex');
  return message;
}

export const proposeStatement = (genesis: Genesis, height: number, id: Digest): Uint8Array =>
  statement('propose', genesis, height, id);
export const commitStatement = (genesis: Genesis, height: number, hash: Digest): Uint8Array =>
  statement('commit', genesis, height, hash);

/** The signatures of a certificate that hold, one a slot, ascending; stops at a quorum. */
export function validSignatures(
  cert: Cert,
  message: Uint8Array,
  roster: readonly PopId[],
  { quorum }: Quorum,
  verify: VerifyMessage,
): Cert {
  const held = new Map<number, Uint8Array>();
  for (const [slot, signature] of cert) {
    if (held.size >= quorum) break;
    const pop = roster[slot];
    if (pop && !held.has(slot) && verify(pop, message, signature)) held.set(slot, signature);
  }
  return [...held].sort(([a], [b]) => a - b);
}
