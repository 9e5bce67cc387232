import * as Comlink from 'comlink';
import { PresageError } from '../protocol/errors.ts';
import { cheapForecast, type DemandForecast, type DemandHistory, type DemandRequest } from './demand.ts';
import type { Remote } from './endpoint.ts';
import { Lane, type LaneDependencies } from './lane.ts';
import { PARAMETERS } from './models/recurrent.ts';
import type { NetworkTrial } from './network-trial.ts';
import { packDemand, packSeries } from './packing.ts';
import { cheapPrediction } from './prediction.ts';
import { TRAINING_LENGTH, TRAINING_SEASONS } from './recurrent-training.ts';
import type { ForecastRequest, Series, SeriesForecast } from './series.ts';
import { shardOf } from './shard.ts';
import type { ForecastWorker } from './worker.ts';

export interface PoolOptions {
  /** Worker threads. */
  readonly workers: number;
  /** Series handed to a worker at once: what is lost with a crash, and how finely a call can be cut off. */
  readonly batch?: number;
  /** Deadline of calls that name none, real ms; by default there is none. An epoch's length suits the daemon. */
  readonly deadlineMs?: number;
}

export interface CallLimits {
  /** Real ms after which series not yet forecast get a cheap answer (last value, seasonal naive). */
  readonly deadlineMs?: number;
  /** Calls the work off; the promise fails with `CANCELLED`. */
  readonly signal?: AbortSignal;
}

/** What the pool is doing, for `status`. */
export interface PoolProgress {
  readonly workers: number;
  readonly running: number;
  readonly restarts: number;
  /** Series asked for and not yet answered. */
  readonly pending: number;
  /** Series answered since the start; `cheap` of them by the fallback. */
  readonly done: number;
  readonly cheap: number;
  /** Duration of the last call. */
  readonly lastMs: number;
  /** Whether a network is being trained, and whether one is in use. */
  readonly training: boolean;
  readonly network: boolean;
}

const BATCH = 64;
/** Series under way at once; further calls wait their turn, so that histories are not copied twice over. */
const PENDING_MAX = 65_536;
/** Calls that may wait; above it the caller is told `MAILBOX_FULL`. */
const WAITING_MAX = 32;
/** Some eight seconds of one core; more windows gain little on M4. */
const TRAINING_WINDOWS = 16_000;
/** A training that takes longer hangs. */
const TRAINING_MS_MAX = 600_000;

/**
 * Worker threads that forecast. A series always goes to the same worker, by hash of its id. Threads start with the
 * first call and not before. A worker that dies is replaced and its batch redone; a batch that kills twice, and what
 * is not ready at the deadline, is answered by the cheap fallback.
 */
export class ForecastPool {
  readonly #lanes: readonly Lane[];
  readonly #batch: number;
  readonly #deadlineMs: number | undefined;
  readonly #dependencies: LaneDependencies;
  readonly #waiting: (() => void)[] = [];
  #pending = 0;
  #done = 0;
  #cheap = 0;
  #lastMs = 0;
  #closed = false;
  #training: Lane | undefined;
  #network: Float64Array | undefined;

  constructor(options: PoolOptions, dependencies: LaneDependencies) {
    const workers = Math.max(1, Math.trunc(options.workers));
    this.#lanes = Array.from({ length: workers }, () => new Lane(dependencies));
    this.#batch = Math.max(1, Math.trunc(options.batch ?? BATCH));
    this.#deadlineMs = options.deadlineMs;
    this.#dependencies = dependencies;
  }

