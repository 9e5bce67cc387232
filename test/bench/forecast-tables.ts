import { BurstDetector, type BurstOptions, FAST_BURSTS, MINUTE_BURSTS } from '../../forecasting/bursts.ts';
import { combine } from '../../forecasting/combination.ts';
import { exponentialSmoothing } from '../../forecasting/models/exponential-smoothing.ts';
import type { Model } from '../../forecasting/models/model.ts';
import { recurrent } from '../../forecasting/models/recurrent.ts';
import { TRIAL_HOURS, tryNetwork } from '../../forecasting/network-trial.ts';
import { predictSeries } from '../../forecasting/prediction.ts';
import { freshNetwork, trainNetwork } from '../../forecasting/recurrent-training.ts';
import { LEAN_MODELS, SEASONAL_MODELS } from '../../forecasting/repertoire.ts';
import { select } from '../../forecasting/selection.ts';
import { seededRandom } from '../../protocol/random.ts';
import { presage, row, SHIFTS, scoreM4 } from './forecast.ts';
import {
  absent,
  m4Hourly,
  nabCounts,
  nabWindows,
  nasaHourly,
  nasaSeconds,
  type Sample,
  shopCounts,
  summed,
} from './forecast-data.ts';
import { poissonDeviance } from './forecast-scores.ts';

/** `node test/bench/forecast-tables.ts [models|network|counts|shop|bursts]…`: the tables behind the forecasting claims. */
const TABLES: Record<string, () => void> = { models, network, counts, shop, bursts };
const say = (line: string) => process.stdout.write(`${line}\n`);

/** Each model alone on M4 Hourly, the combination, and how much weight the selection gave to whom. */
function models(): void {
  const samples = m4Hourly();
  if (samples === undefined) return void say(absent('m4-hourly-train.csv'));
  const alone = (model: Model) => (values: Float64Array, seasons: readonly number[]) => ({
    mean: model
      .forecast({ values, origins: [values.length], horizon: 48, seasons })[0]!
      .map((value) => Math.max(0, value)),
  });
  say('M4 Hourly, last 48 points held out, all 414 series; each model alone, then the combination');
  const favourites = new Map<string, number>();
  for (const { id, values, seasons } of samples) {
    const request = { horizon: 48, seasons, level: 0.95 };
    const { model } = predictSeries(
      { id, startMs: 0, stepMs: 3_600_000, values: values.slice(0, values.length - 48) },
      request,
    );
    const [first = ''] = model.split('+');
    favourites.set(first, (favourites.get(first) ?? 0) + 1);
  }
  for (const model of SEASONAL_MODELS) {
    const score = scoreM4(samples, 0, alone(model));
    say(
      `${model.name.padEnd(24)} OWA ${score.owa.toFixed(4)}  MASE ${score.mase.toFixed(3)}  ` +
        `${score.msPerSeries.toFixed(2)} ms  heaviest in ${favourites.get(model.name) ?? 0} of ${samples.length}` +
        `${LEAN_MODELS.includes(model) ? '  (also in epochs)' : ''}`,
    );
  }
  for (const shift of SHIFTS) say(row(`combination, shift ${shift}`, scoreM4(samples, shift, presage)));
}

/** Every hold-out and its shifts lie behind this many points from the end, which training does not see. */
const UNSEEN = 144;
const WINDOWS = 16_000;

/** The recurrent network, trained on what lies before all hold-outs: alone, and what it adds to the combination. */
function network(): void {
  const samples = m4Hourly();
  if (samples === undefined) return void say(absent('m4-hourly-train.csv'));
  const seen = samples.map(({ values }) => values.slice(0, values.length - UNSEEN));
  const options = { seasons: [24, 168], windows: WINDOWS, length: 96 } as const;
  const started = process.cpuUsage();
  const parameters = trainNetwork(freshNetwork(seededRandom(3)), seen, options, seededRandom(4));
  const model = recurrent('gru', parameters);
  say(
    `recurrent network, ${WINDOWS} windows: trained in ${(process.cpuUsage(started).user / 1e6).toFixed(1)} s of processor`,
  );
  const weighed: number[] = [];
  for (const shift of SHIFTS) {
    const alone = scoreM4(samples, shift, (values, seasons) => ({
      mean: model
        .forecast({ values, origins: [values.length], horizon: 48, seasons })[0]!
        .map((x) => Math.max(0, x)),
    }));
    const combined = (models: readonly Model[]) =>
      scoreM4(samples, shift, (values, seasons) => {
        const selection = select(values, seasons, 48, { holdouts: 10 });
        const options = { ...selection.options, challenger: 'gru' };
        const { mean: forecast, weights } = combine(values, models, 48, selection.seasons, options);
        if (models.includes(model)) weighed.push(weights.find(({ name }) => name === 'gru')?.weight ?? 0);
        return { mean: forecast };
      }).owa.toFixed(4);
    say(
      `  shift ${shift}: alone OWA ${alone.owa.toFixed(4)}, ${alone.msPerSeries.toFixed(2)} ms; combination without it ` +
        `${combined(SEASONAL_MODELS)}, with it ${combined([...SEASONAL_MODELS, model])}`,
    );
  }
  trials(samples);
  const used = weighed.filter((weight) => weight > 0);
  say(
    `  let in for ${used.length} of ${weighed.length} forecasts, where its mean weight was ${mean(used).toFixed(3)}`,
  );
}

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

