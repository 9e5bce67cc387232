import * as v from 'valibot';
import type { SlotBits } from '../agreement-bits.ts';
import { PresageError } from '../errors.ts';
import { decode, encode, type MessageSpec } from '../wire/codec.ts';
import { bytes, rows, uint } from '../wire/schemas.ts';

/** PoPs in a roster at most; a multiple of eight. */
export const MAX_ROSTER = 512;
/** Rounds of a binary agreement that are ever voted in; the worst ever seen needed fourteen. */
export const MAX_ROUNDS = 250;
/** A proposal's body at most, whatever the size of the cluster. */
export const MAX_BODY_BYTES = 256 * 1024;
/** A snapshot of the decided state at most. */
export const MAX_SNAPSHOT_BYTES = 12 << 20;
/** Headers in one DECISION at most: changes of the roster that a newcomer walks through. */
export const MAX_HEADERS = 1024;
/** Slots that share a digest in a compact ECHO: who proposes two things spoils no more than these. */
export const ECHO_BLOCK_SLOTS = 64;
const MAX_HEADER_BYTES = 128 * 1024;
const MAX_OPERATION_BYTES = 4096;

/** SHA-256 as 64 lower-case hex digits in memory, 32 bytes on the wire. */
export type Digest = string;
/** A slot and the digest of the body proposed in it. */
export type SlotDigest = readonly [slot: number, id: Digest];
/** Votes of one round: BVAL(0), BVAL(1), AUX(0), AUX(1). */
export type RoundVotes = readonly [SlotBits, SlotBits, SlotBits, SlotBits];
/** Signatures of a header's COMMITs, by slot. */
export type Cert = readonly (readonly [slot: number, signature: Uint8Array])[];
/** A header as it was sent and signed, with its certificate. */
export type Certified = readonly [header: Uint8Array, cert: Cert];

export interface ProposeMessage {
  readonly kind: 'propose';
  readonly height: number;
  readonly id: Digest;
  /** Bytes of the body. */
  readonly length: number;
  readonly signature: Uint8Array;
  readonly body: Uint8Array | undefined;
}
export interface EchoMessage {
  readonly kind: 'echo';
  readonly height: number;
  readonly echoes: readonly SlotDigest[];
}
/** Slots of one block, as bits from its first, and SHA-256 over their ids in slot order. */
export type EchoBlock = readonly [block: number, slots: SlotBits, hash: Digest];
/** An ECHO that tells its ids by their digest: they can be made out by whoever has the same PROPOSEs. */
export interface CompactEchoMessage {
  readonly kind: 'compact-echo';
  readonly height: number;
  readonly blocks: readonly EchoBlock[];
}
export interface VoteMessage {
  readonly kind: 'vote';
  readonly height: number;
  /** Rises whenever the sender's votes have grown. */
  readonly seq: number;
  /** READY for the id in the sender's ECHO. */
  readonly ready: SlotBits;
  /** READY for another id. */
  readonly alternative: readonly SlotDigest[];
  readonly rounds: readonly RoundVotes[];
  readonly decided: readonly [zero: SlotBits, one: SlotBits];
  readonly commit: { readonly hash: Digest; readonly signature: Uint8Array } | undefined;
}
/** What goes over gossip. */
export type AgreementGossip = ProposeMessage | EchoMessage | CompactEchoMessage | VoteMessage;

export interface DecisionMessage {
  readonly kind: 'decision';
  /** Headers that change the roster, from the height asked for up to before the tip. */
  readonly headers: readonly Certified[];
  /** The state after the tip. */
  readonly snapshot: Uint8Array;
  readonly tip: Certified | undefined;
  /** The height asked for and the highest `seq` held there from the receiver, 0 if none: shows a restored backup. */
  readonly held: readonly [height: number, seq: number];
}
/** What goes directly from one PoP to another. */
export type AgreementDirect =
  | { readonly kind: 'sync'; readonly height: number }
  | { readonly kind: 'body-request'; readonly id: Digest }
  | { readonly kind: 'body'; readonly id: Digest; readonly bytes: Uint8Array }
  | DecisionMessage
  | { readonly kind: 'join'; readonly operation: Uint8Array };

export type AgreementMessage = AgreementGossip | AgreementDirect;

const GOSSIP: ReadonlySet<AgreementMessage['kind']> = new Set(['propose', 'echo', 'compact-echo', 'vote']);
export const isGossip = (message: AgreementMessage): message is AgreementGossip => GOSSIP.has(message.kind);

const height = v.pipe(uint(), v.minValue(1));
const slot = uint(MAX_ROSTER - 1);
const digest = v.pipe(
  bytes(32, 32),
  v.transform((b): Digest => Buffer.from(b.buffer, b.byteOffset, b.byteLength).toString('hex')),
);
const signature = bytes(64, 64);
const bits = bytes(MAX_ROSTER / 8);
const slotDigests = rows(v.strictTuple([slot, digest]), MAX_ROSTER);
export const certSchema = rows(v.strictTuple([slot, signature]), MAX_ROSTER);
const certified = v.strictTuple([bytes(MAX_HEADER_BYTES), certSchema]);

