import { exponentialSmoothing } from '../../forecasting/models/exponential-smoothing.ts';
import { TRIAL_HOURS, tryNetwork } from '../../forecasting/network-trial.ts';
import { predictSeries } from '../../forecasting/prediction.ts';
import { freshNetwork, trainNetwork } from '../../forecasting/recurrent-training.ts';
import { seededRandom } from '../../protocol/random.ts';
import { bursts } from './forecast-bursts.ts';
import { absent, m4Hourly, nabCounts, nasaHourly, type Sample, shopCounts, summed } from './forecast-data.ts';
import { presage, row, SHIFTS, scoreM4 } from './forecast-m4.ts';
import { modelLine, modelTable } from './forecast-models.ts';
import { countProbabilities, poissonDeviance, spreadCoverage } from './forecast-scores.ts';

/** `node test/bench/forecast-tables.ts [models|network|counts|shop|bursts]…`: the tables behind the forecasting claims. */
const TABLES: Record<string, () => void> = { models, network, counts, shop, bursts };
const say = (line: string) => process.stdout.write(`${line}\n`);

/** Each model alone on M4 Hourly, the combination, and how much weight the selection gave to whom. */
function models(): void {
  const samples = m4Hourly();
  if (samples === undefined) return void say(absent('m4-hourly-train.csv'));
  say('M4 Hourly, last 48 points held out, all 414 series; each model alone, then the combination');
  for (const model of modelTable(samples)) say(modelLine(model));
  for (const shift of SHIFTS) say(row(`combination, shift ${shift}`, scoreM4(samples, shift, presage)));
}

/** The recurrent network as daemons train it: what it adds to the forecasts of an epoch. */
function network(): void {
  const samples = m4Hourly();
  if (samples === undefined) return void say(absent('m4-hourly-train.csv'));
  trials(samples);
}

const WINDOWS = 16_000;

/** As a daemon has them: a fortnight of hours, trained on all but the last day, tried on it six hours ahead. */
function trials(samples: readonly Sample[]): void {
  for (const shift of [0, 100, 200]) {
    const series = samples.map(({ id, values }) => {
      const end = values.length - shift;
      return { id, startMs: 0, stepMs: 3_600_000, values: values.slice(end - FORTNIGHT, end) };
    });
    const seen = series.map(({ values }) => values.slice(0, -TRIAL_HOURS));
    const options = { seasons: [24, 168], windows: WINDOWS, length: 96 } as const;
    const parameters = trainNetwork(freshNetwork(seededRandom(3)), seen, options, seededRandom(4));
    const trial = tryNetwork(series, parameters);
    const gain = (100 * (trial.without - trial.with)) / trial.without;
    say(
      `  a daemon's fortnight, shift ${shift}: epoch's error ${trial.without.toFixed(4)} of the mean without it, ` +
        `${trial.with.toFixed(4)} with it, ${gain.toFixed(2)} % less`,
    );
  }
}
const FORTNIGHT = 336;

const STEPS = 24;
const ORIGINS = 24;

/** Rolling origins on request rates and counts, 24 steps, against the better of two seasonal naives. */
function counts(): void {
  const native = nabCounts() ?? [];
  const hourly = native.map(({ id, values, seasons }) => ({
    id: `${id} by the hour`,
    values: summed(values, seasons[0]! / 24),
    seasons: [24, 168],
  }));
  const groups = { nasa: nasaHourly() ?? [], 'nab native': native, 'nab hourly': hourly };
  const all: number[] = [];
  for (const [name, samples] of Object.entries(groups)) {
    if (samples.length === 0) say(absent(name));
    const ratios = samples.map((sample) => rolling(sample));
    all.push(...ratios);
    say(`${name}: mean ratio of wAPE to the better seasonal naive ${mean(ratios).toFixed(3)}`);
  }
  say(`all: ${mean(all).toFixed(3)}`);
}

