import type { BurstDetector } from '../forecasting/bursts.ts';
import type { DemandForecast, DemandHistory, DemandRequest } from '../forecasting/demand.ts';
import type { Explanation, Foresight, Member, SeriesOutlook } from '../forecasting/foresight.ts';
import { type Trend, Trends } from '../forecasting/trends.ts';
import { codeOf } from '../protocol/errors.ts';
import type { HistoryRow } from '../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import type { Placement, Plan } from '../protocol/placement.ts';
import type { DemandClock, Events, Table } from '../protocol/ports.ts';
import type { Summary } from '../protocol/summary.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { WantedReplica } from './mirror.ts';
import { preferredKey } from './router.ts';

export type ForecasterMessage =
  | { readonly type: 'summary'; readonly summary: Summary }
  /** This PoP has closed its window; the others' are on their way. */
  | { readonly type: 'closed'; readonly epoch: number }
  | { readonly type: 'requested'; readonly keys: readonly Key16[] }
  | { readonly type: 'mirrored'; readonly key16: Key16; readonly size: number }
  | { readonly type: 'released'; readonly key16: Key16 }
  | { readonly type: 'members'; readonly members: readonly Member[] }
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
  | { readonly type: 'plan'; readonly epoch: number };

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
  readonly parameters: Foresight['parameters'];
  readonly skill: Foresight['skill'];
  readonly mirrors: Foresight['mirrors'];
  readonly outcome: Foresight['outcome'];
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
  readonly foresight: Foresight;
  readonly pool: DemandForecaster;
  readonly bursts: BurstDetector;
  readonly demand: DemandClock;
  readonly events: Events;
  readonly history: Table<HistoryRow[1]>;
  readonly learned: Table<unknown>;
  readonly epochMs: number;
  readonly horizonMs: number;
  /** Level of the upper quantile. */
  readonly level: number;
  mirror(wanted: readonly WantedReplica[], epoch: number): void;
  prefer(preferred: ReadonlyMap<string, PopId>): void;
}

/** How long the others' windows are waited for: `T_grace` of the agreement. */
const graceMs = (epochMs: number) => Math.min(2_000, epochMs / 5);
/** Series forecast in one epoch; the most asked go first. */
const SERIES_MAX = 10_000;
const EPOCHS_KEPT = 120;
/** Learned state is some MB: it is saved every so many epochs, and at the end. */
const SAVE_EVERY = 20;
const LEARNED_KEY = 'foresight';
const WINDOWS_KEY = 'windows';

/** Folds the windows of all PoPs into demand, forecasts it and plans, once an epoch. */
export function forecasterSpec(deps: ForecasterDeps): ActorSpec<ForecasterMessage> {
  return {
    name: 'forecaster',
    mailbox: { capacity: 8_192, overflow: 'drop-oldest' },
    create: async (context) => {
      await restore(deps, context);
      return new Forecaster(deps, context);
    },
  };
}

async function restore(deps: ForecasterDeps, context: ActorContext<ForecasterMessage>): Promise<void> {
  const { foresight, history, learned } = deps;
  const rows: HistoryRow[] = [];
  for await (const [key, value] of history.entries()) rows.push([key as Key16, value]);
  const windows = (await learned.get(WINDOWS_KEY)) as [PopId, number, number][] | undefined;
  const refused = foresight.history.fromRows(rows, windows ?? []);
  if (refused > 0) context.metrics.count('errors_total', { code: 'STORE_CORRUPT' }, refused);
  const saved = await learned.get(LEARNED_KEY);
  if (saved && typeof saved === 'object') {
    try {
      foresight.restore(saved);
    } catch (error) {
      context.metrics.count('errors_total', { code: 'STORE_CORRUPT' });
      context.log.warn('learned state is not readable; learning starts afresh', { error: String(error) });
    }
  }
  context.log.info('demand history restored', { resources: rows.length - refused, refused });
}

class Forecaster implements Behaviour<ForecasterMessage> {
  readonly #deps: ForecasterDeps;
  readonly #context: ActorContext<ForecasterMessage>;
  readonly #epochs: EpochRecord[] = [];
  readonly #newest = new Map<PopId, Summary>();
  readonly #forecasts = new Map<string, DemandForecast>();
  readonly #trends: Trends;
  #made: MadePlan = { epoch: 0, madeAt: 0, plan: { placements: [], skips: [] } };
  #summaries = 0;
  #requests = 0;
  #startedAt: number;
  #closedAt = 0;
  #sinceSave = 0;

