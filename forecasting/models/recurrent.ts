import { exp, log, tanh } from '../elementary.ts';
import type { Model } from './model.ts';

/** Hidden units. */
const UNITS = 16;
/** The value before, those one short and one long season before, and how the last value stood to its season. */
const INPUTS = 4;
/** Steps before an origin that warm the state up, in short seasons. */
const WARM_SEASONS = 3;
/** Largest normalised value; beyond it a recursion has diverged. */
const BOUND = 8;
const GATE = UNITS * (INPUTS + UNITS + 1);
/** Parameters of a network: three gates, the read-out of the state and of the inputs, and a constant. */
export const PARAMETERS = 3 * GATE + UNITS + INPUTS + 1;

/** Where things lie in the parameters: per gate input weights, state weights and biases, then the read-out. */
const OUT_STATE = 3 * GATE;
const OUT_INPUT = OUT_STATE + UNITS;
const OUT_CONSTANT = OUT_INPUT + INPUTS;

/** What a step leaves behind for the way back. */
export interface Step {
  readonly input: Float64Array;
  readonly before: Float64Array;
  readonly update: Float64Array;
  readonly reset: Float64Array;
  /** State part of the candidate before the reset gate. */
  readonly inner: Float64Array;
  readonly candidate: Float64Array;
  readonly after: Float64Array;
}

export function newStep(): Step {
  const of = (length: number) => new Float64Array(length);
  return {
    input: of(INPUTS),
    before: of(UNITS),
    update: of(UNITS),
    reset: of(UNITS),
    inner: of(UNITS),
    candidate: of(UNITS),
    after: of(UNITS),
  };
}

/** Series on the scale that the network knows: logarithms less their mean, over their deviation, both before `origin`. */
export function normalised(values: Float64Array, origin: number, season: number) {
  let mean = 0;
  for (let t = 0; t < origin; t++) mean += values[t]! / origin;
  const offset = 0.02 * (mean > 0 ? mean : 1);
  const logs = new Float64Array(values.length);
  for (let t = 0; t < logs.length; t++) logs[t] = log(values[t]! + offset);
  const from = Math.max(0, origin - season);
  let centre = 0;
  for (let t = from; t < origin; t++) centre += logs[t]! / (origin - from);
  let spread = 0;
  for (let t = from; t < origin; t++) spread += ((logs[t]! - centre) * (logs[t]! - centre)) / (origin - from);
  const scale = Math.max(0.05, Math.sqrt(spread));
  for (let t = 0; t < logs.length; t++)
    logs[t] = Math.max(-BOUND, Math.min(BOUND, (logs[t]! - centre) / scale));
  return { x: logs, back: (y: number) => exp(y * scale + centre) - offset };
}

/** One step of the network (GRU, Cho et al. 2014) for position `t` of `x`; the state is that of `before`. */
export function forward(
  parameters: Float64Array,
  step: Step,
  x: Float64Array,
  t: number,
  short: number,
  long: number,
): number {
  const { input, before, update, reset, inner, candidate, after } = step;
  input[0] = x[t - 1]!;
  input[1] = x[t - short]!;
  input[2] = x[t - long]!;
  input[3] = x[t - 1]! - x[t - 1 - short]!;
  for (let u = 0; u < UNITS; u++) {
    update[u] = 1 / (1 + exp(-gate(parameters, 0, u, input, before)));
    reset[u] = 1 / (1 + exp(-gate(parameters, GATE, u, input, before)));
    inner[u] = stateSum(parameters, 2 * GATE, u, before);
    const raw = inputSum(parameters, 2 * GATE, u, input) + reset[u]! * inner[u]!;
    candidate[u] = tanh(raw);
    after[u] = (1 - update[u]!) * candidate[u]! + update[u]! * before[u]!;
  }
  let y = parameters[OUT_CONSTANT]!;
  for (let u = 0; u < UNITS; u++) y += parameters[OUT_STATE + u]! * after[u]!;
  for (let i = 0; i < INPUTS; i++) y += parameters[OUT_INPUT + i]! * input[i]!;
  return y;
}

