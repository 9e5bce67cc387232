import { PresageError } from '../protocol/errors.ts';
import type { Clock, Log, Metrics } from '../protocol/ports.ts';
import { type Remote, startThread, type Thread } from './endpoint.ts';
import type { ForecastWorker } from './worker.ts';

/** Heap of one worker: series come in small batches, and the memo of curves is bounded. */
const HEAP_MB = 512;
/** A batch that takes longer than this has hung its worker, which is then replaced. */
const BATCH_MS_MAX = 30_000;
/** A batch whose worker died so often is taken for the cause and not tried again. */
const TRIES_MAX = 2;

/** Work for a worker: runs against its remote interface, and must bring no state of its own, for it may run twice. */
export interface Batch<T> {
  /** Asked before the batch starts; a batch that nobody waits for is dropped. */
  wanted(): boolean;
  run(worker: Remote<ForecastWorker>): Promise<T>;
  done(result: T): void;
  failed(error: PresageError): void;
}

export interface LaneDependencies {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** One worker thread and its queue. The thread starts with the first batch; one that dies is replaced by a new one. */
export class Lane {
  readonly #dependencies: LaneDependencies;
  readonly #queue: Batch<unknown>[] = [];
  #thread: Thread<ForecastWorker> | undefined;
  readonly #batchMs: number;
  #busy = false;
  #closed = false;
  #restarts = 0;

  /** `batchMs` bounds one batch; a worker that takes longer is replaced. */
  constructor(dependencies: LaneDependencies, batchMs = BATCH_MS_MAX) {
    this.#batchMs = batchMs;
    this.#dependencies = dependencies;
  }

  get alive(): boolean {
    return this.#thread !== undefined;
  }

  get restarts(): number {
    return this.#restarts;
  }

  add<T>(batch: Batch<T>): void {
    if (this.#closed) {
      batch.failed(new PresageError('CANCELLED', 'the forecast pool is closed'));
      return;
    }
    this.#queue.push(batch as Batch<unknown>);
    void this.#drain();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const batch of this.#queue.splice(0)) {
      batch.failed(new PresageError('CANCELLED', 'the forecast pool was closed'));
    }
    await this.#thread?.terminate();
  }

  /** Ends the thread as a crash would; the batch under way is redone. */
  async terminate(): Promise<void> {
    await this.#thread?.terminate();
  }

  async #drain(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let batch = this.#queue.shift(); batch !== undefined; batch = this.#queue.shift()) {
      if (batch.wanted()) await this.#carryOut(batch);
    }
    this.#busy = false;
  }

  async #carryOut(batch: Batch<unknown>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (this.#closed) {
        batch.failed(new PresageError('CANCELLED', 'the forecast pool was closed'));
        return;
      }
      try {
        batch.done(await this.#attempt(batch));
        return;
      } catch (error) {
        if (this.#closed) continue;
        const failure =
          error instanceof PresageError
            ? error
            : new PresageError(
                'WORKER_FAILED',
                error instanceof Error ? error.message : String(error),
                {},
                error,
              );
        this.#dependencies.metrics.count('presage_forecast_batch_failures_total');
        if (attempt >= TRIES_MAX) {
          this.#dependencies.log.error('forecast batch given up', {
            code: failure.code,
            reason: failure.message,
          });
          batch.failed(failure);
          return;
        }
        this.#dependencies.log.warn('forecast batch is redone', {
          code: failure.code,
          reason: failure.message,
        });
      }
    }
  }

  async #attempt(batch: Batch<unknown>): Promise<unknown> {
    this.#thread ??= this.#start();
    const { remote, terminate } = this.#thread;
    // A hung worker is ended; its death then fails the call.
    const cancel = this.#dependencies.clock.after(this.#batchMs, () => void terminate());
    try {
      return await batch.run(remote);
    } finally {
      cancel();
    }
  }

  #start(): Thread<ForecastWorker> {
    const thread = startThread<ForecastWorker>('worker', { heapMb: HEAP_MB });
    thread.died.catch(() => {
      if (this.#thread === thread) this.#thread = undefined;
      if (this.#closed) return;
      this.#restarts++;
      this.#dependencies.metrics.count('presage_forecast_worker_deaths_total');
    });
    return thread;
  }
}
