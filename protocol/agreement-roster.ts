import * as v from 'valibot';
import { inSlotOrder } from './agreement-header.ts';
import { PresageError } from './errors.ts';
import { type Genesis, genesisBytes } from './genesis.ts';
import type { PopId } from './ids.ts';
import { MAX_ROSTER } from './messages/agreement.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, popId, rows, uint } from './wire/schemas.ts';

/** Below that size nobody is evicted for being away. */
const EVICTION_FLOOR = 4;
/** A newcomer is evicted soon if it turns out not to take part. */
const NEWCOMER_CHANCES = 3;

/** What a body may ask for; takes effect at the next height. */
export type RosterOperation =
  /** A certificate signed by the operator lets its PoP in. */
  | { readonly kind: 'join'; readonly certificate: Uint8Array }
  /** A member goes, by its own signature, within a window of heights. */
  | {
      readonly kind: 'leave';
      readonly pop: PopId;
      readonly from: number;
      readonly through: number;
      readonly signature: Uint8Array;
    }
  /** The operator removes a PoP for good. */
  | { readonly kind: 'ban'; readonly pop: PopId; readonly signature: Uint8Array };

/** How operations are held to be genuine; pure, and the same at every PoP: expiry counts by the agreed clock. */
export interface RosterAuthority {
  /** The PoP that a certificate lets in, if it is genuine and valid at `clock` (agreed, Unix ms). */
  certified(certificate: Uint8Array, clock: number): PopId | undefined;
  /** Whether `pop` signed. */
  signedBy(pop: PopId, message: Uint8Array, signature: Uint8Array): boolean;
  /** Whether the operator signed. */
  signedByOperator(message: Uint8Array, signature: Uint8Array): boolean;
}

export interface RosterMember {
  readonly pop: PopId;
  /** Consecutive heights without inclusion. */
  readonly missed: number;
  /** What let it in; empty for founders. */
  readonly certificate: Uint8Array;
}

const CERTIFICATE_BYTES = 2048;
const signature = bytes(64, 64);
const operation = v.union([
  v.strictTuple([v.literal(1), bytes(CERTIFICATE_BYTES, 1)]),
  v.strictTuple([v.literal(2), popId, uint(), uint(), signature]),
  v.strictTuple([v.literal(3), popId, signature]),
]);
const state = v.strictTuple([
  v.literal(1),
  rows(v.strictTuple([popId, uint(), bytes(CERTIFICATE_BYTES)]), MAX_ROSTER),
  rows(popId, 4_096),
]);

/** What a leaving PoP signs. */
export function leaveStatement(genesis: Genesis, pop: PopId, from: number, through: number): Uint8Array {
  return encode(['leave', genesisBytes(genesis), pop, from, through]);
}
/** What the operator signs to ban a PoP. */
export const banStatement = (genesis: Genesis, pop: PopId): Uint8Array =>
  encode(['ban', genesisBytes(genesis), pop]);

export function encodeOperation(op: RosterOperation): Uint8Array {
  switch (op.kind) {
    case 'join':
      return encode([1, op.certificate]);
    case 'leave':
      return encode([2, op.pop, op.from, op.through, op.signature]);
    case 'ban':
      return encode([3, op.pop, op.signature]);
  }
}

/** Fails with `WIRE_*`. */
export function decodeOperation(data: Uint8Array): RosterOperation {
  const row = decode(data, { name: 'operation', maxBytes: 4096, depth: 1, elements: 6, schema: operation });
  switch (row[0]) {
    case 1:
      return { kind: 'join', certificate: row[1] };
    case 2:
      return { kind: 'leave', pop: row[1], from: row[2], through: row[3], signature: row[4] };
    case 3:
      return { kind: 'ban', pop: row[1], signature: row[2] };
  }
}

/** Members that may join at one height. */
export const joinsAtOnce = (size: number): number => Math.max(1, size >> 3);
/** Heights that a member may miss before it is evicted: an hour of them. */
export const missesAllowed = (epochMs: number): number => Math.ceil(3_600_000 / epochMs);

/**
 * The roster as part of the decided state: who is a member, since when it was missed, who is banned. A pure
 * function of what was decided, so that every PoP has the same; the application keeps its bytes in its state.
 */
