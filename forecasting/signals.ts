import type { Key16, RegionId } from '../protocol/ids.ts';
import type { Summary } from '../protocol/summary.ts';
import type { DemandForecast } from './demand.ts';
import { SignalGate, type SignalGateRow, type SignalOutcome } from './signal-gate.ts';

/** A hint from outside that a resource will be asked for. */
export interface Signal {
  /** Who says so, such as `mastodon:example.social`; gates are kept by source. */
  readonly source: string;
  readonly key16: Key16;
  /** How strong, on the source's own scale (people that shared it, expected requests); above zero. */
  readonly strength: number;
  /** Demand time, ms. */
  readonly at: number;
  /** Only for this region; for all where it is absent. */
  readonly region?: RegionId;
}

export interface SignalsOptions {
  /** Regions worth forecasting for, as they now are. */
  regions(): readonly RegionId[];
  /** A signal speaks of this much demand time from its hearing on, ms. */
  horizonMs(): number;
}

/** What is expected of a (resource, region) within a horizon from now. */
export type Expectation = (
  key16: Key16,
  region: RegionId,
) => {
  readonly requests: number;
  /** Nobody there has asked for it yet: what is expected is a first request, and only that counts. */
  readonly first: boolean;
};

/** Resources with a signal in force; what is oldest gives way. */
const KEYS_MAX = 20_000;
/** Sources told apart; more are refused. */
const SOURCES_MAX = 64;
/** Sources whose word on one resource is kept. */
const VOICES_MAX = 8;
/** Signals whose outcome is waited for at once. */
const TRIALS_MAX = 20_000;
/** … of one source, so that a busy one does not keep the others from proving themselves. */
const TRIALS_OF_SOURCE_MAX = 5_000;
/** Regions in which one signal is tried. */
const REGIONS_MAX = 32;
/** Expected requests of what nobody has asked for yet. A factor on nothing would say nothing. */
export const LEAST_EXPECTED = 0.05;
const MILLI_MAX = 0x7fff_ffff;

interface Voice {
  readonly source: string;
  strength: number;
  at: number;
  readonly region: RegionId | undefined;
}

/** One region of a signal whose outcome is awaited. */
interface Part extends SignalOutcome {
  readonly pair: string;
  readonly first: boolean;
  came: number;
}

interface Trial {
  readonly source: string;
  readonly strength: number;
  readonly until: number;
  readonly parts: readonly Part[];
}

/**
 * Signals in force and what they have been worth. Every signal is an experiment: what was expected without it is held
 * against what came, and each source moves forecasts only as far as its gate (`SignalGate`) is open. Pure: demand
 * time is an argument. Bounded in keys, sources and open outcomes.
 */
export class Signals {
  readonly #options: SignalsOptions;
  readonly #gates = new Map<string, SignalGate>();
  readonly #voices = new Map<Key16, Voice[]>();
  /** By source, key and region, in the order of their ends. */
  readonly #trials = new Map<string, Trial>();
  readonly #trialsOf = new Map<string, number>();
  /** What is awaited by (resource, region). */
  readonly #awaited = new Map<string, Set<Part>>();

  constructor(options: SignalsOptions) {
    this.#options = options;
  }

  /** Resources with a signal in force or lately so. */
  get size(): number {
    return this.#voices.size;
  }