const proposeSchema = v.union([
  v.strictTuple([v.literal(1), height, digest, uint(MAX_BODY_BYTES), signature]),
  v.strictTuple([v.literal(1), height, digest, uint(MAX_BODY_BYTES), signature, bytes(64 * 1024)]),
]);
const echoSchema = v.strictTuple([v.literal(2), height, slotDigests]);
const blockBytes = ECHO_BLOCK_SLOTS / 8;
const compactSchema = v.strictTuple([
  v.literal(9),
  height,
  rows(
    v.strictTuple([uint(MAX_ROSTER / ECHO_BLOCK_SLOTS - 1), bytes(blockBytes, blockBytes), digest]),
    MAX_ROSTER / ECHO_BLOCK_SLOTS,
  ),
]);
const voteSchema = v.strictTuple([
  v.literal(3),
  height,
  uint(),
  bits,
  slotDigests,
  rows(v.strictTuple([bits, bits, bits, bits]), MAX_ROUNDS),
  bits,
  bits,
  v.nullable(v.strictTuple([digest, signature])),
]);
const syncSchema = v.strictTuple([v.literal(4), height]);
const bodyRequestSchema = v.strictTuple([v.literal(5), digest]);
const bodySchema = v.strictTuple([v.literal(6), digest, bytes(MAX_BODY_BYTES)]);
const decisionSchema = v.strictTuple([
  v.literal(7),
  rows(certified, MAX_HEADERS),
  bytes(MAX_SNAPSHOT_BYTES),
  v.nullable(certified),
  v.strictTuple([uint(), uint()]),
]);
const joinSchema = v.strictTuple([v.literal(8), bytes(MAX_OPERATION_BYTES, 1)]);

const spec = <S extends v.GenericSchema>(
  name: string,
  schema: S,
  maxBytes: number,
  depth: number,
  elements: number,
): MessageSpec<S> => ({ name, schema, maxBytes, depth, elements });

const PROPOSE = spec('PROPOSE', proposeSchema, 64 * 1024, 1, 7);
const ECHO = spec('ECHO', echoSchema, 64 * 1024, 3, 4 + 3 * MAX_ROSTER);
const COMPACT_ECHO = spec('compact ECHO', compactSchema, 1024, 3, 4 + (4 * MAX_ROSTER) / ECHO_BLOCK_SLOTS);
const VOTE = spec('VOTE', voteSchema, 64 * 1024, 3, 16 + 3 * MAX_ROSTER + 5 * MAX_ROUNDS);
const SYNC = spec('SYNC', syncSchema, 32, 1, 3);
const BODY_REQUEST = spec('BODY_REQ', bodyRequestSchema, 64, 1, 3);
const BODY = spec('BODY', bodySchema, MAX_BODY_BYTES + 64, 1, 4);
const DECISION = spec('DECISION', decisionSchema, 16 << 20, 5, 1 << 20);
const JOIN = spec('JOIN', joinSchema, MAX_OPERATION_BYTES + 16, 1, 3);

const raw = (id: Digest): Uint8Array => Buffer.from(id, 'hex');
const rawPairs = (pairs: readonly SlotDigest[]) => pairs.map(([at, id]) => [at, raw(id)]);

export function encodeAgreement(message: AgreementMessage): Uint8Array {
  switch (message.kind) {
    case 'propose': {
      const { height: h, id, length, signature: sig, body } = message;
      return encode(body ? [1, h, raw(id), length, sig, body] : [1, h, raw(id), length, sig]);
    }
    case 'echo':
      return encode([2, message.height, rawPairs(message.echoes)]);
    case 'compact-echo':
      return encode([9, message.height, message.blocks.map(([at, slots, hash]) => [at, slots, raw(hash)])]);
    case 'vote': {
      const { height: h, seq, ready, alternative, rounds, decided, commit } = message;
      const seal = commit ? [raw(commit.hash), commit.signature] : null;
      return encode([3, h, seq, ready, rawPairs(alternative), rounds, decided[0], decided[1], seal]);
    }
    case 'sync':
      return encode([4, message.height]);
    case 'body-request':
      return encode([5, raw(message.id)]);
    case 'body':
      return encode([6, raw(message.id), message.bytes]);
    case 'decision':
      return encode([7, message.headers, message.snapshot, message.tip ?? null, message.held]);
    case 'join':
      return encode([8, message.operation]);
  }
}

/** Fails with `WIRE_*`. */
export function decodeAgreement(data: Uint8Array): AgreementMessage {
  // A positional array of fewer than sixteen begins with its length, then the kind.
  if ((data[0] ?? 0) >> 4 !== 9) throw new PresageError('WIRE_SCHEMA', 'agreement: not a message');
  switch (data[1]) {
    case 1: {
      const [, h, id, length, sig, body] = decode(data, PROPOSE);
      return { kind: 'propose', height: h, id, length, signature: sig, body };
    }
    case 2: {
      const [, h, echoes] = decode(data, ECHO);
      return { kind: 'echo', height: h, echoes };
    }
    case 3: {
      const [, h, seq, ready, alternative, rounds, zero, one, seal] = decode(data, VOTE);
      const commit = seal ? { hash: seal[0], signature: seal[1] } : undefined;
      return { kind: 'vote', height: h, seq, ready, alternative, rounds, decided: [zero, one], commit };
    }
    case 4:
      return { kind: 'sync', height: decode(data, SYNC)[1] };
    case 5:
      return { kind: 'body-request', id: decode(data, BODY_REQUEST)[1] };
    case 6: {
      const [, id, body] = decode(data, BODY);
      return { kind: 'body', id, bytes: body };
    }
    case 7: {
      const [, headers, snapshot, tip, held] = decode(data, DECISION);
      return { kind: 'decision', headers, snapshot, tip: tip ?? undefined, held };
    }
    case 8:
      return { kind: 'join', operation: decode(data, JOIN)[1] };
    case 9: {
      const [, h, blocks] = decode(data, COMPACT_ECHO);
      return { kind: 'compact-echo', height: h, blocks };
    }
    default:
      throw new PresageError('WIRE_SCHEMA', 'agreement: an unknown kind of message');
  }
}
