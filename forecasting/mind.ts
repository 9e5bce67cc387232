import { planHash, planStateOf } from '../protocol/agreed-plan.ts';
import type { AgreementInput } from '../protocol/agreement-steps.ts';
import type { Charter } from '../protocol/charter.ts';
import type { DecidedState } from '../protocol/decided-state.ts';
import type { OwnView } from '../protocol/forecast-application.ts';
import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import { type Plan, plan } from '../protocol/placement.ts';
import { RING_BYTES } from '../protocol/rings.ts';
import type { Summary } from '../protocol/summary.ts';
import { tuningKey } from '../protocol/tuning.ts';
import { Accuracy } from './accuracy.ts';
import {
  AgreedForecast,
  type AgreementSetup,
  type MachineEffect,
  type MachineVerdict,
} from './agreed-forecast.ts';
import { BurstDetector, MINUTE_BURSTS } from './bursts.ts';
import { ColdStarts } from './class-profiles.ts';
import type { DemandForecast, DemandHistory } from './demand.ts';
import { demandHistory } from './demand-history.ts';
import { Foresight, type Member } from './foresight.ts';
import type {
  Beat,
  Changes,
  Kept,
  Learned,
  MindExplanation,
  MindStatus,
  PlanInForce,
  Prepared,
} from './mind-answers.ts';
import { OwnProposals } from './own-proposals.ts';
import { preferredOf } from './preferred.ts';
import type { Series } from './series.ts';
import { type Expectation, type Signal, Signals } from './signals.ts';
import { trainingSeries } from './training-series.ts';
import { type Trend, Trends } from './trends.ts';

export interface MindOptions {
  readonly self: PopId;
  readonly region: RegionId;
  readonly charter: Charter;
  /** SHA-256 of its document, 64 hex digits. */
  readonly charterHash: string;
  readonly members: readonly Member[];
  /** `memory.history`, bytes. */
  readonly historyBytes: number;
}

/** Series forecast in one epoch; those known longest go first. */
const SERIES_MAX = 10_000;
/** Young ones among them, those asked for last: some 0.1 s of one core. */
const YOUNG_MAX = 1_000;
/** About what a tracked resource takes beside its rings. */
const RESOURCE_BYTES = 1_200;
/** Without decisions, the last one is planned from for so long, real ms. */
const DECISION_KEPT_MS = 600_000;

/**
 * What one PoP knows of demand, what it expects, what all agree on, and the plan that follows. All of it is pure and
 * single-threaded, and too much for the thread that serves: the daemon keeps it in a worker. Time is an argument.
 */
export class Mind {
  readonly #options: MindOptions;
  readonly #foresight: Foresight;
  readonly #accuracy = new Accuracy();
  readonly #bursts = new BurstDetector(MINUTE_BURSTS);
  readonly #trends: Trends;
  readonly #cold: ColdStarts;
  readonly #signals: Signals;
  #charter: Charter;
  #charterHash: string;
  #agreed: AgreedForecast | undefined;
  #forecasts: ReadonlyMap<string, DemandForecast> = new Map();
  #beat: Beat | undefined;
  readonly #proposals = new OwnProposals();
  /** Real time of the newest decision. */
  #decidedAt = 0;
  #plan: Plan = { placements: [], skips: [] };

