import type { Key16, RegionId } from '../protocol/ids.ts';
import type { Summary } from '../protocol/summary.ts';
import type { DemandForecast } from './demand.ts';

/** How right the forecasts of one model for one region were, for the window after each. */
export interface AccuracyRow {
  readonly model: string;
  readonly class: string;
  readonly region: RegionId;
  readonly samples: number;
  /** Mean absolute error over that of the naive forecast (the window before), as MASE (Hyndman and Koehler 2006). */
  readonly error: number;
  /** Mean of forecast − actual over mean of actual. */
  readonly bias: number;
  /** Share of horizons whose requests stayed within the upper quantile, so far as they have passed. */
  readonly coverage: number;
}

interface Tally {
  samples: number;
  absolute: number;
  naive: number;
  signed: number;
  actual: number;
  horizons: number;
  covered: number;
}

interface Open {
  readonly forecast: DemandForecast;
  readonly region: RegionId;
}

interface Horizon {
  readonly upper: number;
  readonly until: number;
  readonly model: string;
  readonly region: RegionId;
  came: number;
}

/** Samples after which the past is halved, so that accuracy follows what the models do now. */
const MEMORY = 20_000;
/** Horizons followed at once; the newest forecasts wait until there is room. */
const HORIZONS_MAX = 5_000;

/** Holds what was forecast against what came: the next window of every forecast, and the horizons of some. */
export class Accuracy {
  readonly #tallies = new Map<string, Tally>();
  readonly #horizons = new Map<string, Horizon>();
  #open = new Map<string, Open>();
  #came = new Map<string, number>();
  #before = new Map<string, number>();

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
      const actual = this.#came.get(id) ?? 0;
      const tally = this.#tally(forecast.model, region);
      const expected = forecast.next / 1000;
      tally.samples += 1;
      tally.absolute += Math.abs(expected - actual);
      tally.naive += Math.abs((this.#before.get(id) ?? 0) - actual);
      tally.signed += expected - actual;
      tally.actual += actual;
      if (tally.samples >= MEMORY) for (const key of KEYS) tally[key] /= 2;
    }
    for (const [id, { upper, until, model, region, came }] of this.#horizons) {
      if (now < until) continue;
      this.#horizons.delete(id);
      const tally = this.#tally(model, region);
      tally.horizons += 1;
      if (came * 1000 <= upper) tally.covered += 1;
    }
    this.#before = this.#came;
    this.#came = new Map();
    this.#open = new Map();
    for (const { forecast, region } of forecasts) {
      this.#open.set(forecast.id, { forecast, region });
      if (this.#horizons.has(forecast.id) || this.#horizons.size >= HORIZONS_MAX) continue;
      const { upper, model } = forecast;
      this.#horizons.set(forecast.id, { upper, until: now + horizonMs, model, region, came: 0 });
    }
  }

  /** By samples, most first. */
  rows(): AccuracyRow[] {
    return [...this.#tallies]
      .map(([id, t]) => {
        const [model = '', region = ''] = id.split('\0');
        return {
          model,
          class: 'established',
          region: region as RegionId,
          samples: Math.floor(t.samples),
          error: t.absolute / Math.max(t.naive, Number.MIN_VALUE),
          bias: t.actual > 0 ? t.signed / t.actual : 0,
          coverage: t.horizons > 0 ? t.covered / t.horizons : 1,
        };
      })
      .map((row) => ({ ...row, error: Number.isFinite(row.error) ? row.error : 0 }))
      .sort((a, b) => b.samples - a.samples);
  }

  #tally(model: string, region: RegionId): Tally {
    const id = `${model}\0${region}`;
    const known = this.#tallies.get(id);
    if (known) return known;
    const made: Tally = { samples: 0, absolute: 0, naive: 0, signed: 0, actual: 0, horizons: 0, covered: 0 };
    this.#tallies.set(id, made);
    return made;
  }
}

const KEYS = ['samples', 'absolute', 'naive', 'signed', 'actual', 'horizons', 'covered'] as const;
