import type { AccuracyTally } from '../forecasting/accuracy.ts';
import type { DemandForecast, DemandHistory, DemandRequest } from '../forecasting/demand.ts';
import type { Member } from '../forecasting/foresight.ts';
import type { MindExplanation, MindStatus, PlanInForce, Prepared } from '../forecasting/mind-answers.ts';
import type { MindPort } from '../forecasting/mind-thread.ts';
import { unpackDemand } from '../forecasting/packing.ts';
import type { Series } from '../forecasting/series.ts';
import type { Signal } from '../forecasting/signals.ts';
import type { Trend } from '../forecasting/trends.ts';
import type { Charter } from '../protocol/charter.ts';
import type { Decision } from '../protocol/decision.ts';
import { coded, codeOf, type PresageError } from '../protocol/errors.ts';
import type { HistoryRow } from '../protocol/history.ts';
import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import type { Plan } from '../protocol/placement.ts';
import type { DemandClock, Events, Table } from '../protocol/ports.ts';
import type { ReplicaSource } from '../protocol/replica.ts';
import type { Capacities, Summary, Worth } from '../protocol/summary.ts';
import { DemandArchive } from './demand-archive.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { WantedReplica } from './mirror.ts';

export type ForecasterMessage =
  | { readonly type: 'summary'; readonly summary: Summary }
  /** This PoP has closed its window; the others' are on their way. */
  | { readonly type: 'closed'; readonly epoch: number }
  /** A height was decided. */
  | { readonly type: 'decided'; readonly decision: Decision }
  /** A charter has come into force; `hash` is that of its document. */
  | { readonly type: 'charter'; readonly charter: Charter; readonly hash: string }
  | { readonly type: 'requested'; readonly keys: readonly Key16[] }
  | {
      readonly type: 'mirrored';
      readonly key16: Key16;
      readonly size: number;
      readonly source: ReplicaSource;
    }
  | { readonly type: 'released'; readonly key16: Key16 }
  | { readonly type: 'signals'; readonly signals: readonly Signal[] }
  | { readonly type: 'status'; readonly reply: Reply<ForecasterStatus> }
  | { readonly type: 'explain'; readonly key16: Key16; readonly reply: Reply<ForecastExplanation> }
  | { readonly type: 'plan-of'; readonly reply: Reply<MadePlan> }
  | { readonly type: 'training-series'; readonly reply: Reply<readonly Series[]> }
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
    }
  | { readonly type: 'failed'; readonly error: PresageError };

/** One epoch as this PoP saw it. */
export interface EpochRecord {
  readonly epoch: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly summaries: number;
  readonly requests: number;
  readonly resources: number;
  readonly forecasts: number;
  /** What was planned from; `undecided` while the height that it became part of is open. */
  readonly basis: 'agreed' | 'own' | 'undecided';
  readonly decision: Decision | undefined;
  readonly planHash: string | undefined;
  readonly placements: number;
  /** Contents mirrored to this PoP, and their bytes; of these, bytes on RISING reports. */
  readonly pulls: number;
  readonly pulledBytes: number;
  readonly speculativeBytes: number;
  /** From the end of the window to the plan, real ms. */
  readonly tookMs: number;
}

/** The plan in force, without its parts. */
export interface PlanState {
  readonly epoch: number;
  readonly madeAt: number;
  readonly basis: 'agreed' | 'own';
  /** Of the decision, 0 for none. */
  readonly height: number;
  readonly hash: string;
  /** The decision was made under a charter that is not here. */
  readonly charterDiffers: boolean;
}
export interface MadePlan extends PlanState {
  readonly plan: Plan;
}

export interface ForecasterStatus extends MindStatus {
  readonly epochs: readonly EpochRecord[];
  readonly planned: PlanState;
  readonly newest: ReadonlyMap<PopId, Summary>;
}

export interface ForecastExplanation extends MindExplanation {
  readonly planned: PlanState;
}

