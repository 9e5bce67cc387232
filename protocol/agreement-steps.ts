import type { Header, SignMessage, VerifyMessage } from './agreement-header.ts';
import type { ErrorCode } from './errors.ts';
import type { Genesis } from './genesis.ts';
import type { PopId } from './ids.ts';
import type { AgreementMessage, Digest } from './messages/agreement.ts';
import type { Random } from './ports.ts';

/** What is known when a height begins; the same at every correct PoP. */
export interface Epoch {
  readonly height: number;
  /** Hash of the header before. */
  readonly chain: Digest;
  /** Members in slot order. */
  readonly roster: readonly PopId[];
  /** The state decided at the height before. */
  readonly state: Uint8Array;
}

/** A proposal that was decided to count. */
export interface Included {
  readonly slot: number;
  readonly proposer: PopId;
  readonly body: Uint8Array;
}

/** A proposal as the application makes it. */
export interface Proposed {
  /** At most `bodyLimit(roster.length)` bytes. */
  readonly body: Uint8Array;
  /** Which of the operations that wait are really in it: there may be more than fit. */
  readonly carried: readonly Uint8Array[];
}

/**
 * What is agreed on. All three are pure and synchronous; `apply` must give the same bytes on every machine, as the
 * header holds their hash. What `apply` decodes from `epoch.state` may be cached by the identity of the array.
 */
export interface Application {
  /** This PoP's proposal; `operations` wait to be carried by it, those of this PoP first. */
  propose(epoch: Epoch, operations: readonly Uint8Array[]): Proposed;
  /** Whether this PoP vouches for a body; PoPs may differ in opinion. Never throws. */
  validate(body: Uint8Array, epoch: Epoch, proposer: PopId): boolean;
  /** The state after the height, and the roster from the next height on if it changes (in any order). */
  apply(epoch: Epoch, included: readonly Included[]): Transition;
}
export interface Transition {
  readonly state: Uint8Array;
  readonly roster: readonly PopId[] | undefined;
  /** Operations that the included bodies carried, if known: whoever else has them waiting drops them. */
  readonly operations?: readonly Uint8Array[];
}

/**
 * Two PROPOSEs that one PoP signed for one height, ids ascending. Told once a PoP and height. It has the shape of an
 * `evidence` operation: `{ type: 'operation', operation: encodeOperation({ kind: 'evidence', ...equivocation }),
 * purpose: 'evidence <pop>' }` brings it before all.
 */
export interface Equivocation {
  readonly height: number;
  readonly pop: PopId;
  readonly proposals: readonly [one: SignedProposal, other: SignedProposal];
}
export type SignedProposal = readonly [id: Digest, signature: Uint8Array];

/** Tables that the machine keeps on disk. */
export type AgreementTable = 'own' | 'body' | 'header' | 'snapshot';
/** Writes or, without value, removes a record. */
export interface AgreementWrite {
  readonly table: AgreementTable;
  readonly key: string;
  readonly value: Uint8Array | undefined;
}
/** All records of a table, by key. */
export type AgreementRecords = Readonly<Record<AgreementTable, ReadonlyMap<string, Uint8Array>>>;

export interface Decided {
  readonly header: Header;
  readonly hash: Digest;
  readonly state: Uint8Array;
  /** Members from the next height on. */
  readonly roster: readonly PopId[];
  /** The proposals that counted, as far as their bodies are held; none if the height was not agreed on here. */
  readonly included: readonly Included[];
  /** The height was not agreed on here but taken from a certificate; heights before it may be missing. */
  readonly jumped: boolean;
  /** It was decided before the restart: the crash may have come before anyone was told. */
  readonly again: boolean;
}

export type AgreementInput =
  /** Once, first. */
  | { readonly type: 'start' }
  /** Over gossip; `from` is the authenticated author. */
  | { readonly type: 'gossip'; readonly from: PopId; readonly bytes: Uint8Array }
  /** From a peer directly. */
  | { readonly type: 'direct'; readonly from: PopId; readonly bytes: Uint8Array }
  | { readonly type: 'persisted'; readonly token: number }
  | { readonly type: 'not-persisted'; readonly token: number; readonly code: ErrorCode }
  /** A peer has connected. */
  | { readonly type: 'peer'; readonly peer: PopId }
  /**
   * What this PoP's next proposal is made of is ready: it proposes now, or, if the height before is still active, as
   * soon as the next begins. Ignored within half an epoch of its last start, which others may have brought about.
   * Where no such beat comes, the PoP proposes after one and a half epochs.
   */
  | { readonly type: 'propose' }
  /**
   * An operation for this PoP's next proposals, until it is decided. Of the same purpose (by default its bytes) only
   * the newest waits: the newest charter, say.
   */
  | { readonly type: 'operation'; readonly operation: Uint8Array; readonly purpose?: string }
  /**
   * This PoP goes: all members are sent its signed leave at once, ahead of the disk, and carry it for it, so that
   * the process may end as soon as the sends have.
   */
  | { readonly type: 'leaving'; readonly operation: Uint8Array }
  /** What a PoP that is not in the roster asks to be let in with. */
  | { readonly type: 'joining'; readonly operation: Uint8Array | undefined }
  /** The time of the last `timer` has come. */
  | { readonly type: 'tick' };

export type AgreementEffect =
  | { readonly type: 'publish'; readonly bytes: Uint8Array }
  | { readonly type: 'send'; readonly to: PopId; readonly bytes: Uint8Array }
  /** Write in order, with fsync, then say `persisted`. One is under way at a time. */
  | { readonly type: 'persist'; readonly token: number; readonly writes: readonly AgreementWrite[] }
  /** `tick` is due at that time; replaces what was asked for before. */
  | { readonly type: 'timer'; readonly at: number }
  | { readonly type: 'decided'; readonly decided: Decided }
  | { readonly type: 'degraded'; readonly degraded: boolean; readonly height: number }
  /** The others decided something else than this PoP computed: it signs no more. */
  | { readonly type: 'diverged'; readonly height: number }
  | { readonly type: 'equivocation'; readonly equivocation: Equivocation }
  | { readonly type: 'fault'; readonly code: ErrorCode; readonly from: PopId | undefined };

/**
 * Deliberate defects, so that the simulation can show that its checkers notice them. Only the simulation passes
 * any; no configuration reaches them.
 */
export interface Defects {
  readonly quorum?: 'one short' | '2b+1';
  readonly sendBeforeFsync?: boolean;
  readonly coinPerNode?: boolean;
  readonly auxOutsideBin?: boolean;
  readonly readyUnbound?: boolean;
  readonly noImpliedVotes?: boolean;
  readonly noResend?: boolean;
  readonly zeroByTimer?: boolean;
}

export interface AgreementOptions {
  readonly self: PopId;
  readonly genesis: Genesis;
  /** The roster at height 1. */
  readonly founders: readonly PopId[];
  /** The state before height 1, the same at every PoP. */
  readonly origin: Uint8Array;
  readonly application: Application;
  readonly sign: SignMessage;
  readonly verify: VerifyMessage;
  readonly random: Random;
  /** Ms from one own proposal to the next. */
  readonly epochMs: number;
  /** What the disk holds. */
  readonly records: AgreementRecords;
  /** Default: the codec of the wire. The simulation decodes a broadcast once for all receivers. */
  readonly decode?: (bytes: Uint8Array) => AgreementMessage;
  readonly defects?: Defects;
}
