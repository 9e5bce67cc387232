import * as v from 'valibot';
import { proposeStatement } from './agreement-header.ts';
import { inspect } from './certificate.ts';
import { openTerms, TERMS_BYTES } from './charter-terms.ts';
import { type DecidedState, memberOf, type StateMember } from './decided-state.ts';
import { PresageError } from './errors.ts';
import { byBytes, quotient } from './exact.ts';
import type { Genesis } from './genesis.ts';
import type { PopId } from './ids.ts';
import { OPERATION_BYTES } from './proposal.ts';
import { verifyRevocations } from './revocation.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, popId, uint } from './wire/schemas.ts';

/** A PoP that is not included for so long is evicted, ms. */
const EVICTION_MS = 3_600_000;
/** Evictions never leave fewer than this. */
const EVICTION_FLOOR = 4;
/** A PoP let in has so many heights to be included in. */
const JOIN_PROOF_HEIGHTS = 3;
/** Heights for which a PoP that proposed twice counts next to nothing. */
const PENALTY_HEIGHTS = 1_000;
const ROSTER_MAX = 512;

/** What stays the same for a cluster's whole life, and how members sign. */
export interface ClusterTrust {
  readonly genesis: Genesis;
  /** 32 raw bytes. */
  readonly operatorKey: Uint8Array;
  /** Whether `pop` signed `message`; never throws. */
  readonly verify: (pop: PopId, message: Uint8Array, signature: Uint8Array) => boolean;
}

export type RosterOperation =
  /** A certificate; also renews that of a member. */
  | { readonly kind: 'join'; readonly certificate: Uint8Array }
  /** Of oneself, valid for heights `from` to `to`. */
  | {
      readonly kind: 'leave';
      readonly pop: PopId;
      readonly from: number;
      readonly to: number;
      readonly signature: Uint8Array;
    }
  /** The operator's list of revocations. */
  | { readonly kind: 'ban'; readonly revocations: Uint8Array }
  /** The operator's terms of a charter; who lacks its document asks for it by the hash that they hold. */
  | { readonly kind: 'charter'; readonly terms: Uint8Array }
  /** Two proposals that one PoP signed for one height: SHA-256 and signature of each. */
  | {
      readonly kind: 'evidence';
      readonly pop: PopId;
      readonly height: number;
      readonly proposals: readonly [Signed, Signed];
    };
type Signed = readonly [id: string, signature: Uint8Array];

const document = bytes(OPERATION_BYTES, 1);
const signature = bytes(64, 64);
const id = v.pipe(
  bytes(32, 32),
  v.transform((b) => Buffer.from(b).toString('hex')),
);
const schema = v.union([
  v.strictTuple([v.literal(1), document]),
  v.strictTuple([v.literal(2), popId, uint(), uint(), signature]),
  v.strictTuple([v.literal(3), document]),
  v.strictTuple([v.literal(4), bytes(TERMS_BYTES, 1)]),
  v.strictTuple([
    v.literal(5),
    popId,
    uint(),
    v.strictTuple([id, signature]),
    v.strictTuple([id, signature]),
  ]),
]);
const raw = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

export function encodeOperation(operation: RosterOperation): Uint8Array {
  switch (operation.kind) {
    case 'join':
      return encode([1, operation.certificate]);
    case 'leave':
      return encode([2, operation.pop, operation.from, operation.to, operation.signature]);
    case 'ban':
      return encode([3, operation.revocations]);
    case 'charter':
      return encode([4, operation.terms]);
    case 'evidence': {
      const [one, other] = operation.proposals.map(([digest, sig]) => [raw(digest), sig]);
      return encode([5, operation.pop, operation.height, one, other]);
    }
  }
}

/** Fails with `WIRE_*`. */
export function decodeOperation(encoded: Uint8Array): RosterOperation {
  const spec = { name: 'operation', maxBytes: OPERATION_BYTES, depth: 2, elements: 12, schema };
  const row = decode(encoded, spec);
  switch (row[0]) {
    case 1:
      return { kind: 'join', certificate: row[1] };
    case 2:
      return { kind: 'leave', pop: row[1], from: row[2], to: row[3], signature: row[4] };
    case 3:
      return { kind: 'ban', revocations: row[1] };
    case 4:
      return { kind: 'charter', terms: row[1] };
    case 5:
      return { kind: 'evidence', pop: row[1], height: row[2], proposals: [row[3], row[4]] };
  }
}

/** What a PoP signs with its own key to leave within some heights. */
export function leaveStatement(genesis: Genesis, from: number, to: number): Uint8Array {
  const message = Buffer.alloc(8 + 32 + 8 + 8);
  message.write('leave', 'latin1');
  message.write(genesis, 8, 'hex');
  message.writeBigUInt64BE(BigInt(from), 40);
  message.writeBigUInt64BE(BigInt(to), 48);
  return message;
}

/** Heights without inclusion after which a PoP is evicted. */
export const evictionHeights = (epochMs: number): number => quotient(EVICTION_MS + epochMs - 1, epochMs);

/** What operations and time change. */
export type Standing = Pick<DecidedState, 'members' | 'banned' | 'charter'>;