const gate = (p: Float64Array, base: number, u: number, input: Float64Array, state: Float64Array) =>
  inputSum(p, base, u, input) + stateSum(p, base, u, state);

function inputSum(p: Float64Array, base: number, u: number, input: Float64Array): number {
  const row = base + u * INPUTS;
  let sum = p[base + UNITS * (INPUTS + UNITS) + u]!;
  for (let i = 0; i < INPUTS; i++) sum += p[row + i]! * input[i]!;
  return sum;
}

function stateSum(p: Float64Array, base: number, u: number, state: Float64Array): number {
  const row = base + UNITS * INPUTS + u * UNITS;
  let sum = 0;
  for (let k = 0; k < UNITS; k++) sum += p[row + k]! * state[k]!;
  return sum;
}

/** Adds the gradient of one step, given the error signals at its output and its state; returns that of the state before. */
export function backward(
  parameters: Float64Array,
  gradient: Float64Array,
  step: Step,
  outputError: number,
  stateError: Float64Array,
): Float64Array {
  const { input, before, update, reset, inner, candidate, after } = step;
  gradient[OUT_CONSTANT]! += outputError;
  for (let i = 0; i < INPUTS; i++) gradient[OUT_INPUT + i]! += outputError * input[i]!;
  const past = new Float64Array(UNITS);
  for (let u = 0; u < UNITS; u++) {
    gradient[OUT_STATE + u]! += outputError * after[u]!;
    const error = stateError[u]! + outputError * parameters[OUT_STATE + u]!;
    past[u]! += error * update[u]!;
    const candidateError = error * (1 - update[u]!) * (1 - candidate[u]! * candidate[u]!);
    const updateError = error * (before[u]! - candidate[u]!) * update[u]! * (1 - update[u]!);
    const resetError = candidateError * inner[u]! * reset[u]! * (1 - reset[u]!);
    spread(parameters, gradient, 0, u, updateError, updateError, input, before, past);
    spread(parameters, gradient, GATE, u, resetError, resetError, input, before, past);
    spread(
      parameters,
      gradient,
      2 * GATE,
      u,
      candidateError,
      candidateError * reset[u]!,
      input,
      before,
      past,
    );
  }
  return past;
}

function spread(
  p: Float64Array,
  gradient: Float64Array,
  base: number,
  u: number,
  inputError: number,
  stateError: number,
  input: Float64Array,
  before: Float64Array,
  past: Float64Array,
): void {
  gradient[base + UNITS * (INPUTS + UNITS) + u]! += inputError;
  for (let i = 0; i < INPUTS; i++) gradient[base + u * INPUTS + i]! += inputError * input[i]!;
  const row = base + UNITS * INPUTS + u * UNITS;
  for (let k = 0; k < UNITS; k++) {
    gradient[row + k]! += stateError * before[k]!;
    past[k]! += stateError * p[row + k]!;
  }
}

/**
 * One small recurrent network for all series, trained elsewhere, that goes on from its own forecasts. Serves where
 * there are two seasons.
 */
export function recurrent(name: string, parameters: Float64Array): Model {
  return {
    name,
    needs: (seasons) => {
      const [short, long] = seasons;
      return short === undefined || long === undefined
        ? Number.POSITIVE_INFINITY
        : long + (WARM_SEASONS + 1) * short + 1;
    },
    forecast({ values, origins, horizon, seasons }) {
      const short = seasons[0] ?? 1;
      const long = seasons[1] ?? short;
      return origins.map((origin) => {
        const known = new Float64Array(origin + horizon);
        known.set(values.subarray(0, origin));
        const { x, back } = normalised(known, origin, long);
        const step = newStep();
        const out = new Float64Array(horizon);
        for (let t = origin - WARM_SEASONS * short; t < origin + horizon; t++) {
          const y = forward(parameters, step, x, t, short, long);
          step.before.set(step.after);
          if (t < origin) continue;
          x[t] = Math.max(-BOUND, Math.min(BOUND, y));
          out[t - origin] = back(x[t]!);
        }
        return out;
      });
    },
  };
}
