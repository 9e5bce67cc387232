import { Accuracy, type AccuracyRow } from '../forecasting/accuracy.ts';
import type { BurstDetector } from '../forecasting/bursts.ts';
import type { DemandForecast, DemandHistory, DemandRequest } from '../forecasting/demand.ts';
import type { Explanation, Foresight, Member } from '../forecasting/foresight.ts';
import { type Trend, Trends } from '../forecasting/trends.ts';
import { codeOf } from '../protocol/errors.ts';
import type { HistoryRow } from '../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import type { Placement, Plan } from '../protocol/placement.ts';
import type { DemandClock, Events, Table } from '../protocol/ports.ts';
import type { ReplicaSource } from '../protocol/replica.ts';
import { RING_BYTES } from '../protocol/rings.ts';
import type { Summary, Worth } from '../protocol/summary.ts';
import { DemandArchive } from './demand-archive.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { WantedReplica } from './mirror.ts';
import { preferredKey } from './router.ts';

export type ForecasterMessage =
  | { readonly type: 'summary'; readonly summary: Summary }
  /** This PoP has closed its window; the others' are on their way. */
  | { readonly type: 'closed'; readonly epoch: number }
  | { readonly type: 'requested'; readonly keys: readonly Key16[] }
  | {
      readonly type: 'mirrored';
      readonly key16: Key16;
      readonly size: number;
      readonly source: ReplicaSource;
    }
  | { readonly type: 'released'; readonly key16: Key16 }
  | { readonly type: 'status'; readonly reply: Reply<ForecasterStatus> }
  | { readonly type: 'explain'; readonly key16: Key16; readonly reply: Reply<ForecastExplanation> }
  | { readonly type: 'plan-of'; readonly reply: Reply<MadePlan> }
  | {
      readonly type: 'trending';
      readonly limit: number;
      readonly region: RegionId | undefined;
      readonly reply: Reply<readonly Trend[]>;
    }
  /** Private. */
  | { readonly type: 'plan'; readonly epoch: number }
  | {
      readonly type: 'forecasted';
      readonly epoch: number;
      readonly now: number;
      readonly forecasts: readonly DemandForecast[];
    };

/** One epoch as this PoP saw it. */
export interface EpochRecord {
  readonly epoch: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly summaries: number;
  readonly requests: number;
  readonly resources: number;
  readonly forecasts: number;
  readonly placements: number;
  /** Contents mirrored to this PoP, and their bytes; of these, bytes on RISING reports. */
  readonly pulls: number;
  readonly pulledBytes: number;
  readonly speculativeBytes: number;
  readonly tookMs: number;
}

export interface MadePlan {
  readonly epoch: number;
  readonly madeAt: number;
  readonly plan: Plan;
}

export interface ForecasterStatus {
  readonly epochs: readonly EpochRecord[];
  readonly resources: number;
  readonly series: number;
  /** Memory of the history, about. */
  readonly historyBytes: number;
  readonly parameters: Foresight['parameters'];
  readonly skill: Foresight['skill'];
  readonly mirrors: Foresight['mirrors'];
  readonly outcome: Foresight['outcome'];
  readonly forecastAccuracy: readonly AccuracyRow[];
  readonly newest: ReadonlyMap<PopId, Summary>;
}

export interface ForecastExplanation {
  readonly epoch: number;
  readonly madeAt: number;
  readonly explanation: Explanation;
  readonly forecasts: readonly (DemandForecast & {
    readonly region: RegionId;
    readonly recent: readonly number[];
  })[];
}

/** What forecasts time series; in the daemon the pool of worker threads. */
export interface DemandForecaster {
  forecastDemand(batch: readonly DemandHistory[], request: DemandRequest): Promise<readonly DemandForecast[]>;
}

