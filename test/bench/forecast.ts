import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { initSync, MSTL } from '@bsull/augurs/mstl';
import type { DemandHistory } from '../../forecasting/demand.ts';
import { ForecastPool } from '../../forecasting/pool.ts';
import { systemClock } from '../../node/adapters/clock.ts';
import type { Log } from '../../protocol/ports.ts';
import { seededRandom } from '../../protocol/random.ts';
import { RING_BYTES } from '../../protocol/rings.ts';
import { absent, m4Hourly } from './forecast-data.ts';
import {
  type Forecaster,
  HORIZON,
  LEVEL,
  type M4Score,
  presage,
  row,
  SHIFTS,
  scoreM4,
} from './forecast-m4.ts';
import { modelLine, modelTable } from './forecast-models.ts';

const RUNS = 3;
/** Every so manieth series goes to the peer as well, which takes some 20 ms a series. */
const PEER_STRIDE = 6;
const EPOCH_SERIES = 10_000;
const EPOCH_HOURS = 35 * 24;

const augurs: Forecaster = (values, seasons) => {
  const model = MSTL.ets([...seasons], { impute: true });
  try {
    model.fit(values);
    const { point, intervals } = model.predict(HORIZON, LEVEL);
    return intervals === undefined
      ? { mean: point }
      : { mean: point, lower: intervals.lower, upper: intervals.upper };
  } finally {
    model.free();
  }
};

/**
 * `npm run bench -- forecast`: accuracy, calibration and speed on M4 Hourly, the same series through MSTL of
 * `@bsull/augurs`, and an epoch of 10,000 demand series through one worker.
 */
export async function run(options: { json: boolean }) {
  const samples = m4Hourly();
  if (samples === undefined) throw new Error(absent('m4-hourly-train.csv'));
  const say = (line: string) => {
    if (!options.json) process.stdout.write(`${line}\n`);
  };
  const require = createRequire(import.meta.url);
  const wasm = require.resolve('@bsull/augurs/mstl').replace(/mstl\.js$/, 'mstl_bg.wasm');
  initSync({ module: readFileSync(wasm) });
  scoreM4(samples.slice(0, 40), 0, presage);
  const shifts = SHIFTS.map((shift) => scoreM4(samples, shift, presage));
  shifts.forEach((score, i) => {
    say(row(`shift ${SHIFTS[i]}`, score));
  });
  const mean = (pick: (score: M4Score) => number) =>
    shifts.reduce((sum, score) => sum + pick(score), 0) / shifts.length;
  const few = samples.filter((_, i) => i % PEER_STRIDE === 0);
  const runs: number[] = [];
  const peers: number[] = [];
  let ours = shifts[0]!;
  let peer = shifts[0]!;
  for (let i = 0; i < RUNS; i++) {
    ours = scoreM4(few, 0, presage);
    peer = scoreM4(few, 0, augurs);
    runs.push(1000 / ours.msPerSeries);
    peers.push(1000 / peer.msPerSeries);
  }
  say(row(`presage, ${few.length} series`, ours));
  say(row(`augurs MSTL, ${few.length} series`, peer));
  const models = modelTable(samples);
  for (const model of models) say(modelLine(model));
  const epoch = await epochOf(EPOCH_SERIES);
  say(
    `epoch of ${EPOCH_SERIES} series, one worker: cold ${epoch.coldMs.toFixed(0)} ms (${epoch.coldCpuMs.toFixed(0)} ms of processor), ` +
      `next ${epoch.warmMs.toFixed(0)} ms; ${epoch.bytesPerSeries} bytes a series on its way to the worker, ` +
      `${epoch.ringBytes} in the history, ${epoch.residentBytes} of resident memory more after both`,
  );
  return {
    name: 'forecast',
    unit: 'series/s',
    ours: median(runs),
    peer: median(peers),
    ratio: median(runs) / median(peers),
    runs,
    peerRuns: peers,
    owa: mean(({ owa }) => owa),
    owaByShift: shifts.map(({ owa }) => owa),
    coverage: mean(({ coverage }) => coverage),
    msis: mean(({ msis }) => msis),
    msPerSeries: mean(({ msPerSeries }) => msPerSeries),
    models,
    sameSeries: { owa: ours.owa, peerOwa: peer.owa, msis: ours.msis, peerMsis: peer.msis },
    epoch,
    machine: cpus()[0]?.model ?? 'unknown',
  };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** An epoch of a full daemon: five weeks of hours, a day of ten-minutes, two hours of minutes, noisy daily curves. */
function epochHistories(count: number, now: number): DemandHistory[] {
  const random = seededRandom(1);
  return Array.from({ length: count }, (_, i) => {
    const perHour = 0.3 * 1000 ** random.float();
    const phase = random.float();
    const ring = (stepMs: number, length: number) => {
      const end = Math.floor(now / stepMs) * stepMs;
      const start = end - length * stepMs;
      const values = Float64Array.from({ length }, (_, k) => {
        const day = (start + k * stepMs) / 86_400_000 + phase;
        const mean = (perHour * stepMs * (1 + 0.8 * Math.sin(2 * Math.PI * day))) / 3_600_000;
        // Close enough to Poisson for timing, and cheap: the mean with its noise, rounded.
        return Math.max(0, Math.round(mean + Math.sqrt(mean) * (3 * random.float() - 1.5)));
      });
      return { start, stepMs, values };
    };
    return {
      id: `series ${i}`,
      minute: ring(60_000, 120),
      ten: ring(600_000, 143),
      hour: ring(3_600_000, EPOCH_HOURS),
    };
  });
}

async function epochOf(count: number) {
  const now = 480_000 * 3_600_000 + 1_517_000;
  const histories = epochHistories(count, now);
  const silent: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    child: () => silent,
  };
  const metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined };
  const pool = new ForecastPool({ workers: 1 }, { log: silent, metrics, clock: systemClock });
  try {
    const request = { now, windowMs: 30_000, horizonMs: 600_000, level: 0.9 };
    await pool.forecastDemand(histories.slice(0, 200), request);
    const before = process.memoryUsage.rss();
    const times: number[] = [];
    const work: number[] = [];
    for (const later of [0, 30_000]) {
      const started = performance.now();
      const used = process.cpuUsage();
      await pool.forecastDemand(histories, { ...request, now: now + later });
      times.push(performance.now() - started);
      const { user, system } = process.cpuUsage(used);
      work.push((user + system) / 1000);
    }
    const after = process.memoryUsage.rss();
    return {
      series: count,
      coldMs: times[0]!,
      coldCpuMs: work[0]!,
      warmMs: times[1]!,
      warmCpuMs: work[1]!,
      bytesPerSeries: (120 + 143 + EPOCH_HOURS + 12) * 8,
      ringBytes: RING_BYTES,
      residentBytes: Math.round((after - before) / count),
    };
  } finally {
    await pool.close();
  }
}