function rolling({ id, values, seasons }: Sample): number {
  const n = values.length;
  const first = Math.min(Math.max(seasons[1]! * 2 + STEPS, Math.floor(n * 0.4)), n - 3 * STEPS);
  const gap = Math.max(1, Math.floor((n - STEPS - first) / ORIGINS));
  const error = { ours: 0, short: 0, long: 0, actual: 0, inside: 0, count: 0 };
  for (let origin = first; origin + STEPS <= n; origin += gap) {
    const series = { id, startMs: 0, stepMs: 1, values: values.subarray(0, origin) };
    const { mean: forecast, lower, upper } = predictSeries(series, { horizon: STEPS, seasons, level: 0.95 });
    for (let h = 0; h < STEPS; h++) {
      const actual = values[origin + h]!;
      const before = (season: number) => values[origin + h - season * Math.ceil((h + 1) / season)]!;
      error.actual += actual;
      error.ours += Math.abs(actual - forecast[h]!);
      error.short += Math.abs(actual - before(seasons[0]!));
      error.long += Math.abs(actual - before(seasons[1]!));
      error.count++;
      if (actual >= lower[h]! && actual <= upper[h]!) error.inside++;
    }
  }
  const share = (value: number) => (value / error.actual).toFixed(3);
  const ratio = error.ours / Math.min(error.short, error.long);
  say(
    `  ${id.padEnd(44)} wAPE ${share(error.ours)}  naive day ${share(error.short)}  week ${share(error.long)}  ` +
      `ratio ${ratio.toFixed(3)}  coverage ${(error.inside / error.count).toFixed(3)}`,
  );
  return ratio;
}

const SHOP_HORIZON = 7;
/** Quantiles between which a share of counts is to lie. */
const SHOP_RANGES = [
  [0, 0.9],
  [0, 0.95],
  [0.025, 0.975],
] as const;

/** Daily counts by resource and country, three origins, a week ahead, against simple exponential smoothing. */
function shop(): void {
  const samples = shopCounts();
  if (samples === undefined) return void say(absent('uci-eshop-2008.csv'));
  const ses = exponentialSmoothing('ses', 0);
  const classes = ['1-4', '5-29', '30-199', '200+', 'all'];
  const sums = new Map(
    classes.map((name) => [
      name,
      { n: 0, ours: 0, ses: 0, inside: 0, zeros: 0, counts: 0, spread: [0, 0, 0] },
    ]),
  );
  for (const { id, values, seasons } of samples) {
    for (const shift of [0, 2, 4]) {
      const origin = values.length - SHOP_HORIZON * (shift + 1);
      const history = values.subarray(0, origin);
      const total = history.reduce((sum, value) => sum + value, 0);
      if (total === 0) continue;
      const actual = values.subarray(origin, origin + SHOP_HORIZON);
      const request = { horizon: SHOP_HORIZON, seasons, level: 0.95 };
      const forecast = predictSeries({ id, startMs: 0, stepMs: 86_400_000, values: history }, request);
      const [smooth] = ses.forecast({ values, origins: [origin], horizon: SHOP_HORIZON, seasons: [] });
      const inside = actual.filter((y, h) => y >= forecast.lower[h]! && y <= forecast.upper[h]!).length;
      const name = total < 5 ? '1-4' : total < 30 ? '5-29' : total < 200 ? '30-199' : '200+';
      for (const key of [name, 'all']) {
        const sum = sums.get(key)!;
        sum.n++;
        sum.ours += poissonDeviance(actual, forecast.mean);
        sum.ses += poissonDeviance(actual, smooth!);
        sum.inside += inside / SHOP_HORIZON;
        sum.zeros += actual.filter((y) => y === 0).length / SHOP_HORIZON;
        const { relativeVariance } = forecast;
        if (relativeVariance === undefined) continue;
        actual.forEach((y, h) => {
          const m = forecast.mean[h]!;
          const step = countProbabilities(y, m, m + relativeVariance * m * m);
          sum.counts++;
          SHOP_RANGES.forEach(([from, to], i) => {
            sum.spread[i]! += spreadCoverage(step, from, to);
          });
        });
      }
    }
  }
  say('Shop log, pairs by requests before the origin; Poisson deviance a day, coverage of the 95 % interval');
  for (const [name, { n, ours, ses: theirs, inside, zeros, counts, spread }] of sums) {
    say(
      `${name.padEnd(8)} ${String(n).padStart(6)} forecasts  deviance ${(ours / n).toFixed(4)}  ` +
        `SES ${(theirs / n).toFixed(4)}  coverage ${(inside / n).toFixed(4)}, of which no interval could miss ${(zeros / n).toFixed(4)} (days without a request); ` +
        `spread over the steps, below the 90 % quantile ${(spread[0]! / counts).toFixed(4)}, below the 95 % one ` +
        `${(spread[1]! / counts).toFixed(4)}, in the interval ${(spread[2]! / counts).toFixed(4)}`,
    );
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

if (import.meta.main) {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => TABLES[name] === undefined);
  if (unknown !== undefined) {
    process.stderr.write(`usage: node test/bench/forecast-tables.ts [${Object.keys(TABLES).join('|')}]…\n`);
    process.exitCode = 2;
  } else {
    for (const name of asked.length > 0 ? asked : Object.keys(TABLES)) TABLES[name]!();
  }
}
