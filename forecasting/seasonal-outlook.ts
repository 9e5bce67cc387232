import { combine } from './combination.ts';
import type { DemandClass, DemandRequest } from './demand.ts';
import { recurrent } from './models/recurrent.ts';
import { bridgeOutages } from './outages.ts';
import { integral, type Ring } from './ring.ts';
import { select } from './selection.ts';
import { cleaned } from './series.ts';

/** Expected requests, before they become integers. */
export interface Outlook {
  readonly model: string;
  readonly class: DemandClass;
  readonly next: number;
  readonly mean: number;
  /** Variance beyond Poisson's, relative to the square of the mean. */
  readonly relativeVariance: number;
  /** Expected counts a step from the last known step on, where there is a seasonal curve. */
  readonly curve?: Ring;
}

interface Curve {
  readonly signature: number;
  readonly model: string;
  readonly values: Float64Array;
  readonly relativeVariance: number;
}

/** Hours: day and week. */
const SEASONS = [24, 168] as const;
/** Less than this many hours show no day. */
const HOURS_LEAST = 60;
/** Below this mean count an hour there is no curve to see; rates do as well. */
const HOURLY_LEAST = 1;
/** From this mean count an hour on, a network's percent is worth a millisecond. */
export const NETWORK_LEAST = 100;
const NETWORK = 'gru';
/** Parameters by which one network is told from another. */
const SIGNED_PARAMETERS = 8;
/** Hold-outs of the hourly models: half an offline forecast's, for twice its speed. */
const HOLDOUTS = 5;
/** Power of the weights: with few hold-outs and few models milder than offline. */
const POWER = 3;
/** Curves reach at least so far, so that the horizons of one hour's epochs share them. */
const CURVE_HOURS = 6;
const CURVES_MAX = 336;
/** Default bound of a memo, in series: some 20 MB with six-hour curves. */
const MEMO_ENTRIES = 50_000;

/**
 * Hourly curves by series, kept while the hour ring does not change: epochs within an hour reuse them. Holds results
 * of a pure function only, so that forgetting one never changes a forecast.
 */
export class SeasonalMemo {
  readonly #entries = new Map<string, Curve>();
  readonly #limit: number;

  constructor(limit = MEMO_ENTRIES) {
    this.#limit = limit;
  }

  get(id: string, signature: number): Curve | undefined {
    const entry = this.#entries.get(id);
    return entry?.signature === signature ? entry : undefined;
  }

  set(id: string, curve: Curve): void {
    this.#entries.delete(id);
    this.#entries.set(id, curve);
    if (this.#entries.size > this.#limit) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
  }
}

/** The seasonal forecast of an hour ring, or `undefined` where it is too short or too sparse to have seasons. */
export function seasonalOutlook(
  id: string,
  hours: Ring,
  request: DemandRequest,
  memo?: SeasonalMemo,
): Outlook | undefined {
  if (hours.values.length < HOURS_LEAST) return undefined;
  const start = hours.start + hours.values.length * hours.stepMs;
  const reach = Math.ceil((request.now + request.horizonMs - start) / hours.stepMs);
  const steps = Math.min(CURVES_MAX, Math.max(CURVE_HOURS, reach));
  const signature = signatureOf(hours, steps, request.network);
  let curve = memo?.get(id, signature);
  if (curve === undefined) {
    const found = fittedCurve(hours, steps, signature, request.network);
    if (found === undefined) return undefined;
    curve = found;
    memo?.set(id, curve);
  }
  const ring = { start, stepMs: hours.stepMs, values: curve.values };
  return {
    model: curve.model,
    class: 'seasonal',
    next: integral(ring, request.now, request.now + request.windowMs),
    mean: integral(ring, request.now, request.now + request.horizonMs),
    relativeVariance: curve.relativeVariance,
    curve: ring,
  };
}

function fittedCurve(
  hours: Ring,
  steps: number,
  signature: number,
  network: Float64Array | undefined,
): Curve | undefined {
  const values = cleaned(hours.values, SEASONS[0], hours.values.length);
  let total = 0;
  for (const value of values) total += value;
  if (total < HOURLY_LEAST * values.length) return undefined;
  bridgeOutages(values, SEASONS);
  const selection = select(values, SEASONS, steps, { holdouts: HOLDOUTS, lean: true });
  if (selection.seasons.length === 0) return undefined;
  const counts = selection.class === 'counts';
  const { model, mean, residuals, fitted } = combine(
    values,
    network !== undefined && !counts && total >= NETWORK_LEAST * values.length
      ? [...selection.models, recurrent(NETWORK, network)]
      : selection.models,
    steps,
    selection.seasons,
    counts
      ? selection.options
      : {
          ...selection.options,
          spacing: Math.min(steps, SEASONS[0]),
          metric: 'absolute',
          power: POWER,
          blocks: 1,
          challenger: NETWORK,
        },
  );
  let excess = 0;
  let scale = 0;
  for (let j = 0; j < residuals.length; j++) {
    for (let h = 0; h < residuals[j]!.length; h++) {
      const forecast = fitted[j]![h]!;
      excess += residuals[j]![h]! * residuals[j]![h]! - forecast;
      scale += forecast * forecast;
    }
  }
  const relativeVariance = scale > 0 ? Math.max(0, Math.min(4, excess / scale)) : 1;
  return { signature, model, values: mean, relativeVariance };
}

/** FNV-1a over the counts, the start and the reach: equal signatures mean, but for one in four billion, equal rings. */
function signatureOf(hours: Ring, steps: number, network: Float64Array | undefined): number {
  let hash = 0x811c9dc5;
  const mix = (value: number) => {
    hash = Math.imul(hash ^ (value >>> 0), 0x01000193);
    hash = Math.imul(hash ^ Math.floor(value / 0x1_0000_0000), 0x01000193);
  };
  mix(hours.start);
  mix(hours.values.length);
  mix(steps);
  if (network !== undefined) {
    for (let i = 0; i < SIGNED_PARAMETERS; i++) mix(Math.round(network[i]! * 0x8000_0000));
  }
  for (let i = 0; i < hours.values.length; i++) mix(hours.values[i]!);
  return hash >>> 0;
}