export interface ForecasterDeps {
  /** Fresh ones with every start of the actor. */
  readonly foresight: () => Foresight;
  readonly bursts: () => BurstDetector;
  readonly pool: DemandForecaster;
  /** The PoPs now certified. */
  readonly members: () => readonly Member[];
  readonly demand: DemandClock;
  readonly events: Events;
  readonly history: Table<HistoryRow[1]>;
  readonly learned: Table<unknown>;
  readonly epochMs: number;
  readonly horizonMs: number;
  /** Level of the upper quantile. */
  readonly level: number;
  /** What mirroring came to since the last epoch, for this PoP's next window. */
  worth(worth: Worth): void;
  /** This PoP's share of a new plan. */
  planned(wanted: readonly WantedReplica[], epoch: number): void;
  prefer(preferred: ReadonlyMap<string, PopId>): void;
}

/** How long the others' windows are waited for: `T_grace` of the agreement. */
const graceMs = (epochMs: number) => Math.min(2_000, epochMs / 5);
/** Series forecast in one epoch; those known longest go first. */
const SERIES_MAX = 10_000;
/** Epochs after which a forecast that has not come back is given up. */
const FORECAST_EPOCHS = 3;
const EPOCHS_KEPT = 120;
/** About what a tracked resource takes beside its rings. */
const RESOURCE_BYTES = 1_200;

/** Folds the windows of all PoPs into demand, forecasts it and plans, once an epoch. */
export function forecasterSpec(deps: ForecasterDeps): ActorSpec<ForecasterMessage> {
  return {
    name: 'forecaster',
    mailbox: { capacity: 8_192, overflow: 'drop-oldest' },
    create: async (context) => {
      const foresight = deps.foresight();
      const { history, learned } = deps;
      const archive = new DemandArchive({ history, learned, log: context.log, metrics: context.metrics });
      await archive.restore(foresight);
      return new Forecaster(foresight, archive, deps, context);
    },
  };
}

class Forecaster implements Behaviour<ForecasterMessage> {
  readonly #foresight: Foresight;
  readonly #archive: DemandArchive;
  readonly #bursts: BurstDetector;
  readonly #deps: ForecasterDeps;
  readonly #context: ActorContext<ForecasterMessage>;
  readonly #accuracy = new Accuracy();
  readonly #epochs: EpochRecord[] = [];
  readonly #newest = new Map<PopId, Summary>();
  #forecasts: ReadonlyMap<string, DemandForecast> = new Map();
  /** Monotonic ms since when series are with the workers. */
  #forecastingSince: number | undefined;
  readonly #trends: Trends;
  #made: MadePlan = { epoch: 0, madeAt: 0, plan: { placements: [], skips: [] } };
  #pulls = { pulls: 0, pulledBytes: 0, speculativeBytes: 0 };
  #summaries = 0;
  #requests = 0;
  #startedAt: number;
  #closedAt = 0;