  constructor(deps: ForecasterDeps, context: ActorContext<ForecasterMessage>) {
    this.#deps = deps;
    this.#context = context;
    this.#startedAt = Math.floor(deps.demand.now());
    this.#trends = new Trends(deps.bursts, {
      expected: (key16, region) => (this.#forecasts.get(key16 + region)?.next ?? 0) / 1000,
      usualPerMinute: (key16, region) => this.#usual(key16, region),
    });
  }

  receive(message: ForecasterMessage): void | Promise<void> {
    const { foresight, demand } = this.#deps;
    switch (message.type) {
      case 'summary':
        return this.#fold(message.summary);
      case 'closed':
        this.#closedAt = this.#context.clock.monotonic();
        this.#context.schedule(graceMs(this.#deps.epochMs), { type: 'plan', epoch: message.epoch });
        return;
      case 'plan':
        return this.#plan(message.epoch);
      case 'requested':
        for (const key16 of message.keys) foresight.requested(key16);
        return;
      case 'mirrored':
        foresight.mirrored(message.key16, message.size, demand.now());
        return;
      case 'released':
        foresight.released(message.key16);
        return;
      case 'members':
        foresight.setMembers(message.members);
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
    await this.#save(true);
  }

  #fold(summary: Summary): void {
    const { foresight } = this.#deps;
    if (!foresight.fold(summary)) return;
    this.#summaries += 1;
    this.#requests += summary.requests;
    this.#newest.set(summary.pop, summary);
    for (const { key16, region, perMinute, usualPerMinute } of this.#trends.fold(summary)) {
      this.#deps.events.emit('trend', { key16, region, perMinute, usualPerMinute });
    }
  }

  #usual(key16: Key16, region: RegionId): number {
    const known = this.#deps.foresight.history.get(key16);
    const one = known?.regions.find((demand) => demand.region === region);
    return one ? (one.total * 60_000) / Math.max(60_000, one.last - one.first) : 0;
  }

  async #plan(epoch: number): Promise<void> {
    const { foresight, demand, events } = this.#deps;
    const now = Math.floor(demand.now());
    const outlooks = await this.#forecast(now);
    const { plan, ownShare } = foresight.epoch(now, outlooks);
    this.#made = { epoch, madeAt: now, plan };
    const wanted = ownShare
      .filter((share) => share.purpose === 'mirror')
      .map(({ key16, size, value, tier }) => ({ key16, size, value, tier }));
    this.#deps.mirror(wanted, epoch);
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
      tookMs,
    };
    this.#startedAt = now;
    this.#summaries = 0;
    this.#requests = 0;
    this.#epochs.push(record);
    if (this.#epochs.length > EPOCHS_KEPT) this.#epochs.shift();
    this.#context.metrics.observe('epoch_seconds', tookMs / 1000);
    this.#context.metrics.gauge('plan_placements', plan.placements.length);
    this.#context.metrics.gauge('model_trust', foresight.skill.trust / 1000);
    events.emit('epoch', { ...record, wanted: wanted.length });
    this.#sinceSave += 1;
    await this.#save(this.#sinceSave >= SAVE_EVERY);
  }

  /** Time-series forecasts of the established series; without them the plan stands on arrivals alone. */
  async #forecast(now: number): Promise<SeriesOutlook[]> {
    const { foresight, pool, epochMs, demand, horizonMs, level } = this.#deps;
    const batch: DemandHistory[] = [];
    const pairs: { key16: Key16; region: RegionId }[] = [];
    for (const { resource, region } of foresight.history.established()) {
      if (batch.length >= SERIES_MAX) break;
      const series = (name: 'minute' | 'ten' | 'hour') =>
        foresight.history.series(resource.key16, region.region, name, now);
      const [minute, ten, hour] = [series('minute'), series('ten'), series('hour')];
      if (!minute || !ten || !hour) continue;
      const ring = ({ start, stepMs, values }: { start: number; stepMs: number; values: number[] }) => ({
        start,
        stepMs,
        values,
      });
      batch.push({
        id: resource.key16 + region.region,
        minute: ring(minute),
        ten: ring(ten),
        hour: ring(hour),
        first: region.first,
      });
      pairs.push({ key16: resource.key16, region: region.region });
    }
    this.#forecasts.clear();
    if (batch.length === 0) return [];
    try {
      const request: DemandRequest = { now, windowMs: epochMs * demand.speed, horizonMs, level };
      const forecasts = await pool.forecastDemand(batch, request);
      return forecasts.flatMap((forecast, at) => {
        const pair = pairs[at];
        if (!pair) return [];
        this.#forecasts.set(forecast.id, forecast);
        return [{ ...pair, next: forecast.next, mean: forecast.mean, upper: forecast.upper }];
      });
    } catch (error) {
      this.#context.metrics.count('errors_total', { code: codeOf(error) });
      this.#context.log.warn('no forecasts this epoch', { code: codeOf(error) });
      return [];
    }
  }

  /** Per site and region the PoP that is to hold most of the expected requests. */
  #preferred(placements: readonly Placement[]): Map<string, PopId> {
    const sums = new Map<string, Map<PopId, number>>();
    for (const { key16, region, pop, expected } of placements) {
      const site = this.#deps.foresight.history.get(key16)?.site;
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

  /** One delta row a changed resource a window; the learned state less often. */
  async #save(whole: boolean): Promise<void> {
    const { foresight, history, learned } = this.#deps;
    const rows = foresight.history.takeChanged();
    try {
      await history.batch(rows.map(([key, value]) => ({ type: 'put', key, value })));
      await learned.put(WINDOWS_KEY, foresight.history.windows());
      if (!whole) return;
      await learned.put(LEARNED_KEY, foresight.snapshot());
      this.#sinceSave = 0;
    } catch (error) {
      this.#context.metrics.count('errors_total', { code: codeOf(error) });
      this.#context.log.warn('demand history was not saved', { code: codeOf(error) });
    }
  }

  #status(): ForecasterStatus {
    const { foresight } = this.#deps;
    return {
      epochs: [...this.#epochs],
      resources: foresight.history.size,
      series: foresight.history.rings.size,
      parameters: foresight.parameters,
      skill: foresight.skill,
      mirrors: foresight.mirrors,
      outcome: foresight.outcome,
      newest: new Map(this.#newest),
    };
  }

  #explain(key16: Key16): ForecastExplanation {
    const { foresight, demand } = this.#deps;
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