/** What forecasts time series; in the daemon the pool of worker threads. */
export interface DemandForecaster {
  forecastDemand(batch: readonly DemandHistory[], request: DemandRequest): Promise<readonly DemandForecast[]>;
}

/** A mind that runs elsewhere, and may die there. */
export interface MindHost {
  readonly remote: MindPort;
  readonly died: Promise<never>;
  terminate(): Promise<void>;
}

export interface ForecasterDeps {
  /** A fresh one with every start of the actor. */
  readonly mind: () => MindHost;
  readonly pool: DemandForecaster;
  /** The PoPs now certified. */
  readonly members: () => readonly Member[];
  readonly demand: DemandClock;
  readonly events: Events;
  readonly history: Table<HistoryRow[1]>;
  readonly learned: Table<unknown>;
  readonly accuracy: Table<AccuracyTally>;
  readonly epochMs: number;
  /** Planning horizon of the charter in force, demand ms. */
  readonly horizonMs: () => number;
  /** Level of the upper quantile. */
  readonly level: number;
  capacities(): Capacities;
  /** What mirroring came to since the last epoch, for this PoP's next window. */
  worth(worth: Worth): void;
  /** What this PoP would say is ready to be proposed. */
  ready(): void;
  /** This PoP's share of a new plan. */
  planned(wanted: readonly WantedReplica[], epoch: number): void;
  prefer(preferred: PlanInForce['preferred']): void;
}

/** How long the others' windows are waited for: `T_grace` of the agreement. */
const graceMs = (epochMs: number) => Math.min(2_000, epochMs / 5);
/** Epochs after which a forecast that has not come back is given up. */
const FORECAST_EPOCHS = 3;
const EPOCHS_KEPT = 120;

/** Folds the windows of all PoPs into demand, has it forecast, and puts plans in force, once an epoch. */
export function forecasterSpec(deps: ForecasterDeps): ActorSpec<ForecasterMessage> {
  return {
    name: 'forecaster',
    mailbox: { capacity: 8_192, overflow: 'drop-oldest' },
    create: async (context) => {
      const host = deps.mind();
      const { history, learned, accuracy } = deps;
      const { log, metrics } = context;
      const archive = new DemandArchive({ history, learned, accuracy, log, metrics });
      await archive.restore(host.remote);
      return new Forecaster(host, archive, deps, context);
    },
  };
}

class Forecaster implements Behaviour<ForecasterMessage> {
  readonly #host: MindHost;
  readonly #mind: MindPort;
  readonly #archive: DemandArchive;
  readonly #deps: ForecasterDeps;
  readonly #context: ActorContext<ForecasterMessage>;
  readonly #epochs: EpochRecord[] = [];
  readonly #newest = new Map<PopId, Summary>();
  /** Monotonic ms since when series are with the workers. */
  #forecastingSince: number | undefined;
  #planned: PlanState;
  #pulls = { pulls: 0, pulledBytes: 0, speculativeBytes: 0 };
  #summaries = 0;
  #requests = 0;
  #startedAt: number;
  /** Monotonic ms at which the windows of the last epochs ended. */
  readonly #closedAt = new Map<number, number>();
  #stopped = false;