  constructor(
    foresight: Foresight,
    archive: DemandArchive,
    deps: ForecasterDeps,
    context: ActorContext<ForecasterMessage>,
  ) {
    this.#foresight = foresight;
    this.#archive = archive;
    this.#bursts = deps.bursts();
    this.#deps = deps;
    this.#context = context;
    this.#startedAt = Math.floor(deps.demand.now());
    this.#trends = new Trends(this.#bursts, {
      expected: (key16, region) => (this.#forecasts.get(key16 + region)?.next ?? 0) / 1000,
      usualPerMinute: (key16, region) => this.#usual(key16, region),
    });
  }

  receive(message: ForecasterMessage): void | Promise<void> {
    const { demand } = this.#deps;
    const foresight = this.#foresight;
    switch (message.type) {
      case 'summary':
        return this.#fold(message.summary);
      case 'closed':
        this.#closedAt = this.#context.clock.monotonic();
        this.#context.schedule(graceMs(this.#deps.epochMs), { type: 'plan', epoch: message.epoch });
        return;
      case 'plan':
        this.#forecast(message.epoch);
        return;
      case 'forecasted':
        return this.#plan(message.epoch, message.now, message.forecasts);
      case 'requested':
        for (const key16 of message.keys) foresight.requested(key16);
        return;
      case 'mirrored':
        foresight.mirrored(message.key16, message.size, demand.now());
        this.#pulls.pulls += 1;
        this.#pulls.pulledBytes += message.size;
        if (message.source === 'speculative') this.#pulls.speculativeBytes += message.size;
        return;
      case 'released':
        foresight.released(message.key16);
        return;
      case 'status':
        message.reply.ok(this.#status());
        return;
      case 'explain':
        message.reply.ok(this.#explain(message.key16));
        return;
      case 'plan-of':
        message.reply.ok(this.#made);
        return;
      case 'trending':
        message.reply.ok(this.#trends.list(message.limit, message.region));
    }
  }

  async stop(): Promise<void> {
    await this.#archive.save(this.#foresight, true);
  }

  #fold(summary: Summary): void {
    const foresight = this.#foresight;
    if (!foresight.fold(summary)) return;
    this.#summaries += 1;
    this.#requests += summary.requests;
    this.#newest.set(summary.pop, summary);
    this.#accuracy.came(summary);
    for (const { key16, region, perMinute, usualPerMinute } of this.#trends.fold(summary)) {
      this.#deps.events.emit('trend', { key16, region, perMinute, usualPerMinute });
    }
  }

  #usual(key16: Key16, region: RegionId): number {
    const known = this.#foresight.history.get(key16);
    const one = known?.regions.find((demand) => demand.region === region);
    return one ? (one.total * 60_000) / Math.max(60_000, one.last - one.first) : 0;
  }

  async #plan(epoch: number, now: number, forecasts: readonly DemandForecast[]): Promise<void> {
    const { events, members } = this.#deps;
    const foresight = this.#foresight;
    foresight.setMembers(members());
    this.#forecastingSince = undefined;
    const rows = forecasts.map((forecast) => ({ forecast, ...pairOf(forecast.id) }));
    this.#forecasts = new Map(forecasts.map((forecast) => [forecast.id, forecast]));
    this.#accuracy.next(rows, now, this.#deps.horizonMs);
    const outlooks = rows.map(({ forecast: { next, mean, upper }, key16, region }) => ({
      key16,
      region,
      next,
      mean,
      upper,
    }));
    const { plan, ownShare } = foresight.epoch(now, outlooks);
    this.#made = { epoch, madeAt: now, plan };
    const wanted = ownShare
      .filter((share) => share.purpose === 'mirror')
      .map(({ key16, size, value, tier }) => ({ key16, size, value, tier }));
    this.#deps.planned(wanted, epoch);
    this.#deps.worth(foresight.takeWorth());
    this.#deps.prefer(this.#preferred(plan.placements));
    const tookMs = this.#context.clock.monotonic() - this.#closedAt;
    const record: EpochRecord = {
      epoch,
      startedAt: this.#startedAt,
      endedAt: now,
      summaries: this.#summaries,
      requests: this.#requests,
      resources: foresight.history.size,
      forecasts: outlooks.length,
      placements: plan.placements.length,
      ...this.#pulls,
      tookMs,
    };
    this.#startedAt = now;
    this.#pulls = { pulls: 0, pulledBytes: 0, speculativeBytes: 0 };
    this.#summaries = 0;
    this.#requests = 0;
    this.#epochs.push(record);
    if (this.#epochs.length > EPOCHS_KEPT) this.#epochs.shift();
    this.#context.metrics.observe('epoch_seconds', tookMs / 1000);
    this.#context.metrics.gauge('plan_placements', plan.placements.length);
    this.#context.metrics.gauge('model_trust', foresight.skill.trust / 1000);
    events.emit('epoch', { ...record, wanted: wanted.length });
    await this.#archive.save(foresight);
  }

  /**
   * Has the established series forecast; the plan follows when that is done. Meanwhile this actor folds windows and
   * answers questions. Without forecasts the plan stands on arrivals alone.
   */
  #forecast(epoch: number): void {
    // A forecast that takes longer than an epoch is not overtaken by the next: its plan is still newer than none.
    const { clock } = this.#context;
    const busySince = this.#forecastingSince;
    if (busySince !== undefined && clock.monotonic() - busySince < FORECAST_EPOCHS * this.#deps.epochMs)
      return;
    this.#forecastingSince = clock.monotonic();
    const { pool, epochMs, demand, horizonMs, level } = this.#deps;
    const now = Math.floor(demand.now());
    const batch = this.#batch(now);
    const done = (forecasts: readonly DemandForecast[]) =>
      void this.#context.self.tell({ type: 'forecasted', epoch, now, forecasts });
    if (batch.length === 0) {
      done([]);
      return;
    }
    pool
      .forecastDemand(batch, { now, windowMs: epochMs * demand.speed, horizonMs, level })
      .then(done, (error: unknown) => {
        this.#context.metrics.count('errors_total', { code: codeOf(error) });
        this.#context.log.warn('no forecasts this epoch', { code: codeOf(error) });
        done([]);
      });
  }

  #batch(now: number): DemandHistory[] {
    const { history } = this.#foresight;
    const batch: DemandHistory[] = [];
    for (const { resource, region } of history.established()) {
      if (batch.length >= SERIES_MAX) break;
      const series = (name: 'minute' | 'ten' | 'hour') =>
        history.series(resource.key16, region.region, name, now);
      const [minute, ten, hour] = [series('minute'), series('ten'), series('hour')];
      if (!minute || !ten || !hour) continue;
      batch.push({ id: resource.key16 + region.region, minute, ten, hour, first: region.first });
    }
    return batch;
  }

  /** Per site and region the PoP that is to hold most of the expected requests. */
  #preferred(placements: readonly Placement[]): Map<string, PopId> {
    const sums = new Map<string, Map<PopId, number>>();
    for (const { key16, region, pop, expected } of placements) {
      const site = this.#foresight.history.get(key16)?.site;
      if (!site) continue;
      const key = preferredKey(site as SiteId, region);
      const pops = sums.get(key) ?? new Map<PopId, number>();
      sums.set(key, pops.set(pop, (pops.get(pop) ?? 0) + expected));
    }
    const best = (pops: Map<PopId, number>) =>
      [...pops].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]?.[0];
    return new Map(
      [...sums].flatMap(([key, pops]) => {
        const pop = best(pops);
        return pop === undefined ? [] : [[key, pop] as const];
      }),
    );
  }

  #status(): ForecasterStatus {
    const foresight = this.#foresight;
    return {
      epochs: [...this.#epochs],
      resources: foresight.history.size,
      series: foresight.history.rings.size,
      historyBytes: foresight.history.rings.size * RING_BYTES + foresight.history.size * RESOURCE_BYTES,
      parameters: foresight.parameters,
      skill: foresight.skill,
      mirrors: foresight.mirrors,
      outcome: foresight.outcome,
      forecastAccuracy: this.#accuracy.rows(),
      newest: new Map(this.#newest),
    };
  }

  #explain(key16: Key16): ForecastExplanation {
    const { demand } = this.#deps;
    const foresight = this.#foresight;
    const now = demand.now();
    const explanation = foresight.explain(key16);
    const forecasts = explanation.regions.flatMap(({ region }) => {
      const forecast = this.#forecasts.get(key16 + region);
      const recent = foresight.history.series(key16, region, 'minute', now)?.values ?? [];
      return forecast ? [{ ...forecast, region, recent }] : [];
    });
    return { epoch: this.#made.epoch, madeAt: this.#made.madeAt, explanation, forecasts };
  }
}

/** The parts of a series' id: 32 hex digits, then the region. */
const pairOf = (id: string) => ({ key16: id.slice(0, 32) as Key16, region: id.slice(32) as RegionId });
