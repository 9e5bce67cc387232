import * as v from 'valibot';
import { PROTOCOLS, TOPICS } from '../ports.ts';
import { openTextRecord, type SignedTextRecord, TEXT_RECORD_BYTES } from '../text-record.ts';
import { decode, encode } from '../wire/codec.ts';
import { bytes, rows, uint } from '../wire/schemas.ts';

/** Records of a whole cluster at once, bounded because each may live for a day. */
export const TEXT_RECORDS_MAX = 1_024;
/** Records in one gossip message: an ACME client sets one or two at a time. */
const GOSSIPED_MAX = 8;
/** Records in one call or reply. */
export const TEXT_RECORDS_PER_FRAME = 256;

/** What a PoP knows: ids with the time at which they expire. */
export type TextDigest = readonly (readonly [id: string, expiresAt: number])[];

export type TextCall =
  | { readonly kind: 'push'; readonly records: readonly SealedText[] }
  | { readonly kind: 'compare'; readonly digest: TextDigest };

export type TextReply =
  /** Ids of pushed records that are durable and in force there now. */
  | { readonly kind: 'push'; readonly acknowledged: readonly string[] }
  /** Records that the caller lacks; ids that the callee lacks; whether the callee has more to say. */
  | {
      readonly kind: 'compare';
      readonly records: readonly SealedText[];
      readonly wanted: readonly string[];
      readonly more: boolean;
    };

/** A record as it travels, not looked into yet. */
export interface SealedText {
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

/** Verifies. Fails with `WIRE_*`. */
export const openSealedText = ({ body, signature }: SealedText): SignedTextRecord =>
  openTextRecord(body, signature);

const sealed = v.pipe(
  v.strictTuple([bytes(TEXT_RECORD_BYTES), bytes(64, 64)]),
  v.transform(([body, signature]): SealedText => ({ body, signature })),
);
const id = v.pipe(
  bytes(16, 16),
  v.transform((b) => Buffer.from(b).toString('hex')),
);
const idBytes = (text: string) => Buffer.from(text, 'hex');
const pair = ({ body, signature }: SealedText) => [body, signature];

/** `[1, [[body, signature]…]]` */
const GOSSIP = {
  name: 'text records',
  maxBytes: TOPICS.record.maxBytes,
  schema: v.strictTuple([v.literal(1), rows(sealed, GOSSIPED_MAX)]),
};
/** `[1, 0, [[body, signature]…]]` or `[1, 1, [[id, expiresAt]…]]` */
const CALL = {
  name: 'text record call',
  maxBytes: PROTOCOLS.record.maxRequestBytes,
  schema: v.union([
    v.strictTuple([v.literal(1), v.literal(0), rows(sealed, TEXT_RECORDS_PER_FRAME)]),
    v.strictTuple([v.literal(1), v.literal(1), rows(v.strictTuple([id, uint()]), TEXT_RECORDS_MAX)]),
  ]),
};
/** `[1, 0, [id…]]` or `[1, 1, [[body, signature]…], [id…], more]` */
const REPLY = {
  name: 'text record reply',
  maxBytes: PROTOCOLS.record.maxReplyBytes,
  schema: v.union([
    v.strictTuple([v.literal(1), v.literal(0), rows(id, TEXT_RECORDS_PER_FRAME)]),
    v.strictTuple([
      v.literal(1),
      v.literal(1),
      rows(sealed, TEXT_RECORDS_PER_FRAME),
      rows(id, TEXT_RECORDS_PER_FRAME),
      v.boolean(),
    ]),
  ]),
};

export const encodeTextGossip = (records: readonly SealedText[]): Uint8Array =>
  encode([1, records.slice(0, GOSSIPED_MAX).map(pair)]);

/** Fails with `WIRE_*`. */
export const decodeTextGossip = (data: Uint8Array): readonly SealedText[] => decode(data, GOSSIP)[1];

export const encodeTextCall = (call: TextCall): Uint8Array =>
  call.kind === 'push'
    ? encode([1, 0, call.records.map(pair)])
    : encode([1, 1, call.digest.map(([one, expiresAt]) => [idBytes(one), expiresAt])]);

/** Fails with `WIRE_*`. */
export function decodeTextCall(data: Uint8Array): TextCall {
  const call = decode(data, CALL);
  return call[1] === 0 ? { kind: 'push', records: call[2] } : { kind: 'compare', digest: call[2] };
}

export const encodeTextReply = (reply: TextReply): Uint8Array =>
  reply.kind === 'push'
    ? encode([1, 0, reply.acknowledged.map(idBytes)])
    : encode([1, 1, reply.records.map(pair), reply.wanted.map(idBytes), reply.more]);

/** Fails with `WIRE_*`. */
export function decodeTextReply(data: Uint8Array): TextReply {
  const reply = decode(data, REPLY);
  return reply[1] === 0
    ? { kind: 'push', acknowledged: reply[2] }
    : { kind: 'compare', records: reply[2], wanted: reply[3], more: reply[4] };
}
