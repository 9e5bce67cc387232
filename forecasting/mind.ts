import { planHash, planStateOf } from '../protocol/agreed-plan.ts';
import type { AgreementInput } from '../protocol/agreement-steps.ts';
import type { Charter } from '../protocol/charter.ts';
import type { HistoryRow } from '../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import { type Placement, type Plan, plan } from '../protocol/placement.ts';
import { RING_BYTES } from '../protocol/rings.ts';
import type { Capacities, Summary, Worth } from '../protocol/summary.ts';
import { tuningKey } from '../protocol/tuning.ts';
import { Accuracy, type AccuracyRow } from './accuracy.ts';
import {
  AgreedForecast,
  type AgreementSetup,
  type DecidedResource,
  type MachineEffect,
  type MachineVerdict,
  type Standing,
} from './agreed-forecast.ts';
import { BurstDetector, MINUTE_BURSTS } from './bursts.ts';
import type { DemandForecast, DemandHistory } from './demand.ts';
import { type Explanation, Foresight, type ForesightSnapshot, type Member } from './foresight.ts';
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
  /** Whether there are founders to agree with; else this PoP plans alone, for all. */
  readonly agrees: boolean;
}

/** The end of a window, as the planning needs it. */
export interface Beat {
  readonly epoch: number;
  /** Demand time, Unix ms. */
  readonly now: number;
  /** Real time, Unix ms. */
  readonly at: number;
  /** Demand time at which the window that begins began, the same at every PoP, and its length. */
  readonly window: number;
  readonly windowMs: number;
  readonly capacities: Capacities;
  readonly members: readonly Member[];
}

/** A plan that came into force. */
export interface PlanInForce {
  /** `own` where there is no decision to plan from. */
  readonly basis: 'agreed' | 'own';
  /** Of the decision, 0 for none. */
  readonly height: number;
  readonly hash: string;
  readonly placements: number;
  /** This PoP's share that is to be pulled, by value. */
  readonly wanted: readonly {
    readonly key16: Key16;
    readonly size: number;
    readonly value: number;
    readonly tier: Placement['tier'];
  }[];
  /** Per site and region the PoP that is to hold most of the expected requests. */
  readonly preferred: readonly (readonly [site: SiteId, region: RegionId, pop: PopId])[];
  /** The decision was made under a charter that is not here. */
  readonly charterDiffers: boolean;
}

/** What an epoch came to before its decision. */
export interface Prepared {
  readonly resources: number;
  readonly forecasts: number;
  readonly trust: number;
  /** For this PoP's next summary. */
  readonly worth: Worth;
  /** The own plan, where there is no decision to plan from. */
  readonly plan: PlanInForce | undefined;
}

/** Rows to be written; the learned state only if it was asked for. */
export interface Changes {
  readonly rows: readonly HistoryRow[];
  readonly gone: readonly Key16[];
  readonly windows: ReturnType<Foresight['history']['windows']>;
  readonly learned: ForesightSnapshot | undefined;
}

export interface MindStatus {
  readonly resources: number;
  readonly series: number;
  /** Memory of the history, about. */
  readonly historyBytes: number;
  readonly parameters: Foresight['parameters'];
  readonly skill: Foresight['skill'];
  readonly mirrors: Foresight['mirrors'];
  readonly outcome: Foresight['outcome'];
  readonly forecastAccuracy: readonly AccuracyRow[];
  /** Undefined where there are no founders to agree with. */
  readonly agreement: Standing | undefined;
}

export interface MindExplanation {
  readonly explanation: Explanation;
  readonly forecasts: readonly (DemandForecast & {
    readonly region: RegionId;
    readonly recent: readonly number[];
  })[];
  readonly decided: DecidedResource | undefined;
}

