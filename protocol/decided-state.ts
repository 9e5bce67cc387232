import { createHash } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { type CharterTerms, NO_CHARTER } from './charter-terms.ts';
import { Committees } from './committee.ts';
import type { VectorResource } from './demand-vector.ts';
import { byBytes } from './exact.ts';
import type { Genesis } from './genesis.ts';
import type { PopId, RegionId } from './ids.ts';
import type { Cap } from './proposal.ts';
import { NO_SAMPLES, type Samples, WEIGHT_MAX } from './scoring.ts';
import type { Tuning } from './tuning.ts';
import { NO_TURNS, type Turn, type Turns, turnOf } from './turns.ts';

export { type CharterTerms, NO_CHARTER } from './charter-terms.ts';

/** Rules of the transition that this version knows. */
export const RULES_KNOWN = { min: 1, max: 1 } as const;
/** What a PoP counts for before it has been scored. */
export const FIRST_WEIGHT = WEIGHT_MAX / 2;

/** A PoP of the roster, as agreed. */
export interface StateMember {
  readonly pop: PopId;
  readonly name: string;
  readonly region: RegionId;
  /** SHA-256 of the certificate, 64 hex digits. */
  readonly certificate: string;
  readonly storageCeilingMiB: number;
  readonly fillCeilingKiBps: number;
  readonly notBefore: number;
  readonly expiry: number;
  /** Consecutive heights without inclusion, by which a PoP is evicted. */
  readonly missed: number;
  /** What its word counts, 1 … 1000. */
  readonly weight: number;
  /** Height up to which it counts 1 because it proposed twice. */
  readonly penaltyUntil: number;
  /** What it last said that it can take, within its certificate; undefined before it has spoken. */
  readonly cap: Cap | undefined;
  /** Heights since it said so. */
  readonly age: number;
}

/** All that PoPs agree on, and all that the plan is made of. Every list is sorted strictly by its key. */
export interface DecidedState {
  readonly rules: {
    readonly version: number;
    /** Consecutive heights at which all who were included knew the next version. */
    readonly streak: number;
  };
  readonly height: number;
  readonly charter: CharterTerms;
  /** Chain hashes from which committees are drawn: of this era, and of the next. */
  readonly seeds: readonly [current: string, next: string];
  readonly clock: {
    /** Unix ms of real time; never goes back. */
    readonly at: number;
    /** Demand time at which the window of the newest forecasts begins, and how long it is, ms. */
    readonly window: number;
    readonly windowMs: number;
  };
  /** By id, which is the order of slots. */
  readonly members: readonly StateMember[];
  /** Whom the operator has shut out, by the newest list decided. */
  readonly banned: { readonly version: number; readonly pops: readonly PopId[] };
  readonly vector: readonly VectorResource[];
  /** Which of the vector is to be repeated next. */
  readonly turns: Turns;
  readonly tunings: readonly Tuning[];
  readonly samples: Samples;
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A member as its certificate makes it. */
export function memberOf(certificate: Certificate, sealed: Uint8Array, missed: number): StateMember {
  const { pop, name, region, storageCeilingMiB, fillCeilingKiBps, notBefore, expiry } = certificate;
  return {
    pop,
    name,
    region,
    certificate: sha256(sealed),
    storageCeilingMiB,
    fillCeilingKiBps,
    notBefore,
    expiry,
    missed,
    weight: FIRST_WEIGHT,
    penaltyUntil: 0,
    cap: undefined,
    age: 0,
  };
}

/** The state before height 1. It must be made of the same founders and terms at every PoP. */
export function originState(
  genesis: Genesis,
  founders: readonly { readonly certificate: Certificate; readonly sealed: Uint8Array }[],
  charter: CharterTerms = NO_CHARTER,
): DecidedState {
  const members = new Map(
    founders.map(({ certificate, sealed }) => [certificate.pop, memberOf(certificate, sealed, 0)]),
  );
  return {
    rules: { version: RULES_KNOWN.min, streak: 0 },
    height: 0,
    charter,
    seeds: [genesis, genesis],
    clock: { at: 0, window: 0, windowMs: 1 },
    members: [...members.values()].sort((a, b) => byBytes(a.pop, b.pop)),
    banned: { version: 0, pops: [] },
    vector: [],
    turns: NO_TURNS,
    tunings: [],
    samples: NO_SAMPLES,
  };
}

/** Whether this version knows the rules in force; a PoP that does not must be passive, and say so. */
export const knowsRules = ({ rules }: DecidedState): boolean =>
  rules.version >= RULES_KNOWN.min && rules.version <= RULES_KNOWN.max;

export const rosterOf = ({ members }: DecidedState): PopId[] => members.map(({ pop }) => pop);

/** Who speaks on which key at the height that follows this state. */
export const committeesOf = (state: DecidedState): Committees =>
  new Committees(rosterOf(state), state.seeds[0], state.charter.committee);

/** Who will speak in the next era, as far as the roster stays: they begin to forecast those keys now. */
export const nextCommitteesOf = (state: DecidedState): Committees =>
  new Committees(rosterOf(state), state.seeds[1], state.charter.committee);

/** What of the vector is to be repeated at the height that follows this state. */
export const turnAfter = (state: DecidedState, committees: Committees): Turn =>
  turnOf(state.vector, state.turns, state.members.length, committees.size);
