import { type Combination, combine } from './combination.ts';
import type { DemandClass, DemandHistory, DemandRequest } from './demand.ts';
import { BURST_MODELS } from './repertoire.ts';
import { count, integral, type Ring, trimmed } from './ring.ts';
import type { Outlook } from './seasonal-outlook.ts';
import { select } from './selection.ts';
import { cleaned } from './series.ts';

/** Relative variance of a forecast that nothing is known of. */
export const UNPROVEN = 1;
/** Hold-outs on rings: fewer than offline, since they are redone every epoch. */
const HOLDOUTS = 6;
/** A ring serves horizons of up to so many of its steps. */
const STEPS_MAX = 30;
/** A burst is followed for so many minutes; the last of them goes on to the end of the horizon. */
const MINUTES_MAX = 240;
/** No horizon is cut into more steps than this, whatever the rings say of time. */
const STEPS_HARD_MAX = 400;
/** A ring with fewer requests than this says less than a coarser one that remembers longer. */
const REQUESTS_LEAST = 8;
/** The newest steps, and how far, as a ratio and in standard deviations, they may stand from the forecast. */
const BREAK_STEPS = 4;
/** … of a minute ring beside a coarse one. */
const BREAK_MINUTES = 10;
const BREAK_RATIO = 2;
const BREAK_DEVIATIONS = 4;

/** The finest ring that reaches over the horizon and holds enough requests, combined over models for its class. */
export function shortOutlook(
  history: DemandHistory,
  request: DemandRequest,
  first: number,
  burst: boolean,
): Outlook {
  const rings = [history.minute, history.ten, history.hour].map((ring) => trimmed(ring, first));
  const minute = rings[0]!;
  const fine = cleaned(minute.values, 0, minute.values.length);
  const followed = () =>
    outlook(bursting(fine, Math.min(MINUTES_MAX, stepsTo(minute, request))), 'burst', minute, request);
  if (burst && fine.length > 0) return followed();
  const ring = chosen(rings, request);
  const values = ring === minute ? fine : cleaned(ring.values, 0, ring.values.length);
  const horizon = stepsTo(ring, request);
  const selection = select(values, [], horizon, { holdouts: HOLDOUTS, young: true });
  if (selection.class === 'empty')
    return { model: 'none', class: 'quiet', next: 0, mean: 0, relativeVariance: UNPROVEN };
  const usual = combine(values, selection.models, horizon, [], selection.options);
  // Hold-outs lie before a burst or its end, so that their weights say nothing of it; and a burst may be younger than
  // the newest step of a coarse ring.
  if (broken(values, usual.mean[0]!, BREAK_STEPS))
    return outlook(bursting(values, horizon), 'burst', ring, request);
  const aMinute = (usual.mean[0]! * minute.stepMs) / ring.stepMs;
  if (ring !== minute && fine.length > 0 && broken(fine, aMinute, BREAK_MINUTES)) return followed();
  return outlook(usual, selection.class === 'counts' ? 'counts' : 'short', ring, request);
}

/** The finest ring that reaches over the horizon and holds enough requests, else the one that holds most. */
function chosen(rings: readonly Ring[], request: DemandRequest): Ring {
  let best = rings[0]!;
  let most = -1;
  for (const ring of rings) {
    let total = 0;
    for (let i = 0; i < ring.values.length; i++) total += count(ring.values[i]!);
    if (total >= REQUESTS_LEAST && stepsTo(ring, request) <= STEPS_MAX) return ring;
    // Coarser rings remember longer, but hold whole steps only: the finest may know most of what is young.
    if (total >= most) {
      best = ring;
      most = total;
    }
  }
  return best;
}

const stepsTo = ({ start, stepMs, values }: Ring, { now, horizonMs }: DemandRequest): number =>
  Math.min(
    STEPS_HARD_MAX,
    Math.max(1, Math.ceil((now + horizonMs - start - values.length * stepMs) / stepMs)),
  );

const bursting = (values: Float64Array, horizon: number): Combination =>
  combine(values, BURST_MODELS, horizon, [], {
    holdouts: HOLDOUTS,
    spacing: Math.max(1, Math.floor(values.length / (2 * HOLDOUTS))),
    power: 0,
    blocks: 1,
    metric: 'absolute',
  });

function outlook(
  { model, mean, residuals, fitted }: Combination,
  kind: DemandClass,
  ring: Ring,
  request: DemandRequest,
): Outlook {
  const curve = { start: ring.start + ring.values.length * ring.stepMs, stepMs: ring.stepMs, values: mean };
  return {
    model,
    class: kind,
    next: integral(curve, request.now, request.now + request.windowMs),
    mean: integral(curve, request.now, request.now + request.horizonMs),
    relativeVariance: relativeVariance(residuals, fitted),
  };
}

/** Whether the newest steps can no longer be what the forecast goes on from. */
function broken(values: Float64Array, forecast: number, newest: number): boolean {
  const steps = Math.min(newest, values.length);
  let seen = 0;
  for (let i = values.length - steps; i < values.length; i++) seen += values[i]!;
  const expected = forecast * steps;
  const apart = seen > BREAK_RATIO * expected || expected > BREAK_RATIO * seen;
  return apart && Math.abs(seen - expected) > BREAK_DEVIATIONS * Math.sqrt(Math.max(seen, expected) + 1);
}

/** Excess of the squared errors of hold-out totals over Poisson noise, relative to the totals. */
function relativeVariance(residuals: readonly Float64Array[], fitted: readonly Float64Array[]): number {
  let excess = 0;
  let scale = 0;
  for (let j = 0; j < residuals.length; j++) {
    let error = 0;
    let total = 0;
    for (let h = 0; h < residuals[j]!.length; h++) {
      error += residuals[j]![h]!;
      total += fitted[j]![h]!;
    }
    excess += error * error - total;
    scale += total * total;
  }
  // One hold-out's worth of ignorance is mixed in, so that a lucky streak does not pass for certainty.
  const weight = residuals.length / (residuals.length + 1);
  const own = scale > 0 ? Math.max(0, Math.min(4, excess / scale)) : UNPROVEN;
  return weight * own + (1 - weight) * UNPROVEN * 0.25;
}