/** Series forecast in one epoch; those known longest go first. */
const SERIES_MAX = 10_000;
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
  #charter: Charter;
  #charterHash: string;
  #agreed: AgreedForecast | undefined;
  #forecasts: ReadonlyMap<string, DemandForecast> = new Map();
  #beat: Beat | undefined;
  /** Real time of the newest decision. */
  #decidedAt = 0;
  #plan: Plan = { placements: [], skips: [] };

  constructor(options: MindOptions) {
    this.#options = options;
    this.#charter = options.charter;
    this.#charterHash = options.charterHash;
    this.#foresight = new Foresight(options);
    this.#trends = new Trends(this.#bursts, {
      expected: (key16, region) => (this.#forecasts.get(key16 + region)?.next ?? 0) / 1000,
      usualPerMinute: (key16, region) => this.#usual(key16, region),
    });
  }

  /** Takes back what the database holds; how many rows were refused, and whether the learned state was. */
  restore(
    rows: readonly HistoryRow[],
    windows: readonly [PopId, number, number][],
    learned: unknown,
  ): { readonly refused: number; readonly forgot: boolean } {
    const refused = this.#foresight.history.fromRows(rows, windows);
    let forgot = false;
    if (learned && typeof learned === 'object') {
      try {
        this.#foresight.restore(learned);
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
      learned: whole ? this.#foresight.snapshot() : undefined,
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

  /** The established series that this PoP is to forecast, at demand time `now`. */
  series(now: number): DemandHistory[] {
    const { history } = this.#foresight;
    const batch: DemandHistory[] = [];
    for (const { resource, region } of history.established()) {
      if (batch.length >= SERIES_MAX) break;
      if (this.#agreed && !this.#agreed.speaksOn(resource.key16)) continue;
      const series = (name: 'minute' | 'ten' | 'hour') =>
        history.series(resource.key16, region.region, name, now);
      const [minute, ten, hour] = [series('minute'), series('ten'), series('hour')];
      if (!minute || !ten || !hour) continue;
      batch.push({ id: resource.key16 + region.region, minute, ten, hour, first: region.first });
    }
    return batch;
  }

  /**
   * Ends an epoch: learns from what matured, holds the last forecasts against what came, and takes the new ones.
   * What this PoP would say is then ready to be proposed.
   */
  prepare(beat: Beat, forecasts: readonly DemandForecast[]): Prepared {
    const foresight = this.#foresight;
    const rows = forecasts.map((forecast) => ({ forecast, ...pairOf(forecast.id) }));
    this.#forecasts = new Map(forecasts.map((forecast) => [forecast.id, forecast]));
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
    this.#agreed = new AgreedForecast(this.#options.self, setup, () => this.#view());
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
    return this.#putInForce(made, { basis: 'agreed', height: state.height, charterDiffers });
  }

  status(): MindStatus {
    const { history, parameters, skill, mirrors, outcome } = this.#foresight;
    return {
      resources: history.size,
      series: history.rings.size,
      historyBytes: history.rings.size * RING_BYTES + history.size * RESOURCE_BYTES,
      ...{ parameters, skill, mirrors, outcome },
      forecastAccuracy: this.#accuracy.rows(),
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
    if (effects.some(({ type }) => type === 'decided')) this.#decidedAt = at;
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
    const { agrees, region, self } = this.#options;
    const own = agrees
      ? { ...made, placements: made.placements.filter((one) => one.pop !== self || one.region === region) }
      : made;
    return this.#putInForce(own, { basis: 'own', height: 0, charterDiffers: false });
  }

  #putInForce(
    made: Plan,
    { basis, height, charterDiffers }: Pick<PlanInForce, 'basis' | 'height' | 'charterDiffers'>,
  ): PlanInForce {
    this.#plan = made;
    const agreed = basis === 'agreed' ? this.#agreed?.state.tunings : undefined;
    const share = this.#foresight.adopt(
      made,
      agreed && new Map(agreed.map((one) => [tuningKey(one.site, one.region), one.parameters])),
    );
    return {
      ...{ basis, height, charterDiffers },
      hash: planHash(made),
      placements: made.placements.length,
      wanted: share
        .filter(({ purpose }) => purpose === 'mirror')
        .map(({ key16, size, value, tier }) => ({ key16, size, value, tier })),
      preferred: this.#preferred(made.placements),
    };
  }

  #preferred(placements: readonly Placement[]): PlanInForce['preferred'] {
    const sums = new Map<string, { site: SiteId; region: RegionId; pops: Map<PopId, number> }>();
    for (const { key16, region, pop, expected } of placements) {
      const site = this.#foresight.history.get(key16)?.site;
      if (!site) continue;
      const key = tuningKey(site, region);
      const sum = sums.get(key) ?? { site, region, pops: new Map<PopId, number>() };
      sum.pops.set(pop, (sum.pops.get(pop) ?? 0) + expected);
      sums.set(key, sum);
    }
    return [...sums.values()].flatMap(({ site, region, pops }) => {
      const [best] = [...pops].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
      return best ? [[site, region, best[0]] as const] : [];
    });
  }

  /** What this PoP proposes: what it would plan with if it planned alone. */
  #view() {
    const beat = this.#beat;
    if (!beat) return undefined;
    const foresight = this.#foresight;
    const { storageBudgetMiB, fillKiBps, load, state } = beat.capacities;
    return {
      at: beat.at,
      window: beat.window,
      windowMs: beat.windowMs,
      cap: { storageBudgetMiB, fillKiBps, load, state },
      uses: foresight.takeUses(),
      windowShare: Math.floor((1000 * beat.windowMs) / this.#charter.horizonMs),
      resources: foresight.resources,
      observed: (
        key16: Key16,
        region: RegionId,
        from = beat.window - 2 * beat.windowMs,
        lengthMs = beat.windowMs,
      ) => foresight.observed(key16, region, from, lengthMs),
      series: (key16: Key16, region: RegionId) => foresight.outlook(key16, region),
    };
  }

  #usual(key16: Key16, region: RegionId): number {
    const known = this.#foresight.history.get(key16);
    const one = known?.regions.find((demand) => demand.region === region);
    return one ? (one.total * 60_000) / Math.max(60_000, one.last - one.first) : 0;
  }
}

/** The parts of a series' id: 32 hex digits, then the region. */
const pairOf = (id: string) => ({ key16: id.slice(0, 32) as Key16, region: id.slice(32) as RegionId });