/** Daily counts by resource and country, three origins, a week ahead, against simple exponential smoothing. */
function shop(): void {
  const samples = shopCounts();
  if (samples === undefined) return void say(absent('uci-eshop-2008.csv'));
  const ses = exponentialSmoothing('ses', 0);
  const classes = ['1-4', '5-29', '30-199', '200+', 'all'];
  const sums = new Map(classes.map((name) => [name, { n: 0, ours: 0, ses: 0, inside: 0, zeros: 0 }]));
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
      }
    }
  }
  say('Shop log, pairs by requests before the origin; Poisson deviance a day, coverage of the 95 % interval');
  for (const [name, { n, ours, ses: theirs, inside, zeros }] of sums) {
    say(
      `${name.padEnd(8)} ${String(n).padStart(6)} forecasts  deviance ${(ours / n).toFixed(4)}  ` +
        `SES ${(theirs / n).toFixed(4)}  coverage ${(inside / n).toFixed(4)}, of which no interval could miss ${(zeros / n).toFixed(4)} (days without a request)`,
    );
  }
}

const random = seededRandom(11);
function poisson(rate: number): number {
  if (rate > 60) {
    const normal = Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float());
    return Math.max(0, Math.round(rate + Math.sqrt(rate) * normal));
  }
  const limit = Math.exp(-rate);
  let k = 0;
  for (let p = random.float(); p > limit; p *= random.float()) k++;
  return k;
}

/** Injected rises, quiet traffic, and the labelled windows of NAB. */
function bursts(): void {
  say('Injected tenfold rises, within 15 s of the first count above threshold (mean + 4 deviations, over 3)');
  for (const binMs of [1000, 5000, 10_000]) {
    for (const rate of [0.05, 0.1, 0.3, 1, 5]) injected('sudden', FAST_BURSTS, binMs, rate, 1, 15);
  }
  say('Rises to tenfold over ten minutes, within three minutes');
  for (const rate of [0.02, 0.05, 0.1, 1]) injected('slow', MINUTE_BURSTS, 60_000, rate, 600, 180);
  quiet();
  quietMinutes();
  windows();
}

function injected(
  name: string,
  options: BurstOptions,
  binMs: number,
  rate: number,
  rampS: number,
  withinS: number,
): void {
  const detector = new BurstDetector(options);
  const from = binMs === 60_000 ? 6 * 3_600_000 : 1_800_000;
  const threshold = (rate * binMs) / 1000 + 4 * Math.sqrt((rate * binMs) / 1000);
  const delays: number[] = [];
  let early = 0;
  for (let i = 0; i < 200; i++) {
    let above = 0;
    let found = 0;
    for (let at = binMs; at <= from + 900_000 && found === 0; at += binMs) {
      const factor = at > from ? 1 + 9 * Math.min(1, (at - from) / 1000 / rampS) : 1;
      const requests = poisson((rate * factor * binMs) / 1000);
      if (at > from && above === 0 && requests > Math.max(3, threshold)) above = at;
      if (detector.step(`key ${i}`, at, requests, undefined, binMs) === 'rise') {
        if (at > from) found = at;
        else early++;
      }
    }
    delays.push(found === 0 ? Number.POSITIVE_INFINITY : above === 0 ? 0 : (found - above) / 1000);
  }
  delays.sort((a, b) => a - b);
  const share = delays.filter((delay) => delay <= withinS).length / delays.length;
  say(
    `  ${name}, ${rate}/s to ${10 * rate}/s, counts of ${binMs / 1000} s: ${(100 * share).toFixed(1)} % in time, ` +
      `median ${delays[100]} s, false alarms before it ${early}`,
  );
}

