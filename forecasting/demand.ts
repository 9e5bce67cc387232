import { exp, log } from './elementary.ts';
import { countQuantile } from './negative-binomial.ts';
import { count, integral, type Ring, trimmed } from './ring.ts';
import { type Outlook, type SeasonalMemo, seasonalOutlook } from './seasonal-outlook.ts';
import { shortOutlook, UNPROVEN } from './short-outlook.ts';

/** What is known of the demand for one resource in one region, at three resolutions. */
export interface DemandHistory {
  readonly id: string;
  readonly minute: Ring;
  readonly ten: Ring;
  readonly hour: Ring;
  /** Demand time of the first request, ms; before it zeros mean nothing. By default the first count above zero. */
  readonly first?: number;
  /** What series like it (same region, site, path class, type) ask for: so many requests in so many ms. */
  readonly prior?: { readonly requests: number; readonly overMs: number };
}

export interface DemandRequest {
  /** Demand time from which to forecast, ms. */
  readonly now: number;
  readonly windowMs: number;
  readonly horizonMs: number;
  /** Of the upper quantile, such as 0.9. */
  readonly level: number;
  /** Parameters of a trained network, which then takes part for busy series; the pool adds the one it has adopted. */
  readonly network?: Float64Array;
}

/**
 * What kind of series a forecast was made for: days of hours; small counts; young and busy; bursting; silent of late;
 * known by its like alone; or not looked at, for want of time.
 */
export type DemandClass = 'seasonal' | 'counts' | 'short' | 'burst' | 'quiet' | 'new' | 'unclassed';

/** Integers in thousandths of a request, 0 … 2³¹−1. */
export interface DemandForecast {
  readonly id: string;
  readonly model: string;
  readonly class: DemandClass;
  /** Expected in the window that begins now. */
  readonly next: number;
  /** Expected in the planning horizon that begins now. */
  readonly mean: number;
  /** Upper quantile for the planning horizon, at least `mean`. */
  readonly upper: number;
}

const MILLI = 1000;
const MILLI_MAX = 0x7fff_ffff;
/** Observed over expected beyond which a seasonal series is bursting, and the short models take over. */
const BURST_RATIO = 2.5;
/** … in one of these spans before now, ms … */
const BURST_SPANS_MS = [300_000, 900_000] as const;
/** … if the excess is also so many standard deviations. */
const BURST_DEVIATIONS = 5;
/** Share of a deviation from the seasonal curve that is left after an hour. */
const DEVIATION_KEPT = 0.7;

/**
 * Forecasts one demand series: seasonal where there are days of hours, by growth and decay where it is young or
 * bursting, by rates where it is mostly zero. Pure; `memo` only saves the work of an unchanged hour ring.
 */
export function forecastDemand(
  history: DemandHistory,
  request: DemandRequest,
  memo?: SeasonalMemo,
): DemandForecast {
  const first = history.first ?? firstRequest(history);
  const seasonal = seasonalOutlook(history.id, trimmed(history.hour, first), request, memo);
  const short = (burst = false): Outlook => shortOutlook(history, request, first, burst);
  const outlook =
    seasonal === undefined
      ? withPrior(short(), history, request, first)
      : adjust(seasonal, history, request, short);
  const { next, mean, relativeVariance } = outlook;
  const upper = countQuantile(mean, mean + relativeVariance * mean * mean, request.level);
  return {
    id: history.id,
    model: outlook.model,
    class: outlook.class,
    next: milli(next),
    mean: milli(mean),
    upper: Math.max(milli(mean), milli(upper)),
  };
}

/** A forecast with no worker and no hold-out, for when there is no time: what came in the last hour goes on. */
export function cheapForecast(history: DemandHistory, request: DemandRequest): DemandForecast {
  const ring = request.horizonMs <= 3_600_000 ? history.ten : history.hour;
  const steps = Math.min(6, ring.values.length);
  let sum = 0;
  for (let i = 1; i <= steps; i++) sum += count(ring.values[ring.values.length - i]!);
  const rate = steps > 0 ? sum / (steps * ring.stepMs) : 0;
  const mean = rate * request.horizonMs;
  return {
    id: history.id,
    model: 'last-value',
    class: 'unclassed',
    next: milli(rate * request.windowMs),
    mean: milli(mean),
    upper: Math.max(milli(mean), milli(countQuantile(mean, mean + UNPROVEN * mean * mean, request.level))),
  };
}