  constructor(
    host: MindHost,
    archive: DemandArchive,
    deps: ForecasterDeps,
    context: ActorContext<ForecasterMessage>,
  ) {
    this.#host = host;
    this.#mind = host.remote;
    this.#archive = archive;
    this.#deps = deps;
    this.#context = context;
    this.#startedAt = Math.floor(deps.demand.now());
    this.#planned = { epoch: 0, madeAt: 0, basis: 'own', height: 0, hash: '', charterDiffers: false };
    host.died.catch((error: unknown) => this.#fail(error));
  }

  receive(message: ForecasterMessage): void | Promise<void> {
    const mind = this.#mind;
    switch (message.type) {
      case 'summary':
        this.#fold(message.summary);
        return;
      case 'closed':
        this.#closedAt.set(message.epoch, this.#context.clock.monotonic());
        if (this.#closedAt.size > EPOCHS_KEPT) this.#closedAt.delete([...this.#closedAt.keys()][0] ?? 0);
        this.#context.schedule(graceMs(this.#deps.epochMs), { type: 'plan', epoch: message.epoch });
        return;
      case 'plan':
        return this.#forecast(message.epoch);
      case 'forecasted':
        return this.#prepare(message.epoch, message.now, message.forecasts);
      case 'decided':
        return this.#decided(message.decision);
      case 'charter':
        this.#send(mind.setCharter(message.charter, message.hash));
        return;
      case 'requested':
        this.#send(mind.requested(message.keys));
        return;
      case 'mirrored':
        this.#send(mind.mirrored(message.key16, message.size, this.#deps.demand.now()));
        this.#pulls.pulls += 1;
        this.#pulls.pulledBytes += message.size;
        if (message.source === 'speculative') this.#pulls.speculativeBytes += message.size;
        return;
      case 'released':
        this.#send(mind.released(message.key16));
        return;
      case 'signals':
        this.#send(mind.signalled(message.signals, this.#deps.demand.now()));
        return;
      case 'training-series':
        this.#answer(message.reply, mind.trainingSeries(this.#deps.demand.now()), (series) => series);
        return;
      case 'status':
        this.#answer(message.reply, mind.status(), (status) => ({
          ...{ ...status, epochs: [...this.#epochs], planned: this.#planned, newest: new Map(this.#newest) },
        }));
        return;
      case 'explain':
        this.#answer(message.reply, mind.explain(message.key16, this.#deps.demand.now()), (explanation) => ({
          ...{ ...explanation, planned: this.#planned },
        }));
        return;
      case 'plan-of':
        this.#answer(message.reply, mind.planNow(), (plan) => ({ ...this.#planned, plan }));
        return;
      case 'trending':
        this.#answer(message.reply, mind.trending(message.limit, message.region), (trends) => trends);
        return;
      case 'failed':
        throw message.error;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#archive.save(this.#mind, true);
    await this.#host.terminate();
  }

