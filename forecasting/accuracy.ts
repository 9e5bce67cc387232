import type { Key16, RegionId } from '../protocol/ids.ts';
import type { Summary } from '../protocol/summary.ts';
import type { DemandForecast } from './demand.ts';

/** How right forecasts were at one distance ahead. */
export interface StepAccuracy {
  /** `next`: the window after the forecast. `horizon`: all of the planning horizon. */
  readonly step: 'next' | 'horizon';
  /** Forecasts that have come due. */
  readonly samples: number;
  /** MASE (Hyndman and Koehler 2006): mean absolute error over that of the naive forecast, the same span before. */
  readonly error: number;
  /** Weighted absolute percentage error: sum of absolute errors over the sum of what came, 0 while nothing came. */
  readonly wape: number;
  /** Sum of forecast − actual over the sum of what came. */
  readonly bias: number;
  /** Share of actuals within the upper quantile; `null` for a step that none is made for. */
  readonly coverage: number | null;
  /** Twice the pinball loss of that quantile over the sum of what came (weighted quantile loss). */
  readonly pinball: number | null;
}

/** How right the forecasts of one model for series of one class in one region were. */
export interface AccuracyRow {
  readonly model: string;
  /** Class of the series, see `DemandClass`. */
  readonly class: string;
  readonly region: RegionId;
  /** Those of the next window: `samples`, `error`, `wape` and `bias`. */
  readonly samples: number;
  readonly error: number;
  readonly wape: number;
  readonly bias: number;
  /** Those of the horizon; a coverage of 1 and a loss of 0 while none has passed. */
  readonly coverage: number;
  readonly pinball: number;
  /** Each step for itself. */
  readonly steps: readonly StepAccuracy[];
}

/** What has come due at one distance ahead, summed up. */
export interface AccuracySums {
  samples: number;
  absolute: number;
  /** Absolute errors, and those of the naive forecast, where there was something for it to go by. */
  scaled: number;
  naive: number;
  signed: number;
  actual: number;
  covered: number;
  pinball: number;
}

/** What one row of `Accuracy` is computed from, for the database. */
export interface AccuracyTally {
  readonly model: string;
  readonly class: string;
  readonly region: RegionId;
  readonly next: Readonly<AccuracySums>;
  readonly horizon: Readonly<AccuracySums>;
}

/** Tallies changed since they were last taken, and those that made room, by their ids. */
export interface AccuracyChanges {
  readonly rows: readonly (readonly [id: string, tally: AccuracyTally])[];
  readonly gone: readonly string[];
}

interface Tally extends AccuracyTally {
  readonly id: string;
  readonly next: AccuracySums;
  readonly horizon: AccuracySums;
}

interface Open {
  readonly forecast: DemandForecast;
  readonly region: RegionId;
}

interface Horizon {
  readonly forecast: DemandForecast;
  readonly until: number;
  readonly region: RegionId;
  /** Requests of the horizon before this one, if it was followed. */
  readonly before: number | undefined;
  came: number;
}

/** Samples after which the past is halved, so that accuracy follows what the models do now. */
const MEMORY = 20_000;
/** Horizons followed at once; the newest forecasts wait until there is room. */
const HORIZONS_MAX = 5_000;
/** Rows kept: models come in pairs, times classes and regions. The one with the fewest samples makes room. */
const TALLIES_MAX = 2_048;
/** Longest id of a tally, characters: two models and a class have names of a few words, a region one. */
export const TALLY_ID_MAX = 512;
const MILLI = 1_000;

/** Holds what was forecast against what came: the next window of every forecast, and the horizons of some. */
export class Accuracy {
  readonly #level: number;
  readonly #tallies = new Map<string, Tally>();
  readonly #horizons = new Map<string, Horizon>();
  #open = new Map<string, Open>();
  #came = new Map<string, number>();
  #before = new Map<string, number>();
  #changed = new Set<Tally>();
  #gone = new Set<string>();

  /** `level` is that of the upper quantile of the forecasts. */
  constructor(level = 0.9) {
    this.#level = level;
  }

  /** Takes in a window of any PoP. */
  came({ resources }: Pick<Summary, 'resources'>): void {
    for (const { key16, regions } of resources) {
      for (const { region, count } of regions) {
        const id = key16 + region;
        this.#came.set(id, (this.#came.get(id) ?? 0) + count);
        const horizon = this.#horizons.get(id);
        if (horizon) horizon.came += count;
      }
    }
  }

