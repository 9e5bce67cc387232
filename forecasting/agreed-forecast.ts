import { createPrivateKey, type KeyObject, sign, verify } from 'node:crypto';
import { Agreement } from '../protocol/agreement.ts';
import type {
  AgreementEffect,
  AgreementInput,
  AgreementOptions,
  AgreementRecords,
  Decided,
  Included,
} from '../protocol/agreement-steps.ts';
import type { Certificate } from '../protocol/certificate.ts';
import type { Committees } from '../protocol/committee.ts';
import {
  committeesOf,
  type DecidedState,
  knowsRules,
  nextCommitteesOf,
  originState,
} from '../protocol/decided-state.ts';
import { encodeState } from '../protocol/decided-state-codec.ts';
import { type Decision, decisionOf } from '../protocol/decision.ts';
import { ForecastApplication, type OwnView } from '../protocol/forecast-application.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import { publicKeyFromRaw, publicKeyOf } from '../protocol/pop-key.ts';
import type { Verdict } from '../protocol/ports.ts';
import type { Proposal, ProposalCell } from '../protocol/proposal.ts';
import { seededRandom } from '../protocol/random.ts';
import type { Tuning } from '../protocol/tuning.ts';

/** Public keys kept ready: those of the largest roster, twice over. */
const KEYS_MAX = 1_024;

/** What a PoP needs in order to take part in the agreement. */
export interface AgreementSetup {
  readonly genesis: Genesis;
  /** 32 raw bytes. */
  readonly operatorKey: Uint8Array;
  /** The members before height 1, the same at every PoP. */
  readonly founders: readonly { readonly certificate: Certificate; readonly sealed: Uint8Array }[];
  /** This PoP's Ed25519 key: PKCS #8, DER. */
  readonly privateKey: Uint8Array;
  readonly epochMs: number;
  /** What the disk holds. */
  readonly records: AgreementRecords;
  /** Of the jitter of resends. */
  readonly seed: number;
}

/** An effect for the actor to carry out; of a decision it learns what the daemon needs to know. */
export type MachineEffect =
  | Exclude<AgreementEffect, { type: 'decided' }>
  | { readonly type: 'decided'; readonly decision: Decision };

export interface MachineVerdict {
  readonly verdict: Verdict;
  readonly effects: readonly MachineEffect[];
}

/** A member as decided. */
export interface DecidedMember {
  readonly pop: PopId;
  readonly name: string;
  readonly region: RegionId;
  /** What its word counts, 1 … 1000. */
  readonly weight: number;
  /** Consecutive heights without inclusion. */
  readonly missed: number;
}

/** Where the agreement stands. */
export interface Standing {
  /** Undefined before the first. */
  readonly decision: Decision | undefined;
  readonly members: readonly DecidedMember[];
  /** Whether this PoP votes at the active height. */
  readonly voting: boolean;
  readonly degraded: boolean;
  readonly diverged: boolean;
  readonly rules: number;
  /** Resources that the decided demand lists. */
  readonly resources: number;
  /** The decided state, encoded. */
  readonly stateBytes: number;
  readonly tunings: readonly Tuning[];
}

/** What was decided on one resource, and what each PoP had proposed. */
export interface DecidedResource {
  readonly height: number;
  readonly hash: string;
  /** Of the proposals that counted; `cells` is undefined where the PoP did not list the resource. */
  readonly proposals: readonly {
    readonly pop: PopId;
    readonly weight: number;
    readonly resources: number;
    readonly cells: readonly ProposalCell[] | undefined;
  }[];
  /** Smoothed demand by region; undefined if the decision does not list the resource. */
  readonly agreed: DecidedState['vector'][number] | undefined;
  readonly tunings: readonly Tuning[];
}

/** What the simulator puts in place of the usual: it checks a signature, and decodes a broadcast, once for all PoPs. */
export type AgreementSeams = Partial<Pick<AgreementOptions, 'verify' | 'decode' | 'defects'>>;

/**
 * The agreement on forecasts as one PoP takes part in it: the machine, what it agrees on, and the newest decision.
 * Pure but for the keys; time is an argument.
 */
export class AgreedForecast {
  readonly #self: PopId;
  readonly #application: ForecastApplication;
  readonly #machine: Agreement;
  #decided: Decided | undefined;
  #state: DecidedState;
  #committees: Committees;
  #next: Committees;

