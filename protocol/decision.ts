import type { Decided } from './agreement-steps.ts';
import type { CharterTerms, DecidedState, StateMember } from './decided-state.ts';
import { knowsRules } from './decided-state.ts';
import type { PopId } from './ids.ts';
import type { Digest } from './messages/agreement.ts';

/** What the daemon needs to know of a decided height; state and proposals stay where they are planned with. */
export interface Decision {
  readonly height: number;
  /** Hash of the header, which is the chain up to this height. */
  readonly hash: Digest;
  readonly stateHash: Digest;
  /** Proposals that count. */
  readonly included: number;
  /** Members from the next height on. */
  readonly roster: readonly PopId[];
  /** Taken from a certificate instead of agreed on here; heights before it may be missing. */
  readonly jumped: boolean;
  /** Decided before the restart. */
  readonly again: boolean;
  /** The cluster decides by rules that this version does not know: it looks on. */
  readonly passive: boolean;
  readonly charter: CharterTerms;
  /** Version of the newest list of revocations that was decided. */
  readonly banned: number;
  /** The certificate by which this PoP is a member; undefined if it is none. */
  readonly certificate: Pick<StateMember, 'notBefore' | 'expiry'> | undefined;
}

export function decisionOf(
  { header, hash, roster, jumped, again }: Decided,
  state: DecidedState,
  self: PopId,
): Decision {
  const own = state.members.find(({ pop }) => pop === self);
  return {
    height: header.height,
    hash,
    stateHash: header.stateHash,
    included: header.included.length,
    roster,
    jumped,
    again,
    passive: !knowsRules(state),
    charter: state.charter,
    banned: state.banned.version,
    certificate: own && { notBefore: own.notBefore, expiry: own.expiry },
  };
}
