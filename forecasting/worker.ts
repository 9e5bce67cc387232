import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { seededRandom } from '../protocol/random.ts';
import { type DemandForecast, type DemandRequest, forecastDemand } from './demand.ts';
import { type NetworkTrial, tryNetwork } from './network-trial.ts';
import { type PackedDemand, type PackedSeries, unpackDemand, unpackSeries } from './packing.ts';
import { predictSeries } from './prediction.ts';
import { freshNetwork, type TrainingOptions, trainNetwork } from './recurrent-training.ts';
import { count } from './ring.ts';
import { SeasonalMemo } from './seasonal-outlook.ts';
import type { ForecastRequest, SeriesForecast } from './series.ts';

/** What a worker thread does, called through comlink. Batches are kept small by the pool, which waits for each. */
export interface ForecastWorker {
  forecastDemand(batch: PackedDemand, request: DemandRequest): DemandForecast[];
  predict(batch: PackedSeries, request: ForecastRequest): SeriesForecast[];
  /** Trains a network on hourly series, from `initial` or afresh; takes seconds, so it has a thread of its own. */
  train(batch: PackedSeries, options: NetworkTraining, initial?: Float64Array): Float64Array;
  /** What a network adds to the forecasts of the last day of each series. */
  tryNetwork(batch: PackedSeries, network: Float64Array): NetworkTrial;
}

export interface NetworkTraining extends TrainingOptions {
  readonly seed: number;
}

const LEAST_PRIORITY = 19;

const memo = new SeasonalMemo();

const worker: ForecastWorker = {
  forecastDemand: (batch, request) =>
    unpackDemand(batch).map((history) => forecastDemand(history, request, memo)),
  predict(batch, request) {
    const forecasts = unpackSeries(batch).map((series) => predictSeries(series, request));
    return Comlink.transfer(
      forecasts,
      forecasts.flatMap(({ mean, lower, upper }) =>
        [mean, lower, upper].map((row) => row.buffer as ArrayBuffer),
      ),
    );
  },
  train(batch, options, initial) {
    yieldProcessor();
    const random = seededRandom(options.seed);
    const series = unpackSeries(batch).map(({ values }) => Float64Array.from(values, count));
    return trainNetwork(initial ?? freshNetwork(random), series, options, random);
  },
  tryNetwork(batch, network) {
    yieldProcessor();
    return tryNetwork(unpackSeries(batch), network);
  },
};

/** Training gives way to everything else. On Linux a thread has a priority of its own; elsewhere all would have it. */
function yieldProcessor(): void {
  if (process.platform === 'linux') setPriority(0, LEAST_PRIORITY);
}

if (parentPort !== null) Comlink.expose(worker, nodeEndpoint(parentPort));