/**
 * Applies the operations of a height, in the order of their bytes whoever proposed them, then expiry, evictions and
 * joins. An operation that is malformed, not signed as it must be, or out of its time changes nothing.
 */
export function applyOperations(
  state: Standing & Pick<DecidedState, 'clock' | 'height'>,
  operations: readonly Uint8Array[],
  trust: ClusterTrust,
): Standing {
  const members = new Map(state.members.map((member) => [member.pop, member]));
  const size = members.size;
  const joins = new Map<PopId, StateMember>();
  const leaving = new Set<PopId>();
  let { banned, charter } = state;
  const apply = (operation: RosterOperation) => {
    switch (operation.kind) {
      case 'join': {
        const certificate = inspect(operation.certificate, trust.operatorKey, trust.genesis);
        const member = memberOf(certificate, operation.certificate, 0);
        const known = joins.get(member.pop) ?? members.get(member.pop);
        if (member.expiry <= state.clock.at) return;
        if (known === undefined || isNewer(member, known)) joins.set(member.pop, member);
        return;
      }
      case 'leave': {
        const { pop, from, to } = operation;
        if (state.height < from || state.height > to) return;
        const statement = leaveStatement(trust.genesis, from, to);
        if (members.has(pop) && trust.verify(pop, statement, operation.signature)) leaving.add(pop);
        return;
      }
      case 'ban': {
        const { version, revoked } = verifyRevocations(
          operation.revocations,
          trust.operatorKey,
          trust.genesis,
        );
        if (version <= banned.version) return;
        banned = { version, pops: [...new Set(revoked.map(({ pop }) => pop))].sort(byBytes) };
        return;
      }
      case 'charter': {
        const terms = openTerms(operation.terms, trust.operatorKey, trust.genesis);
        if (terms.version > charter.version) charter = terms;
        return;
      }
      case 'evidence': {
        const member = members.get(operation.pop);
        const until = operation.height + PENALTY_HEIGHTS;
        if (member === undefined || operation.height > state.height) return;
        if (until <= Math.max(member.penaltyUntil, state.height)) return;
        if (!proves(operation, trust)) return;
        members.set(member.pop, { ...member, weight: 1, penaltyUntil: until });
      }
    }
  };
  const distinct = new Map(operations.map((one) => [Buffer.from(one).toString('hex'), one]));
  for (const name of [...distinct.keys()].sort(byBytes)) {
    try {
      apply(decodeOperation(distinct.get(name)!));
    } catch (error) {
      if (!(error instanceof PresageError)) throw error;
    }
  }

  const shutOut = new Set(banned.pops);
  const gone = (member: StateMember) =>
    shutOut.has(member.pop) || leaving.has(member.pop) || member.expiry <= state.clock.at;
  renew(members, joins);
  let stays = [...members.values()].filter((member) => !gone(member));
  // Nobody would be left to decide anything further, not even a renewal.
  if (stays.length === 0) stays = [...members.values()];
  const limit = evictionHeights(charter.epochMs);
  stays = evict(stays, limit);
  const missed = Math.max(0, limit - JOIN_PROOF_HEIGHTS);
  const left = new Set(members.keys());
  const room = Math.min(Math.max(1, size >> 3), ROSTER_MAX - stays.length);
  const joiners = [...joins.values()]
    .filter((member) => !left.has(member.pop) && !shutOut.has(member.pop))
    .sort((a, b) => byBytes(a.pop, b.pop))
    .slice(0, Math.max(0, room))
    .map((member) => ({ ...member, missed }));
  return { members: [...stays, ...joiners].sort((a, b) => byBytes(a.pop, b.pop)), banned, charter };
}

const isNewer = (a: StateMember, b: StateMember): boolean =>
  a.notBefore > b.notBefore ||
  (a.notBefore === b.notBefore &&
    (a.expiry > b.expiry || (a.expiry === b.expiry && a.certificate > b.certificate)));

/** A newer certificate of a member replaces what came from the old one, and nothing else. */
function renew(members: Map<PopId, StateMember>, joins: ReadonlyMap<PopId, StateMember>): void {
  for (const [pop, fresh] of joins) {
    const member = members.get(pop);
    if (member === undefined) continue;
    const { missed, weight, penaltyUntil, cap, age } = member;
    members.set(pop, { ...fresh, missed, weight, penaltyUntil, cap, age });
  }
}

/** Those longest away go first, and never so many that fewer than four are left. */
function evict(members: readonly StateMember[], limit: number): StateMember[] {
  const away = members
    .filter(({ missed }) => missed >= limit)
    .sort((a, b) => b.missed - a.missed || byBytes(a.pop, b.pop))
    .slice(0, Math.max(0, members.length - EVICTION_FLOOR));
  const gone = new Set(away.map(({ pop }) => pop));
  return members.filter(({ pop }) => !gone.has(pop));
}

function proves(
  { pop, height, proposals }: Extract<RosterOperation, { kind: 'evidence' }>,
  { genesis, verify }: ClusterTrust,
): boolean {
  const [[one], [other]] = proposals;
  if (one === other) return false;
  return proposals.every(([digest, sig]) => verify(pop, proposeStatement(genesis, height, digest), sig));
}
