import type { Application, Epoch, Included, Proposed, Transition } from './agreement-steps.ts';
import type { Committees } from './committee.ts';
import { committeesOf, type DecidedState, knowsRules, RULES_KNOWN, rosterOf } from './decided-state.ts';
import { decodeState, encodeState } from './decided-state-codec.ts';
import { PresageError } from './errors.ts';
import { decodeProposal, type Proposal, proposalBytesMax } from './proposal.ts';
import { buildProposal, type ProposalView } from './proposal-builder.ts';
import type { ClusterTrust } from './roster-operations.ts';
import { transition } from './transition.ts';

/** What a PoP may say at a height, beside what follows from the state. */
export type OwnView = Omit<ProposalView, 'rulesMin' | 'rulesMax' | 'operations' | 'speaks' | 'silent'>;

export interface ForecastApplicationOptions {
  readonly self: Epoch['roster'][number];
  readonly trust: ClusterTrust;
  /** What this PoP forecasts now; undefined if it has nothing to say, as after a start. */
  readonly view: (state: DecidedState, committees: Committees) => OwnView | undefined;
}

const NOTHING = new Uint8Array(0);

/**
 * Forecasts as what is agreed on: the bodies of proposals, what makes one valid, and the state that follows. What
 * was decoded once is remembered with the bytes that it came from.
 */
export class ForecastApplication implements Application {
  readonly #options: ForecastApplicationOptions;
  readonly #states = new WeakMap<Uint8Array, DecidedState>();
  readonly #proposals = new WeakMap<Uint8Array, Proposal | PresageError>();

  constructor(options: ForecastApplicationOptions) {
    this.#options = options;
  }

  /** A state from its bytes. Fails with `WIRE_*`. */
  stateOf(encoded: Uint8Array): DecidedState {
    const known = this.#states.get(encoded);
    if (known !== undefined) return known;
    const state = decodeState(encoded);
    this.#states.set(encoded, state);
    return state;
  }

  /** Whether the cluster decides by rules that this version does not know, so that it can only look on. */
  isPassive(encoded: Uint8Array): boolean {
    return !knowsRules(this.stateOf(encoded));
  }

  /** The proposal in a body that was included, to be looked at; undefined for an empty one. */
  proposalOf(body: Uint8Array): Proposal | undefined {
    return this.#proposalOf(body, 1);
  }

  propose(epoch: Epoch, operations: readonly Uint8Array[]): Proposed {
    const body = this.#bodyOf(epoch, operations);
    return { body, carried: this.#proposalOf(body, epoch.roster.length)?.operations ?? [] };
  }

  #bodyOf(epoch: Epoch, operations: readonly Uint8Array[]): Uint8Array {
    const state = this.stateOf(epoch.state);
    if (!knowsRules(state)) return NOTHING;
    const { self, view } = this.#options;
    const committees = committeesOf(state);
    const own = view(state, committees);
    if (own === undefined && operations.length === 0) return NOTHING;
    const said = own ?? silentView(state, self);
    return buildProposal(
      {
        ...{
          at: said.at,
          window: said.window,
          windowMs: said.windowMs,
          cap: said.cap,
          uses: said.uses,
          windowShare: said.windowShare,
        },
        resources: said.resources,
        observed: (key16, region, from, lengthMs) => said.observed(key16, region, from, lengthMs),
        series: (key16, region) => said.series(key16, region),
        rulesMin: RULES_KNOWN.min,
        rulesMax: RULES_KNOWN.max,
        operations,
        speaks: (key16) => committees.includes(key16, self),
        silent: own === undefined,
      },
      state,
      committees,
    );
  }

  validate(body: Uint8Array, { roster }: Epoch): boolean {
    return body.length === 0 || this.#proposalOf(body, roster.length) !== undefined;
  }

  apply(epoch: Epoch, included: readonly Included[]): Transition {
    const previous = this.stateOf(epoch.state);
    const proposals = included.map(({ slot, body }) => ({
      ...{ slot, proposal: this.#proposalOf(body, epoch.roster.length) },
    }));
    const next = transition(previous, epoch.chain, proposals, this.#options.trust);
    const operations = proposals.flatMap(({ proposal }) => proposal?.operations ?? []);
    const state = encodeState(next);
    this.#states.set(state, next);
    const before = rosterOf(previous);
    const roster = rosterOf(next);
    const same = roster.length === before.length && roster.every((pop, slot) => pop === before[slot]);
    return { state, roster: same ? undefined : roster, operations };
  }

  /** Undefined for an empty body, and for one that no correct PoP vouches for. */
  #proposalOf(body: Uint8Array, size: number): Proposal | undefined {
    if (body.length === 0) return undefined;
    let known = this.#proposals.get(body);
    if (known === undefined) {
      try {
        known = decodeProposal(body, proposalBytesMax(size));
      } catch (error) {
        if (!(error instanceof PresageError)) throw error;
        known = error;
      }
      this.#proposals.set(body, known);
    }
    return known instanceof PresageError ? undefined : known;
  }
}

/** Carries operations while there is no forecast: the clock as agreed, the capacities as said before. */
function silentView(state: DecidedState, self: Epoch['roster'][number]): OwnView {
  const cap = state.members.find(({ pop }) => pop === self)?.cap;
  return {
    at: state.clock.at,
    window: state.clock.window,
    windowMs: state.clock.windowMs,
    cap: cap ?? { storageBudgetMiB: 0, fillKiBps: 0, load: 0, state: 'sick' },
    uses: [],
    windowShare: 0,
    resources: [],
    observed: () => 0,
    series: () => undefined,
  };
}
