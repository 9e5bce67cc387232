import { BurstDetector, type BurstOptions, FAST_BURSTS, MINUTE_BURSTS } from '../../forecasting/bursts.ts';
import { seededRandom } from '../../protocol/random.ts';
import { absent, nabCounts, nabWindows, nasaSeconds, type Sample, summed } from './forecast-data.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const RISE = 10;
/** Series-hours on which the threshold of the optimal detector is found. */
const OPTIMAL_HOURS = 20_000;

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
export function bursts(): void {
  say('Injected tenfold rises, within 15 s of the first count above threshold (mean + 4 deviations, over 3)');
  const shares: number[] = [];
  for (const binMs of [1000, 5000, 10_000]) {
    for (const rate of [0.05, 0.1, 0.3, 1, 5]) {
      shares.push(injected('sudden', FAST_BURSTS, binMs, rate, 1, 15));
    }
  }
  for (const [binMs, rate] of [
    [5000, 0.05],
    [10_000, 0.05],
    [10_000, 0.1],
  ] as const) {
    optimal(binMs, rate);
  }
  say(`  all of these: ${(100 * mean(shares)).toFixed(1)} % in time`);
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
): number {
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
  return share;
}

/**
 * What no detector can do better on pure Poisson counts: a cumulative sum for exactly this rise (optimal, Moustakides
 * 1986), at the threshold that it passes once in a thousand hours.
 */
function optimal(binMs: number, rate: number): void {
  const mean = (rate * binMs) / 1000;
  const gain = (requests: number) => requests * Math.log(RISE) - (RISE - 1) * mean;
  const thresholds = Array.from({ length: 40 }, (_, i) => 4 + i / 4);
  const sums = thresholds.map(() => 0);
  const alarms = thresholds.map(() => 0);
  const steps = (OPTIMAL_HOURS * 3_600_000) / binMs;
  for (let i = 0; i < steps; i++) {
    const step = gain(poisson(mean));
    for (let k = 0; k < thresholds.length; k++) {
      sums[k] = Math.max(0, sums[k]! + step);
      if (sums[k]! <= thresholds[k]!) continue;
      alarms[k]!++;
      sums[k] = 0;
    }
  }
  const threshold = thresholds.find((_, k) => 1000 * alarms[k]! <= OPTIMAL_HOURS) ?? Number.POSITIVE_INFINITY;
  let inTime = 0;
  for (let i = 0; i < 2000; i++) {
    let above = Number.POSITIVE_INFINITY;
    for (let at = 0, sum = 0; at <= above + 15_000 - (15_000 % binMs); at += binMs) {
      const requests = poisson(RISE * mean);
      if (at < above && requests > Math.max(3, mean + 4 * Math.sqrt(mean))) above = Math.min(above, at);
      sum = Math.max(0, sum + gain(requests));
      if (sum <= threshold) continue;
      inTime++;
      break;
    }
  }
  say(
    `  optimal on pure Poisson counts at one false alarm in a thousand hours, ${rate}/s, counts of ${binMs / 1000} s: ` +
      `${(inTime / 20).toFixed(1)} % in time`,
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
    const name = ['July', 'August'][month]!;
    const runs = [1, 3, 10, 40].map((parts) => quietSeconds(name, seconds, parts));
    const found = runs.reduce((sum, run) => sum + run.found, 0);
    const seen = runs.reduce((sum, run) => sum + run.seen, 0);
    say(`NASA ${name} by the second, all of these: ${((1000 * found) / seen).toFixed(2)} a thousand`);
  }
}

function quietSeconds(month: string, seconds: Uint16Array, parts: number): { found: number; seen: number } {
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
  return { found, seen };
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

/** What the detector makes of one Numenta series, or of several. */
interface WindowScore {
  labelled: number;
  /** Windows in which the counts of three steps together rise to threefold of what was usual at all. */
  risen: number;
  found: number;
  inside: number;
  rises: number;
  hours: number;
  /** Hours from the middle of the window, which is where the label stands, to the first rise in it. */
  readonly delays: number[];
}

/** A rise inside a labelled window counts as found; outside all windows as false. */
function windows(): void {
  const samples = nabCounts() ?? [];
  if (samples.length === 0) return void say(absent('nab'));
  say('NAB windows; a rise is one at the step of the series, as for minutes in a daemon');
  const all: WindowScore = { labelled: 0, risen: 0, found: 0, inside: 0, rises: 0, hours: 0, delays: [] };
  for (const sample of samples) {
    const score = windowsOf(sample);
    say(windowLine(sample.id, score));
    for (const key of ['labelled', 'risen', 'found', 'inside', 'rises', 'hours'] as const)
      all[key] += score[key];
    all.delays.push(...score.delays);
  }
  say(windowLine('all', all));
}

function windowsOf({ id, values, seasons }: Sample): WindowScore {
  const stepMs = 86_400_000 / seasons[0]!;
  // As for minutes, in steps.
  const detector = new BurstDetector({
    ...MINUTE_BURSTS,
    ...{ currentMs: 3 * stepMs, blockMs: 3 * stepMs, usualMs: 30 * stepMs, longMs: 360 * stepMs },
  });
  const ranges = nabWindows(id);
  const hit = new Set<number>();
  const hours = (values.length * stepMs) / 3_600_000;
  const score = {
    labelled: ranges.length,
    risen: 0,
    found: 0,
    inside: 0,
    rises: 0,
    hours,
    delays: [] as number[],
  };
  const sum = (from: number, to: number) => values.subarray(Math.max(0, from), to).reduce((a, b) => a + b, 0);
  for (const [from, to] of ranges) {
    let risen = false;
    for (let t = from; t <= to; t++) risen ||= 10 * sum(t - 2, t + 1) > 3 * sum(t - 32, t - 2);
    if (risen) score.risen++;
  }
  for (let t = 0; t < values.length; t++) {
    // A week before is the expectation, as the forecast is in the daemon.
    const expected = t >= seasons[1]! ? values[t - seasons[1]!]! : undefined;
    if (detector.step(id, (t + 1) * stepMs, values[t]!, expected, stepMs) !== 'rise') continue;
    score.rises++;
    const index = ranges.findIndex(([from, to]) => t >= from && t <= to);
    if (index < 0) continue;
    score.inside++;
    const [from, to] = ranges[index]!;
    if (!hit.has(index)) score.delays.push(((t - (from + to) / 2) * stepMs) / 3_600_000);
    hit.add(index);
  }
  score.found = hit.size;
  return score;
}

function windowLine(
  name: string,
  { labelled, risen, found, inside, rises, hours, delays }: WindowScore,
): string {
  const sorted = delays.toSorted((a, b) => a - b);
  const share = (part: number, whole: number) => (whole > 0 ? (part / whole).toFixed(2) : '-');
  return (
    `  ${name.padEnd(26)} ${found} of ${labelled} windows hold a rise (recall ${share(found, labelled)}; in ${risen} counts ` +
    `rise threefold), ${inside} of ${rises} rises lie in one (precision ${share(inside, rises)}), median ` +
    `${sorted[Math.floor(sorted.length / 2)]?.toFixed(1) ?? '-'} h from its middle, ` +
    `${((1000 * (rises - inside)) / hours).toFixed(2)} outside per thousand hours`
  );
}