function quiet(): void {
  let alarms = 0;
  let hours = 0;
  const detector = new BurstDetector(FAST_BURSTS);
  for (const rate of [0.05, 0.5, 2, 10]) {
    for (let i = 0; i < 10; i++) {
      for (let at = 2000; at <= 50 * 3_600_000; at += 2000) {
        const daily = i % 2 === 0 ? 1 : 1 + 0.9 * Math.sin((at / 86_400_000) * 2 * Math.PI);
        if (detector.step(`${rate} ${i}`, at, poisson(2 * rate * daily), undefined, 2000) === 'rise')
          alarms++;
      }
      hours += 50;
    }
  }
  say(`False alarms on Poisson counts, steady and daily: ${alarms} in ${hours} series-hours`);
  const months = nasaSeconds();
  if (months === undefined) return void say(absent('nasa-http-1995-rates-per-second.txt.gz'));
  // Settings were chosen on July.
  for (const [month, seconds] of months.entries()) {
    for (const parts of [1, 3, 10, 40]) quietSeconds(['July', 'August'][month]!, seconds, parts);
  }
}

function quietSeconds(month: string, seconds: Uint16Array, parts: number): void {
  const copies = Math.min(parts, 4);
  let found = 0;
  for (let copy = 0; copy < copies; copy++) {
    const detector = new BurstDetector(FAST_BURSTS);
    for (let t = 0; t < seconds.length; t++) {
      let requests = 0;
      for (let k = 0; k < seconds[t]!; k++) if (parts === 1 || random.float() < 1 / parts) requests++;
      if (detector.step('key', t * 1000, requests) === 'rise') found++;
    }
  }
  const seen = (copies * seconds.length) / 3600;
  say(
    `NASA ${month} by the second, each request kept with probability 1/${parts}: ${found} rises in ` +
      `${seen.toFixed(0)} series-hours, ${((1000 * found) / seen).toFixed(2)} a thousand`,
  );
}

/** Rises by the minute, of the site as a whole and of parts of it, as the windows of a daemon count them. */
function quietMinutes(): void {
  for (const [month, seconds] of (nasaSeconds() ?? []).entries()) {
    const minutes = summed(seconds, 60);
    for (const parts of [1, 10, 40]) {
      const copies = Math.min(parts, 4);
      let found = 0;
      for (let copy = 0; copy < copies; copy++) {
        const detector = new BurstDetector(MINUTE_BURSTS);
        for (let t = 0; t < minutes.length; t++) {
          let requests = 0;
          for (let k = 0; k < minutes[t]!; k++) if (parts === 1 || random.float() < 1 / parts) requests++;
          if (detector.step('key', t * 60_000, requests, undefined, 60_000) === 'rise') found++;
        }
      }
      const hours = (copies * minutes.length) / 60;
      say(
        `NASA ${['July', 'August'][month]} by the minute, 1/${parts} of the requests: ${found} rises in ` +
          `${hours.toFixed(0)} series-hours, ${((1000 * found) / hours).toFixed(2)} a thousand`,
      );
    }
  }
}

/** A rise inside a labelled window counts as found; outside all windows as false. */
function windows(): void {
  let labelled = 0;
  let found = 0;
  let inside = 0;
  let rises = 0;
  let hours = 0;
  const delays: number[] = [];
  for (const { id, values, seasons } of nabCounts() ?? []) {
    const stepMs = 86_400_000 / seasons[0]!;
    // As for minutes, in steps.
    const detector = new BurstDetector({
      ...MINUTE_BURSTS,
      ...{ currentMs: 3 * stepMs, blockMs: 3 * stepMs, usualMs: 30 * stepMs, longMs: 360 * stepMs },
    });
    const ranges = nabWindows(id);
    const hit = new Set<number>();
    for (let t = 0; t < values.length; t++) {
      // A week before is the expectation, as the forecast is in the daemon.
      const expected = t >= seasons[1]! ? values[t - seasons[1]!]! : undefined;
      if (detector.step(id, (t + 1) * stepMs, values[t]!, expected, stepMs) !== 'rise') continue;
      rises++;
      const index = ranges.findIndex(([from, to]) => t >= from && t <= to);
      if (index < 0) continue;
      inside++;
      if (!hit.has(index)) delays.push(((t - ranges[index]![0]) * stepMs) / 3_600_000);
      hit.add(index);
    }
    labelled += ranges.length;
    found += hit.size;
    hours += (values.length * stepMs) / 3_600_000;
  }
  if (hours === 0) return void say(absent('nab'));
  delays.sort((a, b) => a - b);
  say(
    `NAB windows: ${found} of ${labelled} hold a rise (recall ${(found / labelled).toFixed(2)}), ${inside} of ${rises} rises ` +
      `lie in one (precision ${(inside / rises).toFixed(2)}), median ${delays[Math.floor(delays.length / 2)]?.toFixed(1)} h ` +
      `from the window's start, ${((1000 * (rises - inside)) / hours).toFixed(2)} outside per thousand hours`,
  );
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