  /** Forecasts of demand, in the order of the batch. Fails with `CANCELLED` or `MAILBOX_FULL`. */
  forecastDemand(
    batch: readonly DemandHistory[],
    request: DemandRequest,
    limits: CallLimits = {},
  ): Promise<DemandForecast[]> {
    return this.#call<DemandHistory, DemandForecast>(batch, limits, {
      run: (worker, part) => {
        const packed = packDemand(part);
        return worker.forecastDemand(
          Comlink.transfer(packed, [packed.heads.buffer, packed.cells.buffer]),
          this.#network === undefined ? request : { network: this.#network, ...request },
        );
      },
      cheap: (history) => cheapForecast(history, request),
    });
  }

  /** Forecasts of whole series, in order. Fails with `CANCELLED` or `MAILBOX_FULL`. */
  predict(
    batch: readonly Series[],
    request: ForecastRequest,
    limits: CallLimits = {},
  ): Promise<SeriesForecast[]> {
    return this.#call<Series, SeriesForecast>(batch, limits, {
      run: (worker, part) => {
        const packed = packSeries(part);
        return worker.predict(Comlink.transfer(packed, [packed.heads.buffer, packed.cells.buffer]), request);
      },
      cheap: (series) => cheapPrediction(series, request),
    });
  }

  /**
   * Trains the network on hourly series (`TRAINING_HOURS_MIN` values and more) in a thread of its own, from the adopted
   * one or afresh, and hands its parameters back; they are not used before they are adopted. One training at a time.
   * The same series and seed give the same parameters. Fails with `MAILBOX_FULL`, `CANCELLED` or `WORKER_FAILED`.
   */
  train(
    series: readonly Series[],
    { seed, windows = TRAINING_WINDOWS, signal }: { seed: number; windows?: number; signal?: AbortSignal },
  ): Promise<Float64Array> {
    const options = { seasons: TRAINING_SEASONS, windows, length: TRAINING_LENGTH, seed };
    return this.#apart(signal, (worker) => {
      const packed = packSeries(series);
      return worker.train(
        Comlink.transfer(packed, [packed.heads.buffer, packed.cells.buffer]),
        options,
        this.#network,
      );
    });
  }

  /** What a network adds to the forecasts of the last day of hourly series; a thread and failures as for `train`. */
  tryNetwork(
    series: readonly Series[],
    network: Float64Array,
    { signal }: Pick<CallLimits, 'signal'> = {},
  ): Promise<NetworkTrial> {
    return this.#apart(signal, (worker) => {
      const packed = packSeries(series);
      return worker.tryNetwork(Comlink.transfer(packed, [packed.heads.buffer, packed.cells.buffer]), network);
    });
  }

  /** Uses a trained network from the next call on, as it came from `train` or was kept from an earlier life. */
  adopt(network: Float64Array): void {
    if (network.length !== PARAMETERS || !network.every(Number.isFinite)) {
      throw new PresageError('INPUT_MALFORMED', 'not the parameters of this network');
    }
    this.#network = network.slice();
  }

  progress(): PoolProgress {
    return {
      workers: this.#lanes.length,
      running: this.#lanes.filter((lane) => lane.alive).length,
      restarts: this.#lanes.reduce((sum, lane) => sum + lane.restarts, 0),
      pending: this.#pending,
      done: this.#done,
      cheap: this.#cheap,
      lastMs: this.#lastMs,
      training: this.#training !== undefined,
      network: this.#network !== undefined,
    };
  }

  /** Ends the threads; calls under way fail with `CANCELLED`. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const proceed of this.#waiting.splice(0)) proceed();
    await Promise.all(
      [...this.#lanes, ...(this.#training ? [this.#training] : [])].map((lane) => lane.close()),
    );
  }

  /** Ends one worker as a crash would, for tests and drills. */
  async killWorker(index: number): Promise<void> {
    await this.#lanes[index]?.terminate();
  }

  /** Long work in a thread of its own, which ends with it. One at a time. */
  async #apart<T>(
    signal: AbortSignal | undefined,
    run: (worker: Remote<ForecastWorker>) => Promise<T>,
  ): Promise<T> {
    if (this.#closed || signal?.aborted) throw new PresageError('CANCELLED', 'the training was called off');
    if (this.#training !== undefined) throw new PresageError('MAILBOX_FULL', 'a training is under way');
    const lane = new Lane(this.#dependencies, TRAINING_MS_MAX);
    this.#training = lane;
    const abort = () => void lane.close();
    signal?.addEventListener('abort', abort);
    try {
      return await new Promise<T>((resolve, reject) => {
        lane.add<T>({ wanted: () => true, run, done: resolve, failed: reject });
      });
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#training = undefined;
      await lane.close();
    }
  }

  async #call<In extends { readonly id: string }, Out>(
    items: readonly In[],
    limits: CallLimits,
    work: Work<In, Out>,
  ): Promise<Out[]> {
    if (items.length === 0) return [];
    await this.#room(items.length, limits.signal);
    const { clock, metrics } = this.#dependencies;
    const started = clock.monotonic();
    this.#pending += items.length;
    try {
      const out = await this.#spread(items, limits, work);
      this.#done += items.length;
      return out;
    } finally {
      this.#pending -= items.length;
      this.#lastMs = clock.monotonic() - started;
      metrics.observe('presage_forecast_call_seconds', this.#lastMs / 1000);
      metrics.gauge('presage_forecast_pending', this.#pending);
      this.#waiting.shift()?.();
    }
  }

  /** Cuts a call into batches by shard, and gathers what comes back until all is there or the deadline passes. */
  #spread<In extends { readonly id: string }, Out>(
    items: readonly In[],
    { deadlineMs = this.#deadlineMs, signal }: CallLimits,
    work: Work<In, Out>,
  ): Promise<Out[]> {
    const shards: number[][] = this.#lanes.map(() => []);
    items.forEach((item, i) => {
      shards[shardOf(item.id, this.#lanes.length)]!.push(i);
    });
    return new Promise<Out[]>((resolve, reject) => {
      const out: (Out | undefined)[] = new Array<undefined>(items.length).fill(undefined);
      let left = items.length;
      let settled = false;
      let cancelDeadline = (): void => undefined;
      const settle = (finish: () => void) => {
        if (settled) return;
        settled = true;
        cancelDeadline();
        signal?.removeEventListener('abort', abort);
        finish();
      };
      const finish = () =>
        settle(() => {
          let cheap = 0;
          const answers = out.map((answer, i) => {
            if (answer !== undefined) return answer;
            cheap++;
            return work.cheap(items[i]!);
          });
          this.#cheap += cheap;
          if (cheap > 0) this.#dependencies.metrics.count('presage_forecast_cheap_total', {}, cheap);
          resolve(answers);
        });
      const abort = () => settle(() => reject(new PresageError('CANCELLED', 'the forecast was called off')));
      signal?.addEventListener('abort', abort);
      if (deadlineMs !== undefined) cancelDeadline = this.#dependencies.clock.after(deadlineMs, finish);
      if (signal?.aborted) abort();
      shards.forEach((shard, lane) => {
        for (let from = 0; from < shard.length; from += this.#batch) {
          const indices = shard.slice(from, from + this.#batch);
          this.#lanes[lane]!.add<Out[]>({
            wanted: () => !settled,
            run: (worker) =>
              work.run(
                worker,
                indices.map((i) => items[i]!),
              ),
            done: (answers) => {
              indices.forEach((i, k) => {
                out[i] = answers[k];
              });
              left -= indices.length;
              if (left === 0) finish();
            },
            failed: (error) => {
              if (error.code === 'CANCELLED') settle(() => reject(error));
              left -= indices.length;
              if (left === 0) finish();
            },
          });
        }
      });
    });
  }

  async #room(wanted: number, signal: AbortSignal | undefined): Promise<void> {
    while (!this.#closed && this.#pending > 0 && this.#pending + wanted > PENDING_MAX) {
      if (this.#waiting.length >= WAITING_MAX) {
        throw new PresageError('MAILBOX_FULL', 'too many forecasts wait for a worker');
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (signal?.aborted) {
        this.#waiting.shift()?.();
        break;
      }
    }
    if (this.#closed) throw new PresageError('CANCELLED', 'the forecast pool is closed');
    if (signal?.aborted) throw new PresageError('CANCELLED', 'the forecast was called off');
  }
}

/** One kind of call: how a worker does it, and what stands in for it. */
interface Work<In, Out> {
  run(worker: Remote<ForecastWorker>, part: readonly In[]): Promise<Out[]>;
  cheap(item: In): Out;
}