  /** Takes in a signal and begins to watch what comes of it. False if there is no room for its source. */
  heard(signal: Signal, now: number, expected: Expectation): boolean {
    const { source, key16, strength, region } = signal;
    if (!(strength > 0) || !Number.isFinite(strength)) return false;
    const gate = this.#gate(source);
    if (gate === undefined) return false;
    this.#speak(signal, now);
    const id = `${source} ${key16} ${region ?? ''}`;
    const open = this.#trialsOf.get(source) ?? 0;
    if (this.#trials.has(id) || open >= TRIALS_OF_SOURCE_MAX || this.#trials.size >= TRIALS_MAX) return true;
    const regions = region === undefined ? this.#options.regions().slice(0, REGIONS_MAX) : [region];
    const parts = regions.map((one): Part => {
      const { requests, first } = expected(key16, one);
      const usual = Math.max(LEAST_EXPECTED, requests);
      return { pair: key16 + one, first, expected: usual, claimed: gate.factor(strength, usual), came: 0 };
    });
    this.#trials.set(id, { source, strength, until: now + this.#options.horizonMs(), parts });
    this.#trialsOf.set(source, open + 1);
    for (const part of parts) {
      const awaited = this.#awaited.get(part.pair);
      if (awaited === undefined) this.#awaited.set(part.pair, new Set([part]));
      else awaited.add(part);
    }
    return true;
  }

  /** Takes in a window of any PoP. */
  came({ resources }: Pick<Summary, 'resources'>): void {
    if (this.#trials.size === 0) return;
    for (const { key16, regions } of resources) {
      for (const { region, count } of regions) {
        for (const part of this.#awaited.get(key16 + region) ?? []) {
          part.came = part.first ? 1 : part.came + count;
        }
      }
    }
  }

  /** Judges the signals whose horizon has passed by `now`, and forgets those that are no longer in force. */
  mature(now: number): void {
    for (const [id, trial] of this.#trials) {
      if (trial.until > now) break;
      this.#close(id, trial);
      this.#gates.get(trial.source)?.judge(trial.strength, trial.parts);
    }
    for (const [key16, voices] of this.#voices) {
      const left = voices.filter(({ at }) => now - at < this.#options.horizonMs());
      if (left.length === voices.length) continue;
      if (left.length === 0) this.#voices.delete(key16);
      else this.#voices.set(key16, left);
    }
  }

  /**
   * The factor, 1 or more, by which signals raise what is expected of a pair that `expected` requests are expected of
   * within the horizon. Of several sources the boldest is heard, not their product: they tell of the same crowd.
   */
  uplift(key16: Key16, region: RegionId, now: number, expected: number): number {
    let most = 1;
    for (const voice of this.#voices.get(key16) ?? []) {
      if (voice.region !== undefined && voice.region !== region) continue;
      const age = Math.max(0, now - voice.at);
      const gate = this.#gates.get(voice.source);
      if (gate === undefined || age >= this.#options.horizonMs()) continue;
      const usual = Math.max(LEAST_EXPECTED, expected);
      // What has come since the signal is in the forecast already; so the claim fades.
      const left = 1 - age / this.#options.horizonMs();
      most = Math.max(most, 1 + gate.trust * left * (gate.factor(voice.strength, usual) - 1));
    }
    return most;
  }

  /** Requests expected of a pair within the horizon, with what signals add. */
  expectation(key16: Key16, region: RegionId, now: number, expected: number): number {
    const factor = this.uplift(key16, region, now, expected);
    return factor === 1 ? expected : factor * Math.max(LEAST_EXPECTED, expected);
  }

  /** A forecast with what signals add; the same object where they add nothing. */
  lift(forecast: DemandForecast, key16: Key16, region: RegionId, now: number): DemandForecast {
    const factor = this.uplift(key16, region, now, forecast.mean / 1000);
    if (factor === 1) return forecast;
    const raised = (value: number) => Math.min(MILLI_MAX, Math.round(value * factor));
    const { next, mean, upper } = forecast;
    return { ...forecast, next: raised(next), mean: raised(mean), upper: raised(upper) };
  }

  /** Resources and regions with a signal in force whose source is believed: what is worth looking at again. */
  *believed(now: number): IterableIterator<{ key16: Key16; region: RegionId }> {
    for (const [key16, voices] of this.#voices) {
      for (const region of this.#options.regions()) {
        const speaks = ({ source, at, region: only }: Voice) =>
          (only === undefined || only === region) &&
          now - at < this.#options.horizonMs() &&
          (this.#gates.get(source)?.trust ?? 0) > 0;
        if (voices.some(speaks)) yield { key16, region };
      }
    }
  }

  /** What each source has been worth, by name. */
  rows(): SignalRow[] {
    return [...this.#gates]
      .map(([source, gate]) => ({ source, ...gate.row, open: this.#trialsOf.get(source) ?? 0 }))
      .sort((a, b) => (a.source < b.source ? -1 : 1));
  }

  /** What was learned of the sources, as plain data; signals in force are not kept. */
  snapshot(): unknown {
    return [...this.#gates].map(([source, gate]) => [source, gate.snapshot()]);
  }

  /** Takes back a snapshot; what is damaged is left out. */
  restore(saved: unknown): void {
    if (!Array.isArray(saved)) return;
    for (const row of saved) {
      if (Array.isArray(row) && typeof row[0] === 'string') this.#gate(row[0])?.restore(row[1]);
    }
  }

  #speak({ source, key16, strength, region }: Signal, now: number): void {
    const voices = this.#voices.get(key16) ?? [];
    const known = voices.find((voice) => voice.source === source && voice.region === region);
    if (known !== undefined) {
      known.strength = Math.max(known.strength, strength);
      known.at = now;
    } else voices.push({ source, strength, at: now, region });
    if (voices.length > VOICES_MAX) voices.shift();
    this.#voices.delete(key16);
    this.#voices.set(key16, voices);
    if (this.#voices.size <= KEYS_MAX) return;
    const oldest = this.#voices.keys().next();
    if (!oldest.done) this.#voices.delete(oldest.value);
  }

  #gate(source: string): SignalGate | undefined {
    const known = this.#gates.get(source);
    if (known !== undefined || this.#gates.size >= SOURCES_MAX) return known;
    const made = new SignalGate();
    this.#gates.set(source, made);
    return made;
  }

  #close(id: string, trial: Trial): void {
    this.#trials.delete(id);
    this.#trialsOf.set(trial.source, (this.#trialsOf.get(trial.source) ?? 1) - 1);
    for (const part of trial.parts) {
      const awaited = this.#awaited.get(part.pair);
      awaited?.delete(part);
      if (awaited?.size === 0) this.#awaited.delete(part.pair);
    }
  }
}

export interface SignalRow extends SignalGateRow {
  readonly source: string;
  /** Signals whose outcome is still awaited. */
  readonly open: number;
}