  constructor(options: MindOptions) {
    this.#options = options;
    this.#charter = options.charter;
    this.#charterHash = options.charterHash;
    this.#signals = new Signals({
      regions: () => this.#charter.regions,
      horizonMs: () => this.#charter.horizonMs,
    });
    this.#foresight = new Foresight({
      ...options,
      lift: (key16, region, now, expected) => this.#signals.expectation(key16, region, now, expected),
    });
    this.#cold = new ColdStarts(this.#foresight.history);
    this.#trends = new Trends(this.#bursts, {
      expected: (key16, region) => (this.#forecasts.get(key16 + region)?.next ?? 0) / 1000,
      usualPerMinute: (key16, region) => this.#usual(key16, region),
    });
  }

  /** Takes back what the database holds; how many rows were refused, and whether the learned state was. */
  restore({ rows, windows, accuracy, learned }: Kept): {
    readonly refused: number;
    readonly forgot: boolean;
  } {
    this.#accuracy.restore(accuracy);
    const refused = this.#foresight.history.fromRows(rows, windows);
    let forgot = false;
    if (learned && typeof learned === 'object') {
      try {
        this.#foresight.restore(learned);
        this.#signals.restore((learned as Partial<Learned>).signals);
      } catch {
        forgot = true;
      }
    }
    return { refused, forgot };
  }

  /** What changed since the last call. */
  changes(whole: boolean): Changes {
    const { history } = this.#foresight;
    return {
      rows: history.takeChanged(),
      gone: history.takeForgotten(),
      windows: history.windows(),
      accuracy: this.#accuracy.takeChanged(),
      learned: whole ? { ...this.#foresight.snapshot(), signals: this.#signals.snapshot() } : undefined,
    };
  }

  /** A charter with the hash of its document, under which decisions are made. */
  setCharter(charter: Charter, hash: string): void {
    this.#charter = charter;
    this.#charterHash = hash;
    this.#foresight.setCharter(charter);
  }

  /** Takes in a window, a peer's or the own one; undefined if it is not new, else what began to rise with it. */
  fold(summary: Summary): readonly Trend[] | undefined {
    if (!this.#foresight.fold(summary)) return undefined;
    this.#accuracy.came(summary);
    this.#signals.came(summary);
    return this.#trends.fold(summary);
  }

  requested(keys: readonly Key16[]): void {
    for (const key16 of keys) this.#foresight.requested(key16);
  }

  mirrored(key16: Key16, size: number, now: number): void {
    this.#foresight.mirrored(key16, size, now);
  }

  released(key16: Key16): void {
    this.#foresight.released(key16);
  }

  /** Takes in signals from outside; how many there was room for. */
  signalled(signals: readonly Signal[], now: number): number {
    return signals.filter((signal) => {
      if (!this.#signals.heard(signal, now, this.#expected)) return false;
      this.#foresight.signalled(signal.key16);
      return true;
    }).length;
  }

  /** Hourly series for the network to learn from. */
  trainingSeries(now: number): Series[] {
    return trainingSeries(this.#foresight.history, now);
  }

  /** The established series that this PoP is to forecast, at demand time `now`, and young ones beside them. */
  series(now: number): DemandHistory[] {
    const { history } = this.#foresight;
    const batch: DemandHistory[] = [];
    for (const { resource, region } of history.established()) {
      if (batch.length >= SERIES_MAX) break;
      if (this.#agreed && !this.#agreed.speaksOn(resource.key16)) continue;
      const known = demandHistory(history, resource.key16, region, now);
      if (known) batch.push(known);
    }
    const wanted = (key16: Key16) => !this.#agreed || this.#agreed.speaksOn(key16);
    batch.push(...this.#cold.series(now, Math.min(YOUNG_MAX, SERIES_MAX - batch.length), wanted));
    return batch;
  }

  /**
   * Ends an epoch: learns from what matured, holds the last forecasts against what came, and takes the new ones.
   * What this PoP would say is then ready to be proposed.
   */
  prepare(beat: Beat, forecasts: readonly DemandForecast[]): Prepared {
    const foresight = this.#foresight;
    this.#signals.mature(beat.now);
    const rows = forecasts.map((forecast) => {
      const { key16, region } = pairOf(forecast.id);
      return { forecast: this.#signals.lift(forecast, key16, region, beat.now), key16, region };
    });
    this.#forecasts = new Map(rows.map(({ forecast }) => [forecast.id, forecast]));
    this.#accuracy.next(rows, beat.now, this.#charter.horizonMs);
    foresight.setMembers(beat.members);
    foresight.prepare(
      beat.now,
      rows.map(({ forecast: { next, mean, upper }, key16, region }) => ({
        ...{ key16, region, next, mean, upper },
      })),
    );
    this.#beat = beat;
    return {
      resources: foresight.history.size,
      forecasts: forecasts.length,
      trust: foresight.skill.trust,
      worth: foresight.takeWorth(),
      plan: this.#planFrom(beat.at) === 'own' ? this.#planAlone() : undefined,
    };
  }

  /** The agreement begins, or begins anew after its actor was restarted. */
  join(setup: AgreementSetup): void {
    this.#agreed = this.takePart(setup, (state) => this.#view(state.height + 1));
  }

  /** This PoP's part in the agreement. `view` says what it forecasts now, if it has anything to say. */
  protected takePart(
    setup: AgreementSetup,
    view: (state: DecidedState) => OwnView | undefined,
  ): AgreedForecast {
    return new AgreedForecast(this.#options.self, setup, view);
  }

  /** `now` is real, monotonic time; `at` Unix time. */
  step(input: AgreementInput, now: number, at: number): readonly MachineEffect[] {
    return this.#noted(this.#agreement().step(input, now), at);
  }

  /** A gossip message of the agreement. */
  heard(from: PopId, bytes: Uint8Array, now: number, at: number): MachineVerdict {
    const { verdict, effects } = this.#agreement().heard(from, bytes, now);
    return { verdict, effects: this.#noted(effects, at) };
  }

  /** Plans from the newest decision; undefined if it has no share for this PoP, or is not understood here. */
  planAgreed(): PlanInForce | undefined {
    const agreed = this.#agreed;
    if (!agreed?.binding) return undefined;
    const { state } = agreed;
    const made = plan(planStateOf(state), this.#charter);
    const charterDiffers = state.charter.version > 0 && state.charter.hash !== this.#charterHash;
    const epoch = this.#proposals.epochOf(state.height);
    return this.#putInForce(made, { basis: 'agreed', epoch, height: state.height, charterDiffers });
  }

  status(): MindStatus {
    const { history, parameters, skill, mirrors, outcome } = this.#foresight;
    return {
      resources: history.size,
      series: history.rings.size,
      historyBytes: history.rings.size * RING_BYTES + history.size * RESOURCE_BYTES,
      ...{ parameters, skill, mirrors, outcome },
      forecastAccuracy: this.#accuracy.rows(),
      signals: this.#signals.rows(),
      agreement: this.#agreed?.standing(),
    };
  }

  explain(key16: Key16, now: number): MindExplanation {
    const explanation = this.#foresight.explain(key16);
    const forecasts = explanation.regions.flatMap(({ region }) => {
      const forecast = this.#forecasts.get(key16 + region);
      const recent = this.#foresight.history.series(key16, region, 'minute', now)?.values ?? [];
      return forecast ? [{ ...forecast, region, recent: [...recent] }] : [];
    });
    return { explanation, forecasts, decided: this.#agreed?.resource(key16) };
  }

  /** The plan in force. */
  planNow(): Plan {
    return this.#plan;
  }

  trending(limit: number, region: RegionId | undefined): readonly Trend[] {
    return this.#trends.list(limit, region);
  }

  #agreement(): AgreedForecast {
    if (!this.#agreed) throw new Error('the agreement has not begun');
    return this.#agreed;
  }

  #noted(effects: readonly MachineEffect[], at: number): readonly MachineEffect[] {
    for (const effect of effects) {
      if (effect.type !== 'decided') continue;
      this.#decidedAt = at;
      const { height, jumped } = effect.decision;
      // Of a height that was not agreed on here nobody knows which proposals counted: told once is enough.
      this.#proposals.decided(height, jumped || this.#agreement().counted);
    }
    return effects;
  }

  /** Whether the plan follows from a decision: while there are any, and for some time after the last. */
  #planFrom(at: number): 'agreed' | 'own' {
    if (!this.#agreed?.binding) return 'own';
    return !this.#agreed.degraded || at - this.#decidedAt < DECISION_KEPT_MS ? 'agreed' : 'own';
  }

  #planAlone(): PlanInForce {
    const made = this.#foresight.ownPlan();
    // Among PoPs that plan alike each minds its own part; one that is cut off minds its own clients.
    const { region, self } = this.#options;
    const own = this.#agreed
      ? { ...made, placements: made.placements.filter((one) => one.pop !== self || one.region === region) }
      : made;
    const epoch = this.#beat?.epoch;
    return this.#putInForce(own, { basis: 'own', epoch, height: 0, charterDiffers: false });
  }

  #putInForce(
    made: Plan,
    how: Pick<PlanInForce, 'basis' | 'epoch' | 'height' | 'charterDiffers'>,
  ): PlanInForce {
    this.#plan = made;
    const agreed = how.basis === 'agreed' ? this.#agreed?.state.tunings : undefined;
    const share = this.#foresight.adopt(
      made,
      agreed && new Map(agreed.map((one) => [tuningKey(one.site, one.region), one.parameters])),
    );
    return {
      ...how,
      hash: planHash(made),
      placements: made.placements.length,
      wanted: share
        .filter(({ purpose }) => purpose === 'mirror')
        .map(({ key16, size, value, tier, region }) => ({ key16, size, value, tier, region })),
      preferred: preferredOf(made.placements, (key16) => this.#foresight.history.get(key16)?.site),
    };
  }

  /** What this PoP proposes: what it would plan with if it planned alone. */
  #view(height: number) {
    const beat = this.#beat;
    if (!beat) return undefined;
    const foresight = this.#foresight;
    const { storageBudgetMiB, fillKiBps, load, state } = beat.capacities;
    return {
      at: beat.at,
      window: beat.window,
      windowMs: beat.windowMs,
      cap: { storageBudgetMiB, fillKiBps, load, state },
      uses: this.#proposals.propose(height, beat.epoch, foresight.takeUses()),
      windowShare: Math.floor((1000 * beat.windowMs) / this.#charter.horizonMs),
      resources: foresight.resources,
      observed: (key16: Key16, region: RegionId, from: number, lengthMs: number) =>
        foresight.observed(key16, region, from, lengthMs),
      series: (key16: Key16, region: RegionId) => foresight.outlook(key16, region),
    };
  }

  /** Requests expected of a pair within the horizon. */
  readonly #expected: Expectation = (key16, region) => {
    const forecast = this.#forecasts.get(key16 + region);
    if (forecast) return { requests: forecast.mean / 1000, first: false };
    const { regions, reasons } = this.#foresight.explain(key16);
    if (regions.some((one) => one.region === region))
      return { requests: (this.#usual(key16, region) * this.#charter.horizonMs) / 60_000, first: false };
    return { requests: reasons.find((one) => one.region === region)?.expected ?? 0, first: true };
  };

  #usual(key16: Key16, region: RegionId): number {
    const known = this.#foresight.history.get(key16);
    const one = known?.regions.find((demand) => demand.region === region);
    return one ? (one.total * 60_000) / Math.max(60_000, one.last - one.first) : 0;
  }
}

/** The parts of a series' id: 32 hex digits, then the region. */
const pairOf = (id: string) => ({ key16: id.slice(0, 32) as Key16, region: id.slice(32) as RegionId });
