import { codeOf } from '../protocol/errors.ts';
import type { Clock, Log, Metrics, Random, Table } from '../protocol/ports.ts';
import { type KeptNetwork, openNetwork, sealNetwork } from './kept-network.ts';
import { type NetworkTrial, TRIAL_HOURS } from './network-trial.ts';
import type { ForecastPool } from './pool.ts';
import type { Series } from './series.ts';
import { busiest } from './training-series.ts';

export interface RecurrentKeeperOptions {
  /** Demand ms between trainings; a day by default, for that much is new to learn then. */
  readonly everyMs?: number;
  /** Series that a training needs. */
  readonly seriesLeast?: number;
  /** Windows that a training draws, see `ForecastPool.train`. */
  readonly windows?: number;
}

export interface RecurrentKeeperDeps {
  readonly pool: Pick<ForecastPool, 'train' | 'tryNetwork' | 'adopt'>;
  /** Hourly series to learn from, as `trainingSeries` gives them; asked for only when a training is due. */
  series(now: number): readonly Series[] | Promise<readonly Series[]>;
  /** Where the network is kept, in the row `network`. */
  readonly table: Pick<Table<unknown>, 'get' | 'put'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** For `status` and `accuracy`. */
export interface RecurrentStatus {
  readonly state: 'none' | 'in-use' | 'training';
  /** Demand time of the training of the network in use, ms. */
  readonly trainedAt: number | undefined;
  /** What it added on hours that it had not seen. */
  readonly trial: NetworkTrial | undefined;
  /** Trainings since the start that were adopted, and that were not worth it. */
  readonly adopted: number;
  readonly refused: number;
  readonly failed: number;
}

const KEY = 'network';
const DAY_MS = 86_400_000;
/** Fewer series than this teach the network their quirks. */
const SERIES_LEAST = 24;
/** Series of the trial: some seconds of one core. */
const TRIAL_SERIES_MAX = 256;
/** Real ms between attempts, whatever the speed of demand time: a training takes a core for ten seconds. */
const REST_MS = 3_600_000;
/** Where there is too little to learn from, it is looked again after this share of the time between trainings. */
const SOONER = 1 / 24;
/** A network must lower the error on what it has not seen by this share. */
const GAIN = 0.002;

/**
 * Keeps the network that is trained across series: adopts the one on disk at the start, has a new one trained in the
 * background when there is enough to learn from, tries it on a day that it has not seen, and adopts and keeps it only
 * if the forecasts were better with it. Nothing here fails or waits for a training: forecasts go on without.
 */
export class RecurrentKeeper {
  readonly #deps: RecurrentKeeperDeps;
  readonly #everyMs: number;
  readonly #seriesLeast: number;
  readonly #windows: number | undefined;
  readonly #closing = new AbortController();
  #kept: KeptNetwork | undefined;
  #attemptAt: number | undefined;
  #attemptedAt: number | undefined;
  #training: Promise<void> | undefined;
  #outcomes = { adopted: 0, refused: 0, failed: 0 };

  private constructor(deps: RecurrentKeeperDeps, options: RecurrentKeeperOptions) {
    this.#deps = deps;
    this.#everyMs = options.everyMs ?? DAY_MS;
    this.#seriesLeast = options.seriesLeast ?? SERIES_LEAST;
    this.#windows = options.windows;
  }

  /** Adopts the network on disk, if there is one that is whole. Never fails. */
  static async open(
    deps: RecurrentKeeperDeps,
    options: RecurrentKeeperOptions = {},
  ): Promise<RecurrentKeeper> {
    const keeper = new RecurrentKeeper(deps, options);
    await keeper.#restore();
    return keeper;
  }

  get status(): RecurrentStatus {
    const state = this.#training !== undefined ? 'training' : this.#kept !== undefined ? 'in-use' : 'none';
    return { state, trainedAt: this.#kept?.trainedAt, trial: this.#kept?.trial, ...this.#outcomes };
  }

  /**
   * To be called once an epoch, after its forecasts: begins a training if one is due, and returns at once.
   *
   * @param now demand time, ms
   */
  consider(now: number): void {
    if (this.#training !== undefined || this.#closing.signal.aborted) return;
    const real = this.#deps.clock.monotonic();
    const last = this.#attemptAt ?? this.#kept?.trainedAt;
    if (last !== undefined && now >= last && now - last < this.#everyMs) return;
    if (this.#attemptedAt !== undefined && real - this.#attemptedAt < Math.min(REST_MS, this.#everyMs))
      return;
    this.#attemptAt = now;
    this.#attemptedAt = real;
    this.#training = this.#train(now).finally(() => {
      this.#training = undefined;
    });
  }

  /** Resolves when no training is under way. */
  async settled(): Promise<void> {
    await this.#training;
  }

  /** Calls a training off; what is kept stays. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#training;
  }

  async #train(now: number): Promise<void> {
    const { pool, table, log, metrics, random } = this.#deps;
    const { signal } = this.#closing;
    try {
      const series = busiest(await this.#deps.series(now));
      if (series.length < this.#seriesLeast) {
        this.#attemptAt = now - this.#everyMs * (1 - SOONER);
        return;
      }
      if (signal.aborted) return;
      const seen = series.map((one) => ({ ...one, values: one.values.slice(0, -TRIAL_HOURS) }));
      const parameters = await pool.train(seen, {
        seed: random.uint32(),
        signal,
        ...(this.#windows === undefined ? {} : { windows: this.#windows }),
      });
      const trial = await pool.tryNetwork(series.slice(0, TRIAL_SERIES_MAX), parameters, { signal });
      const worth = trial.series > 0 && trial.with < (1 - GAIN) * trial.without;
      metrics.count('network_trainings_total', { outcome: worth ? 'adopted' : 'refused' });
      log.info(worth ? 'a network was trained and is in use' : 'a network was trained and is not worth it', {
        ...{ learnedFrom: series.length, triedOn: trial.series },
        ...{ errorWithout: trial.without, errorWith: trial.with },
      });
      if (!worth) {
        this.#outcomes.refused += 1;
        return;
      }
      pool.adopt(parameters);
      this.#kept = { parameters, trainedAt: now, trial };
      this.#outcomes.adopted += 1;
      await table.put(KEY, sealNetwork(this.#kept), { sync: true });
    } catch (error) {
      if (signal.aborted) return;
      this.#outcomes.failed += 1;
      metrics.count('network_trainings_total', { outcome: 'failed' });
      metrics.count('errors_total', { code: codeOf(error) });
      log.warn('a training did not come to its end', { code: codeOf(error) });
    }
  }

  async #restore(): Promise<void> {
    const { table, pool, log, metrics } = this.#deps;
    try {
      const bytes = await table.get(KEY);
      if (bytes === undefined) return;
      const kept = openNetwork(bytes);
      if (kept === undefined) {
        metrics.count('errors_total', { code: 'STORE_CORRUPT' });
        log.warn('the network on disk is damaged, or of another edition; it is trained anew');
        return;
      }
      pool.adopt(kept.parameters);
      this.#kept = kept;
    } catch (error) {
      metrics.count('errors_total', { code: codeOf(error) });
      log.warn('the network on disk could not be read', { code: codeOf(error) });
    }
  }
}
