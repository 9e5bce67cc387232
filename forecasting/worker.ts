import { parentPort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { type DemandForecast, type DemandRequest, forecastDemand } from './demand.ts';
import { type PackedDemand, type PackedSeries, unpackDemand, unpackSeries } from './packing.ts';
import { predictSeries } from './prediction.ts';
import { SeasonalMemo } from './seasonal-outlook.ts';
import type { ForecastRequest, SeriesForecast } from './series.ts';

/** What a worker thread does, called through comlink. Batches are kept small by the pool, which waits for each. */
export interface ForecastWorker {
  forecastDemand(batch: PackedDemand, request: DemandRequest): DemandForecast[];
  predict(batch: PackedSeries, request: ForecastRequest): SeriesForecast[];
}

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
};

if (parentPort !== null) Comlink.expose(worker, nodeEndpoint(parentPort));