export class AgreedRoster {
  readonly members: readonly RosterMember[];
  /** Never let in again. */
  readonly banned: readonly PopId[];

  private constructor(members: readonly RosterMember[], banned: readonly PopId[]) {
    this.members = members;
    this.banned = banned;
  }

  static founded(founders: readonly PopId[]): AgreedRoster {
    const none = new Uint8Array(0);
    return new AgreedRoster(
      inSlotOrder(founders).map((pop) => ({ pop, missed: 0, certificate: none })),
      [],
    );
  }

  /** Fails with `WIRE_*`. */
  static decode(data: Uint8Array): AgreedRoster {
    const [, members, banned] = decode(data, {
      ...{ name: 'roster', maxBytes: 2 << 20, depth: 3, elements: 16_384, schema: state },
    });
    return new AgreedRoster(
      members.map(([pop, missed, certificate]) => ({ pop, missed, certificate })),
      banned,
    );
  }

  encode(): Uint8Array {
    return encode([1, this.members.map((m) => [m.pop, m.missed, m.certificate]), this.banned]);
  }

  get pops(): PopId[] {
    return this.members.map(({ pop }) => pop);
  }

  /**
   * The roster from the next height on. `included` are slots of this roster; operations may come from anybody and
   * in any order: those that are malformed, forged, out of their window or superfluous count for nothing. Bans come
   * before leaves, leaves before evictions, joins last and by peer id. The last member never goes.
   */
  next(
    step: {
      readonly height: number;
      readonly genesis: Genesis;
      /** Agreed, Unix ms. */
      readonly clock: number;
      readonly missesAllowed: number;
      readonly included: readonly number[];
      readonly operations: readonly Uint8Array[];
    },
    authority: RosterAuthority,
  ): AgreedRoster {
    const operations = step.operations.flatMap((bytesOfOperation) => {
      try {
        return [decodeOperation(bytesOfOperation)];
      } catch (error) {
        if (error instanceof PresageError) return [];
        throw error;
      }
    });
    const banned = new Set(this.banned);
    const leaving = new Set<PopId>();
    const joining = new Map<PopId, Uint8Array>();
    for (const op of operations) {
      if (op.kind === 'ban') {
        if (authority.signedByOperator(banStatement(step.genesis, op.pop), op.signature)) banned.add(op.pop);
      } else if (op.kind === 'leave') {
        const { pop, from, through, signature: signed } = op;
        if (step.height < from || step.height > through) continue;
        const statement = leaveStatement(step.genesis, pop, from, through);
        if (authority.signedBy(pop, statement, signed)) leaving.add(pop);
      } else {
        const pop = authority.certified(op.certificate, step.clock);
        if (pop === undefined) continue;
        const other = joining.get(pop);
        // Of two certificates for one PoP every PoP takes the same, whatever order they came in.
        if (!other || Buffer.compare(op.certificate, other) < 0) joining.set(pop, op.certificate);
      }
    }
    const included = new Set(step.included);
    const size = this.members.length;
    let left = size;
    const stay: RosterMember[] = [];
    for (const [slot, member] of this.members.entries()) {
      const missed = included.has(slot) ? 0 : member.missed + 1;
      const gone =
        banned.has(member.pop) ||
        leaving.has(member.pop) ||
        (missed >= step.missesAllowed && left > EVICTION_FLOOR);
      if (gone && left > 1) left -= 1;
      else stay.push({ ...member, missed });
    }
    const present = new Set(this.pops);
    const room = Math.min(joinsAtOnce(size), MAX_ROSTER - stay.length);
    const welcome = inSlotOrder(joining.keys()).filter((pop) => !present.has(pop) && !banned.has(pop));
    for (const pop of welcome.slice(0, room)) {
      const missed = Math.max(0, step.missesAllowed - NEWCOMER_CHANCES);
      stay.push({ pop, missed, certificate: joining.get(pop)! });
    }
    const order = new Map(inSlotOrder(stay.map(({ pop }) => pop)).map((pop, slot) => [pop, slot]));
    stay.sort((a, b) => order.get(a.pop)! - order.get(b.pop)!);
    return new AgreedRoster(stay, inSlotOrder(banned));
  }
}
