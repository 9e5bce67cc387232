import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openNetwork, sealNetwork } from '../../../forecasting/kept-network.ts';
import { ForecastPool } from '../../../forecasting/pool.ts';
import { RecurrentKeeper, type RecurrentKeeperOptions } from '../../../forecasting/recurrent-keeper.ts';
import { freshNetwork } from '../../../forecasting/recurrent-training.ts';
import type { Series } from '../../../forecasting/series.ts';
import { systemClock } from '../../../node/adapters/clock.ts';
import { openLevel } from '../../../node/adapters/level.ts';
import { LEARNED } from '../../../node/store.ts';
import type { Database, Log } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';

const warnings: string[] = [];
const log: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => warnings.push(message),
  error: (message) => warnings.push(message),
  child: () => log,
};
const metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined };
const HOUR = 3_600_000;
const NOW = 400 * HOUR;

/** Counts that follow a rule (the logistic map) of which no linear model has a notion. */
const ruled = (): Series[] =>
  Array.from({ length: 24 }, (_, i) => {
    let x = 0.3 + 0.01 * i;
    const values = Float64Array.from({ length: 336 }, () => {
      x = 3.6 * x * (1 - x);
      return Math.round(1000 * (0.3 + x));
    });
    return { id: `series ${i}`, startMs: 0, stepMs: HOUR, values };
  });

let directory = '';
let database: Database;
const pools: ForecastPool[] = [];
const keepers: RecurrentKeeper[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'presage-network-'));
  database = await openLevel(directory, { log, metrics });
});
afterEach(async () => {
  await Promise.all(keepers.splice(0).map((keeper) => keeper.close()));
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
  await database.close();
  await rm(directory, { recursive: true });
});

async function life(series = ruled(), options: RecurrentKeeperOptions = { windows: 1_600 }) {
  const pool = new ForecastPool({ workers: 1 }, { log, metrics, clock: systemClock });
  const table = database.table(LEARNED);
  const keeper = await RecurrentKeeper.open(
    { pool, table, series: () => series, clock: systemClock, random: seededRandom(1), log, metrics },
    options,
  );
  pools.push(pool);
  keepers.push(keeper);
  return { pool, keeper, table };
}

describe('the network that is kept', () => {
  it('is trained in a worker, proves itself, is kept, and is in use again after a restart', async () => {
    const first = await life();
    expect(first.keeper.status.state).toBe('none');
    first.keeper.consider(NOW);
    expect(first.keeper.status.state).toBe('training');
    // Forecasts go on meanwhile.
    const [series] = ruled();
    const [forecast] = await first.pool.predict([series!], { horizon: 2, seasons: [24], level: 0.9 });
    expect(forecast?.mean).toHaveLength(2);
    await first.keeper.settled();
    const { status } = first.keeper;
    expect(status).toMatchObject({ state: 'in-use', trainedAt: NOW, adopted: 1 });
    expect(status.trial?.with).toBeLessThan(0.7 * (status.trial?.without ?? 0));
    expect(first.pool.progress().network).toBe(true);
    // It takes part where it has earned it: in series that follow the rule, and not in a plain daily curve.
    const empty = { start: 336 * HOUR, stepMs: 60_000, values: [] };
    const curve = Float64Array.from({ length: 336 }, (_, t) => 1000 + 300 * Math.sin((t / 12) * Math.PI));
    const histories = [
      ...ruled()
        .slice(0, 4)
        .map(({ values }) => values),
      curve,
    ].map((values, i) => ({
      ...{ id: `history ${i}`, minute: empty, ten: empty },
      hour: { start: 0, stepMs: HOUR, values },
    }));
    const request = { now: 336 * HOUR, windowMs: 30_000, horizonMs: 2 * HOUR, level: 0.9 };
    const models = (await first.pool.forecastDemand(histories, request)).map(({ model }) => model);
    expect(models.slice(0, 4).filter((model) => model.includes('gru')).length).toBeGreaterThan(2);
    expect(models[4]).not.toContain('gru');

    const second = await life();
    expect(second.pool.progress().network).toBe(true);
    expect(second.keeper.status).toMatchObject({ state: 'in-use', trainedAt: NOW, trial: status.trial });
    // A day has not passed since, so nothing is trained.
    second.keeper.consider(NOW + HOUR);
    expect(second.keeper.status.state).toBe('in-use');
    second.keeper.consider(NOW + 25 * HOUR);
    expect(second.keeper.status.state).toBe('training');
  }, 60_000);

  it('is ignored if a byte of it is not as it was', async () => {
    const table = database.table(LEARNED);
    const parameters = freshNetwork(seededRandom(2));
    const bytes = sealNetwork({ parameters, trainedAt: NOW, trial: { series: 1, without: 2, with: 1 } });
    await table.put('network', bytes);
    expect((await life()).keeper.status).toMatchObject({ state: 'in-use', trainedAt: NOW });
    bytes[200]! ^= 1;
    await table.put('network', bytes);
    warnings.length = 0;
    const next = await life();
    expect(next.pool.progress().network).toBe(false);
    expect(next.keeper.status.state).toBe('none');
    expect(warnings).toHaveLength(1);
    await table.put('network', ['not', 'bytes']);
    expect((await life()).keeper.status.state).toBe('none');
  }, 60_000);

  it('is not taken into use when nothing is better with it', async () => {
    const { pool, keeper, table } = await life(ruled(), { windows: 8 });
    keeper.consider(NOW);
    await keeper.settled();
    expect(keeper.status).toMatchObject({ state: 'none', refused: 1 });
    expect(pool.progress().network).toBe(false);
    expect(await table.get('network')).toBeUndefined();
  }, 60_000);

  it('waits for enough series, and is called off by close', async () => {
    const few = await life(ruled().slice(0, 3));
    few.keeper.consider(NOW);
    await few.keeper.settled();
    expect(few.keeper.status).toMatchObject({ state: 'none', adopted: 0, refused: 0, failed: 0 });
    const long = await life(ruled(), { windows: 10_000_000 });
    long.keeper.consider(NOW);
    await long.keeper.close();
    expect(long.keeper.status).toMatchObject({ state: 'none', failed: 0 });
  }, 60_000);
});

describe('a sealed network', () => {
  it('comes back as it was, and from nothing else', () => {
    const random = seededRandom(3);
    const { length } = sealed();
    const parameters = Float64Array.from({ length: (length - 36 - 32) / 8 }, () => random.float() - 0.5);
    const kept = { parameters, trainedAt: 123_456, trial: { series: 7, without: 0.5, with: 0.25 } };
    expect(openNetwork(sealNetwork(kept))).toEqual(kept);
    for (const wrong of [undefined, new Uint8Array(0), new Uint8Array(length), sealNetwork(kept).slice(1)])
      expect(openNetwork(wrong)).toBeUndefined();
    parameters[5] = Number.NaN;
    expect(openNetwork(sealNetwork(kept))).toBeUndefined();
  });
});

const sealed = () =>
  sealNetwork({ parameters: new Float64Array(0), trainedAt: 0, trial: { series: 0, without: 0, with: 0 } });
