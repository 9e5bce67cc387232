import { PassThrough, Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { forecastDemand } from '../../../forecasting/demand.ts';
import { recurrent } from '../../../forecasting/models/recurrent.ts';
import { ForecastPool } from '../../../forecasting/pool.ts';
import { predictSeries } from '../../../forecasting/prediction.ts';
import type { Series } from '../../../forecasting/series.ts';
import { systemClock } from '../../../node/adapters/clock.ts';
import { predict } from '../../../node/cli/predict.ts';
import type { Clock, Log } from '../../../protocol/ports.ts';

const warnings: string[] = [];
const log: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => warnings.push(message),
  error: (message) => warnings.push(message),
  child: () => log,
};
const metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined };
const pools: ForecastPool[] = [];
function pool(workers = 2, batch = 16): ForecastPool {
  const made = new ForecastPool({ workers, batch }, { log, metrics, clock: systemClock });
  pools.push(made);
  return made;
}
afterEach(async () => {
  await Promise.all(pools.splice(0).map((made) => made.close()));
});

const series = (count: number): Series[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `series-${i}`,
    startMs: 0,
    stepMs: 3_600_000,
    values: Float64Array.from(
      { length: 600 },
      (_, t) => 100 + 40 * Math.sin((t / 24) * 2 * Math.PI) + ((i * 31 + t * t * 7) % 101) / 8,
    ),
  }));
const REQUEST = { horizon: 24, seasons: [24, 168], level: 0.95 };

