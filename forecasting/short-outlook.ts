import { combine } from './combination.ts';
import type { DemandHistory, DemandRequest } from './demand.ts';
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
/** A ring with fewer requests than this says less than a coarser one that remembers longer. */
const REQUESTS_LEAST = 8;
/** The newest steps, and how far, as a ratio and in standard deviations, they may stand from the forecast. */
const BREAK_STEPS = 4;
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
  const reach = (ring: Ring) =>
    request.now + request.horizonMs - (ring.start + ring.values.length * ring.stepMs);
  let ring = rings.at(-1)!;
  for (const candidate of rings) {
    if (reach(candidate) > STEPS_MAX * candidate.stepMs) continue;
    let total = 0;
    for (let i = 0; i < candidate.values.length; i++) total += count(candidate.values[i]!);
    ring = candidate;
    if (total >= REQUESTS_LEAST) break;
  }
  const values = cleaned(ring.values, 0, ring.values.length);
  const horizon = Math.max(1, Math.ceil(reach(ring) / ring.stepMs));
  const selection = select(values, [], horizon, { holdouts: HOLDOUTS, young: true });
  if (selection.class === 'empty') return { model: 'none', next: 0, mean: 0, relativeVariance: UNPROVEN };
  const { options } = selection;
  let combination = combine(values, selection.models, horizon, [], options);
  // Hold-outs lie before a burst or its end, so that their weights say nothing of it.
  if (burst || broken(values, combination.mean[0]!)) {
    combination = combine(values, BURST_MODELS, horizon, [], { ...options, power: 0 });
  }
  const { model, mean, residuals, fitted } = combination;
  const curve = { start: ring.start + values.length * ring.stepMs, stepMs: ring.stepMs, values: mean };
  return {
    model,
    next: integral(curve, request.now, request.now + request.windowMs),
    mean: integral(curve, request.now, request.now + request.horizonMs),
    relativeVariance: relativeVariance(residuals, fitted),
  };
}

/** Whether the newest steps can no longer be what the forecast goes on from. */
function broken(values: Float64Array, forecast: number): boolean {
  const steps = Math.min(BREAK_STEPS, values.length);
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