  /** The window is over: judges the forecasts that were made for it, and takes those for the next one. */
  next(
    forecasts: Iterable<{ forecast: DemandForecast; key16: Key16; region: RegionId }>,
    now: number,
    horizonMs: number,
  ): void {
    for (const [id, { forecast, region }] of this.#open) {
      const { next } = this.#tally(forecast, region);
      judge(next, forecast.next / MILLI, this.#came.get(id) ?? 0, this.#before.get(id) ?? 0);
    }
    const ended = this.#judgeHorizons(now);
    this.#before = this.#came;
    this.#came = new Map();
    this.#open = new Map();
    for (const { forecast, region } of forecasts) {
      const { id } = forecast;
      this.#open.set(id, { forecast, region });
      if (this.#horizons.has(id) || this.#horizons.size >= HORIZONS_MAX) continue;
      this.#horizons.set(id, { forecast, region, until: now + horizonMs, before: ended.get(id), came: 0 });
    }
  }

  /** By samples, most first. */
  rows(): AccuracyRow[] {
    return [...this.#tallies.values()]
      .map((tally): AccuracyRow => {
        const next = stepOf('next', tally.next);
        const horizon = stepOf('horizon', tally.horizon);
        return {
          model: tally.model,
          class: tally.class,
          region: tally.region,
          samples: next.samples,
          error: next.error,
          wape: next.wape,
          bias: next.bias,
          coverage: horizon.coverage ?? 1,
          pinball: horizon.pinball ?? 0,
          steps: [next, horizon],
        };
      })
      .sort((a, b) => b.samples - a.samples);
  }

  /** What changed since the last call: one batch for the database an epoch. */
  takeChanged(): AccuracyChanges {
    const rows = [...this.#changed].map(
      ({ id, next, horizon, ...names }) =>
        [id, { ...names, next: { ...next }, horizon: { ...horizon } }] as const,
    );
    const gone = [...this.#gone];
    this.#changed = new Set();
    this.#gone = new Set();
    return { rows, gone };
  }

  /** Takes back what was kept, and goes on from it; what there is no room for is left out. */
  restore(tallies: Iterable<AccuracyTally>): void {
    for (const { model, class: kind, region, next, horizon } of tallies) {
      if (this.#tallies.size >= TALLIES_MAX) return;
      const id = idOf(model, kind, region);
      this.#tallies.set(id, { id, model, class: kind, region, next: { ...next }, horizon: { ...horizon } });
    }
  }

  /** Judges the horizons that have passed; what came in each. */
  #judgeHorizons(now: number): Map<string, number> {
    const ended = new Map<string, number>();
    for (const [id, { forecast, until, region, before, came }] of this.#horizons) {
      if (now < until) continue;
      this.#horizons.delete(id);
      ended.set(id, came);
      const { horizon } = this.#tally(forecast, region);
      const upper = forecast.upper / MILLI;
      horizon.covered += came <= upper ? 1 : 0;
      horizon.pinball += came > upper ? this.#level * (came - upper) : (1 - this.#level) * (upper - came);
      judge(horizon, forecast.mean / MILLI, came, before);
    }
    return ended;
  }

  #tally({ model, class: kind }: DemandForecast, region: RegionId): Tally {
    const id = idOf(model, kind, region);
    let tally = this.#tallies.get(id);
    if (tally === undefined) {
      if (this.#tallies.size >= TALLIES_MAX) this.#drop();
      tally = { id, model, class: kind, region, next: noSums(), horizon: noSums() };
      this.#tallies.set(id, tally);
      this.#gone.delete(id);
    }
    this.#changed.add(tally);
    return tally;
  }

  #drop(): void {
    let least: Tally | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const tally of this.#tallies.values()) {
      const { next, horizon } = tally;
      if (next.samples + horizon.samples >= fewest) continue;
      fewest = next.samples + horizon.samples;
      least = tally;
    }
    if (least === undefined) return;
    this.#tallies.delete(least.id);
    this.#changed.delete(least);
    this.#gone.add(least.id);
  }
}

const idOf = (model: string, kind: string, region: RegionId) => `${model}\0${kind}\0${region}`;

const noSums = (): AccuracySums => ({
  samples: 0,
  absolute: 0,
  scaled: 0,
  naive: 0,
  signed: 0,
  actual: 0,
  covered: 0,
  pinball: 0,
});
const KEYS = Object.keys(noSums()) as readonly (keyof AccuracySums)[];

function judge(sums: AccuracySums, expected: number, actual: number, before: number | undefined): void {
  const error = Math.abs(expected - actual);
  sums.samples += 1;
  sums.absolute += error;
  if (before !== undefined) {
    sums.scaled += error;
    sums.naive += Math.abs(before - actual);
  }
  sums.signed += expected - actual;
  sums.actual += actual;
  if (sums.samples >= MEMORY) for (const key of KEYS) sums[key] /= 2;
}

function stepOf(step: StepAccuracy['step'], sums: AccuracySums): StepAccuracy {
  const over = (part: number) => (sums.actual > 0 ? part / sums.actual : 0);
  return {
    step,
    samples: Math.floor(sums.samples),
    // A naive forecast that was never wrong leaves no scale to measure by.
    error: sums.naive > 0 ? sums.scaled / sums.naive : 0,
    wape: over(sums.absolute),
    bias: over(sums.signed),
    coverage: step === 'horizon' && sums.samples > 0 ? sums.covered / sums.samples : null,
    pinball: step === 'horizon' ? over(2 * sums.pinball) : null,
  };
}