describe('ForecastPool', () => {
  it('starts no thread before the first call, and then answers in order what the models say', async () => {
    const forecasts = pool();
    expect(forecasts.progress().running).toBe(0);
    const batch = series(50);
    const answers = await forecasts.predict(batch, REQUEST);
    expect(answers).toEqual(batch.map((one) => predictSeries(one, REQUEST)));
    expect(forecasts.progress()).toMatchObject({ running: 2, pending: 0, done: 50, cheap: 0 });
    // What was handed over is still the caller's.
    expect(batch[0]?.values.length).toBe(600);
  });

  it('survives the death of a worker and redoes its batch', async () => {
    const forecasts = pool(1, 32);
    const batch = series(200);
    const first = await forecasts.predict(batch, REQUEST);
    const again = forecasts.predict(batch, REQUEST);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await forecasts.killWorker(0);
    expect(await again).toEqual(first);
    expect(forecasts.progress()).toMatchObject({ restarts: 1, cheap: 0 });
    expect(warnings).toContain('forecast batch is redone');
  });

  it('answers cheaply at the deadline what is not ready, and is free for the next call', async () => {
    const deadlineMs = 777;
    let deadline = (): void => undefined;
    let batches = 0;
    // The deadline passes when the third batch begins, so that exactly two are ready.
    const clock: Clock = {
      ...systemClock,
      after(delayMs, fn) {
        if (delayMs === deadlineMs) deadline = fn;
        else if (++batches === 3) deadline();
        return () => undefined;
      },
    };
    const forecasts = new ForecastPool({ workers: 1, batch: 8, deadlineMs }, { log, metrics, clock });
    pools.push(forecasts);
    const answers = await forecasts.predict(series(40), REQUEST);
    expect(answers).toHaveLength(40);
    expect(answers.filter(({ model }) => model === 'seasonal-naive')).toHaveLength(24);
    expect(answers.every(({ mean }) => mean.length === 24)).toBe(true);
    expect(forecasts.progress()).toMatchObject({ done: 40, cheap: 24, pending: 0 });
    expect(await forecasts.predict(series(4), REQUEST)).toHaveLength(4);
  });

  it('is called off by a signal, and by close', async () => {
    const forecasts = pool(1, 8);
    const controller = new AbortController();
    const call = forecasts.predict(series(500), REQUEST, { signal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
    const cut = forecasts.predict(series(500), REQUEST);
    const refused = expect(cut).rejects.toMatchObject({ code: 'CANCELLED' });
    await forecasts.close();
    await refused;
    await expect(forecasts.predict(series(1), REQUEST)).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('forecasts demand in a worker', async () => {
    const ring = (stepMs: number) => ({
      start: 0,
      stepMs,
      values: new Array<number>(60).fill(stepMs / 60_000),
    });
    const history = { id: 'a', minute: ring(60_000), ten: ring(600_000), hour: ring(3_600_000) };
    const request = { now: 60 * 3_600_000, windowMs: 30_000, horizonMs: 600_000, level: 0.9 };
    const [answer] = await pool(1).forecastDemand([history], request);
    expect(answer?.id).toBe('a');
    expect(answer?.mean).toBeGreaterThan(8000);
    expect(answer?.mean).toBeLessThan(12_000);
  });
});

describe('training', () => {
  it('learns a daily curve in a thread of its own, and the network may then take part', async () => {
    const forecasts = pool(1);
    const learned = series(12).map((one) => ({ ...one, values: one.values.map((value) => 20 * value) }));
    const training = forecasts.train(learned, { seed: 1, windows: 1200 });
    expect(forecasts.progress()).toMatchObject({ training: true, network: false });
    await expect(forecasts.train(learned, { seed: 1 })).rejects.toMatchObject({ code: 'MAILBOX_FULL' });
    const network = await training;
    const [values, seasons] = [learned[0]!.values as Float64Array, [24, 168]];
    const request = { values, origins: [552], horizon: 24, seasons };
    const error = (row: Float64Array) => row.reduce((sum, x, h) => sum + Math.abs(x - values[552 + h]!), 0);
    const trained = error(recurrent('gru', network).forecast(request)[0]!);
    const flat = error(new Float64Array(24).fill(values[551]!));
    expect(trained).toBeLessThan(0.35 * flat);
    forecasts.adopt(network);
    const hour = { start: 0, stepMs: 3_600_000, values: [...values] };
    const empty = { start: 600 * 3_600_000, stepMs: 60_000, values: [] };
    const demand = { now: 600 * 3_600_000, windowMs: 30_000, horizonMs: 7_200_000, level: 0.9 };
    const history = { id: 'a', minute: empty, ten: empty, hour };
    const [answer] = await forecasts.forecastDemand([history], demand);
    expect(answer).toEqual(forecastDemand(history, { ...demand, network }));
    expect(() => forecasts.adopt(new Float64Array(3))).toThrow();
  });

  it('is called off', async () => {
    const controller = new AbortController();
    const training = pool(1).train(series(4), { seed: 1, windows: 1_000_000, signal: controller.signal });
    controller.abort();
    await expect(training).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

async function run(text: string, options = { horizon: 3, seasons: [] as number[], level: 95 }) {
  const output = new PassThrough();
  const errors = new PassThrough();
  const collect = async (stream: PassThrough) => {
    let all = '';
    for await (const piece of stream) all += String(piece);
    return all;
  };
  const out = collect(output);
  const err = collect(errors);
  const code = await predict(options, Readable.from([Buffer.from(text)]), output, errors);
  output.end();
  errors.end();
  const lines = (await out).split('\n').filter((line) => line !== '');
  return { code, answers: lines.map((line) => JSON.parse(line)), errors: await err };
}
const line = (id: string | number, values: unknown = [5, 6, 7, 8], step: unknown = 3600) =>
  JSON.stringify({ id, start: '2026-01-01T00:00:00Z', step, values });

describe('presage predict', () => {
  it('answers line by line in order, ids as they came', async () => {
    const ids = Array.from({ length: 700 }, (_, i) => (i % 3 === 0 ? i : `id ${i}`));
    const { code, answers } = await run(ids.map((id) => line(id)).join('\n'));
    expect(code).toBe(0);
    expect(answers.map(({ id }) => id)).toEqual(ids);
    for (const { model, mean, lower, upper } of answers) {
      expect(typeof model).toBe('string');
      expect([mean.length, lower.length, upper.length]).toEqual([3, 3, 3]);
    }
  });

  it('names the bad lines, goes on, and exits with 1', async () => {
    const text = [
      line('a'),
      '{broken',
      '',
      line('b', 'no list'),
      line('c', [1, null, 3]),
      '{"id":"d","start":"yesterday","step":60,"values":[1]}',
      line('e', [1], -5),
      'x'.repeat(5 << 20),
      line('f', []),
    ].join('\r\n');
    const { code, answers, errors } = await run(text);
    expect(code).toBe(1);
    expect(answers.map(({ id }) => id)).toEqual(['a', 'c', 'f']);
    const named = errors.split('\n').filter((row) => row !== '');
    expect(named.map((row) => row.split(':')[0])).toEqual(
      [2, 4, 6, 7, 8].map((n) => `INPUT_MALFORMED line ${n}`),
    );
  });

  it('finds day and week from the step', async () => {
    const day = Array.from({ length: 24 * 10 }, (_, t) => 50 + 30 * Math.sin((t / 24) * 2 * Math.PI));
    const { answers } = await run(line('day', day), { horizon: 24, seasons: [], level: 80 });
    const mean = answers[0].mean as number[];
    mean.forEach((value, h) => {
      expect(Math.abs(value - (50 + 30 * Math.sin((h / 24) * 2 * Math.PI)))).toBeLessThan(3);
    });
  });
});