  /** Questions do not hold up what comes after them. */
  #answer<A, B>(reply: Reply<B>, asked: Promise<A>, shape: (answer: A) => B): void {
    asked.then(
      (answer) => reply.ok(shape(answer)),
      (error: unknown) => reply.fail(coded(error, 'WORKER_FAILED')),
    );
  }

  /** News for the mind, in order; nobody waits for it. */
  #send(sent: Promise<unknown>): void {
    sent.catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#context.self.tell({ type: 'failed', error: coded(error, 'WORKER_FAILED') });
  }

  #fold(summary: Summary): void {
    const folded = this.#mind.fold(summary).then((risen) => {
      if (risen === undefined) return;
      this.#summaries += 1;
      this.#requests += summary.requests;
      this.#newest.set(summary.pop, summary);
      for (const { key16, region, perMinute, usualPerMinute } of risen) {
        this.#deps.events.emit('trend', { key16, region, perMinute, usualPerMinute });
      }
    });
    this.#send(folded);
  }

  /**
   * Has the established series forecast; the proposal follows when that is done. Meanwhile this actor folds windows
   * and answers questions. Without forecasts the plan stands on arrivals alone.
   */
  async #forecast(epoch: number): Promise<void> {
    // A forecast that takes longer than an epoch is not overtaken by the next: its plan is still newer than none.
    const { clock } = this.#context;
    const busySince = this.#forecastingSince;
    if (busySince !== undefined && clock.monotonic() - busySince < FORECAST_EPOCHS * this.#deps.epochMs)
      return;
    this.#forecastingSince = clock.monotonic();
    const { pool, epochMs, demand, level } = this.#deps;
    const horizonMs = this.#deps.horizonMs();
    const now = Math.floor(demand.now());
    const done = (forecasts: readonly DemandForecast[]) =>
      void this.#context.self.tell({ type: 'forecasted', epoch, now, forecasts });
    const packed = await this.#mind.packedSeries(now);
    if (packed.ids.length === 0) {
      done([]);
      return;
    }
    pool
      .forecastDemand(unpackDemand(packed), { now, windowMs: epochMs * demand.speed, horizonMs, level })
      .then(done, (error: unknown) => {
        this.#context.metrics.count('errors_total', { code: codeOf(error) });
        this.#context.log.warn('no forecasts this epoch', { code: codeOf(error) });
        done([]);
      });
  }

  async #prepare(epoch: number, now: number, forecasts: readonly DemandForecast[]): Promise<void> {
    const { epochMs, demand, members, capacities } = this.#deps;
    const { clock, metrics } = this.#context;
    this.#forecastingSince = undefined;
    const prepared = await this.#mind.prepare(
      {
        ...{ epoch, now, at: Math.floor(clock.now()), members: members(), capacities: capacities() },
        window: demand.at(epoch * epochMs),
        windowMs: Math.floor(epochMs * demand.speed),
      },
      forecasts,
    );
    this.#deps.worth(prepared.worth);
    metrics.gauge('model_trust', prepared.trust / 1000);
    this.#record(epoch, now, prepared);
    if (prepared.plan) this.#enforce(prepared.plan, undefined);
    this.#deps.ready();
    await this.#archive.save(this.#mind);
  }

  async #decided(decision: Decision): Promise<void> {
    const plan = await this.#mind.planAgreed();
    this.#deps.events.emit('decision', {
      ...{ height: decision.height, hash: decision.hash, stateHash: decision.stateHash },
      // A later height may have been decided meanwhile: its plan is its own.
      planHash: plan?.height === decision.height ? plan.hash : null,
      included: decision.included,
      members: decision.roster.length,
      jumped: decision.jumped,
      again: decision.again,
    });
    if (plan?.height === decision.height) this.#enforce(plan, decision);
  }

  #record(epoch: number, now: number, { resources, forecasts }: Prepared): void {
    this.#epochs.push({
      ...{ epoch, startedAt: this.#startedAt, endedAt: now, resources, forecasts },
      ...{ summaries: this.#summaries, requests: this.#requests, ...this.#pulls },
      ...{ basis: 'undecided', decision: undefined, planHash: undefined, placements: 0, tookMs: 0 },
    });
    if (this.#epochs.length > EPOCHS_KEPT) this.#epochs.shift();
    this.#startedAt = now;
    this.#pulls = { pulls: 0, pulledBytes: 0, speculativeBytes: 0 };
    this.#summaries = 0;
    this.#requests = 0;
  }

  #enforce(plan: PlanInForce, decision: Decision | undefined): void {
    const { basis, height, hash, placements, wanted, preferred, charterDiffers } = plan;
    const { metrics, clock } = this.#context;
    const madeAt = Math.floor(this.#deps.demand.now());
    const at = this.#epochs.findLastIndex((one) => one.epoch === plan.epoch);
    const known = this.#epochs[at];
    const epoch = plan.epoch ?? this.#epochs.at(-1)?.epoch ?? 0;
    this.#planned = { epoch, madeAt, basis, height, hash, charterDiffers };
    this.#deps.planned(wanted, epoch);
    this.#deps.prefer(preferred);
    metrics.gauge('plan_placements', placements);
    if (known?.basis !== 'undecided') return;
    const tookMs = clock.monotonic() - (this.#closedAt.get(epoch) ?? clock.monotonic());
    metrics.observe('epoch_seconds', tookMs / 1000);
    const record = { ...known, basis, decision, planHash: hash, placements, tookMs };
    this.#epochs[at] = record;
    const { decision: _, ...told } = record;
    this.#deps.events.emit('epoch', { ...told, height, wanted: wanted.length });
  }
}