/** Moves a seasonal forecast by how demand since the last full hour compares with it, or hands over to a burst. */
function adjust(
  seasonal: Outlook,
  history: DemandHistory,
  request: DemandRequest,
  short: (burst: boolean) => Outlook,
): Outlook {
  const { curve } = seasonal;
  if (curve === undefined) return seasonal;
  const { minute } = history;
  const end = minute.start + minute.values.length * minute.stepMs;
  if (bursting(curve, minute, end)) {
    const burst = short(true);
    if (burst.mean > seasonal.mean) return { ...burst, model: `burst:${burst.model}` };
  }
  const from = Math.max(curve.start, minute.start);
  if (!(end > from)) return seasonal;
  // The hourly forecast is a Gamma prior for the factor: as strong as its relative errors were small.
  const prior = 1 / Math.max(0.01, seasonal.relativeVariance);
  const ratio = (seenSince(minute, from) + prior) / (integral(curve, from, end) + prior);
  const hours = request.horizonMs / 3_600_000;
  // Mean of kept^t over the horizon, so that a deviation fades and does not stay for the day.
  const rate = -log(DEVIATION_KEPT);
  const kept = (span: number) => (1 - exp(-rate * span)) / (rate * span);
  const factor = (span: number) => 1 + (ratio - 1) * kept(Math.max(span, 1 / 60));
  return {
    model: seasonal.model,
    class: seasonal.class,
    next: seasonal.next * factor(request.windowMs / 3_600_000),
    mean: seasonal.mean * factor(hours),
    relativeVariance: seasonal.relativeVariance,
  };
}

function bursting(curve: Ring, minute: Ring, end: number): boolean {
  return BURST_SPANS_MS.some((span) => {
    const seen = seenSince(minute, end - span);
    // The curve begins at the last full hour; for minutes before it the first hour's rate must do.
    const before = Math.max(0, Math.min(span, curve.start - (end - span)));
    const expected = integral(curve, end - span, end) + ((curve.values[0] ?? 0) * before) / curve.stepMs;
    return seen > BURST_RATIO * expected && seen - expected > BURST_DEVIATIONS * Math.sqrt(expected + 1);
  });
}

function seenSince({ start, stepMs, values }: Ring, from: number): number {
  let seen = 0;
  for (let i = Math.max(0, Math.ceil((from - start) / stepMs)); i < values.length; i++)
    seen += count(values[i]!);
  return seen;
}

/** Mixes what similar series show into a young one; its own evidence outweighs it as time passes. */
function withPrior(own: Outlook, history: DemandHistory, request: DemandRequest, first: number): Outlook {
  const { prior } = history;
  if (prior === undefined || !(prior.overMs > 0) || !(prior.requests >= 0)) return own;
  const age = Math.max(0, request.now - first);
  const share = Number.isFinite(age) ? age / (age + prior.overMs) : 0;
  const rate = prior.requests / prior.overMs;
  const mix = (value: number, span: number) => share * value + (1 - share) * rate * span;
  return {
    model: own.model === 'none' ? 'borrowed' : own.model,
    class: own.model === 'none' ? 'new' : own.class,
    next: mix(own.next, request.windowMs),
    mean: mix(own.mean, request.horizonMs),
    relativeVariance: share * own.relativeVariance + (1 - share) * UNPROVEN,
  };
}

function firstRequest({ hour, ten, minute }: DemandHistory): number {
  let first = Number.POSITIVE_INFINITY;
  for (const ring of [hour, ten, minute]) {
    for (let i = 0; i < ring.values.length; i++) {
      if (count(ring.values[i]!) === 0) continue;
      first = Math.min(first, ring.start + i * ring.stepMs);
      break;
    }
  }
  return first;
}

const milli = (requests: number): number =>
  requests > 0 ? Math.min(MILLI_MAX, Math.round(requests * MILLI)) : 0;