  /** `view` says what this PoP forecasts now; undefined if it has nothing to say, as after a start. */
  constructor(
    self: PopId,
    setup: AgreementSetup,
    view: (state: DecidedState) => OwnView | undefined,
    seams: AgreementSeams = {},
  ) {
    const { genesis, operatorKey, founders, epochMs, records, seed } = setup;
    this.#self = self;
    const key = createPrivateKey({ key: Buffer.from(setup.privateKey), format: 'der', type: 'pkcs8' });
    const keys = new Map<PopId, KeyObject>();
    const check = (pop: PopId, message: Uint8Array, signature: Uint8Array): boolean => {
      try {
        const known = keys.get(pop) ?? publicKeyFromRaw(publicKeyOf(pop));
        // Proposers are members, or were; whoever else is named in an operation only costs its own turn.
        if (keys.size < KEYS_MAX) keys.set(pop, known);
        return verify(null, message, known, signature);
      } catch {
        return false;
      }
    };
    const verified = seams.verify ?? check;
    this.#application = new ForecastApplication({
      self,
      trust: { genesis, operatorKey, verify: verified },
      view,
    });
    // The charter comes as an operation: PoPs that were handed different editions still begin alike.
    this.#state = originState(genesis, founders);
    this.#committees = committeesOf(this.#state);
    this.#next = nextCommitteesOf(this.#state);
    this.#machine = new Agreement({
      self,
      genesis,
      founders: founders.map(({ certificate }) => certificate.pop),
      origin: encodeState(this.#state),
      application: this.#application,
      sign: (message) => new Uint8Array(sign(null, message, key)),
      verify: verified,
      random: seededRandom(seed),
      epochMs,
      records,
      ...(seams.decode && { decode: seams.decode }),
      ...(seams.defects && { defects: seams.defects }),
    });
  }

  get state(): DecidedState {
    return this.#state;
  }

  get decision(): Decision | undefined {
    return this.#decided && decisionOf(this.#decided, this.#state, this.#self);
  }

  /** Whether this PoP's proposal counted in the newest decision, as far as that is known here. */
  get counted(): boolean {
    return this.#decided?.included.some(({ proposer }) => proposer === this.#self) ?? false;
  }

  get degraded(): boolean {
    return this.#machine.degraded;
  }

  /** Whether a plan of the newest decision has a share for this PoP, and is understood here. */
  get binding(): boolean {
    return (
      this.#decided !== undefined &&
      knowsRules(this.#state) &&
      this.#state.members.some(({ pop }) => pop === this.#self)
    );
  }

  /** Whether this PoP is to forecast a key: now, or from the next era on, so that it learns in time. */
  speaksOn(key16: Key16): boolean {
    return this.#committees.includes(key16, this.#self) || this.#next.includes(key16, this.#self);
  }

  /** `now` is real, monotonic time in ms. */
  step(input: AgreementInput, now: number): MachineEffect[] {
    return this.#machine.step(input, now).map((effect) => this.#note(effect));
  }

  heard(from: PopId, bytes: Uint8Array, now: number): MachineVerdict {
    const { verdict, effects } = this.#machine.heard(from, bytes, now);
    return { verdict, effects: effects.map((effect) => this.#note(effect)) };
  }

  standing(): Standing {
    const { members, rules, vector, tunings } = this.#state;
    return {
      decision: this.decision,
      members: members.map(({ pop, name, region, weight, missed }) => ({
        ...{ pop, name, region, weight, missed },
      })),
      voting: this.#machine.voting,
      degraded: this.#machine.degraded,
      diverged: this.#machine.diverged,
      rules: rules.version,
      resources: vector.length,
      stateBytes: this.#decided?.state.length ?? 0,
      tunings,
    };
  }

  resource(key16: Key16): DecidedResource | undefined {
    const { decision } = this;
    if (!decision) return undefined;
    const agreed = this.#state.vector.find((one) => one.key16 === key16);
    const weights = new Map(this.#state.members.map(({ pop, weight }) => [pop, weight]));
    return {
      height: decision.height,
      hash: decision.hash,
      proposals: this.proposals().map(({ pop, proposal }) => ({
        pop,
        weight: weights.get(pop) ?? 0,
        resources: proposal?.entries.length ?? 0,
        cells: proposal?.entries.find((entry) => entry.key16 === key16)?.cells,
      })),
      agreed,
      tunings: agreed ? this.#state.tunings.filter(({ site }) => site === agreed.site) : [],
    };
  }

  /** The proposals that counted for the newest decision; none if it was taken from a certificate. */
  proposals(): { readonly pop: PopId; readonly proposal: Proposal | undefined }[] {
    const included: readonly Included[] = this.#decided?.included ?? [];
    return included.map(({ proposer, body }) => ({
      pop: proposer,
      proposal: this.#application.proposalOf(body),
    }));
  }

  #note(effect: AgreementEffect): MachineEffect {
    if (effect.type !== 'decided') return effect;
    this.#decided = effect.decided;
    this.#state = this.#application.stateOf(effect.decided.state);
    this.#committees = committeesOf(this.#state);
    this.#next = nextCommitteesOf(this.#state);
    return { type: 'decided', decision: decisionOf(effect.decided, this.#state, this.#self) };
  }
}
