import type { Random } from '../protocol/ports.ts';
import { backward, forward, newStep, normalised, PARAMETERS, type Step } from './models/recurrent.ts';

/** Hours; day and week. */
export const TRAINING_SEASONS = [24, 168] as const;
/** Four days a window, of which the first only warms up. */
export const TRAINING_LENGTH = 96;
/** Less than this is too short for a window, with the week before it. */
export const TRAINING_HOURS_MIN = 168 + 24 + 1 + TRAINING_LENGTH;

export interface TrainingOptions {
  /** Season lengths in steps, short then long. */
  readonly seasons: readonly [short: number, long: number];
  /** Windows to learn from. */
  readonly windows: number;
  /** Steps a window: the first `WARM` only warm the state up. */
  readonly length: number;
}

/** Adam (Kingma and Ba 2015), the rate falling to nothing along a smooth step. */
const RATE = 0.01;
const MOMENTUM = 0.9;
const SQUARES = 0.999;
const EPSILON = 1e-8;
/** Windows whose gradients make one step. */
const BATCH = 8;
/** Steps of a window before errors count. */
const WARM = 24;
/** Errors beyond this count linearly (Huber 1964), so that a spike does not steer the network. */
const HUBER = 0.3;
/** Longest gradient of a batch. */
const GRADIENT_MAX = 1;
const WEIGHT = 0.2;

/** Untrained parameters: small random gates, and a read-out that begins as the value one season ago. */
export function freshNetwork(random: Random): Float64Array {
  const parameters = Float64Array.from({ length: PARAMETERS }, () => WEIGHT * (2 * random.float() - 1));
  // The read-out of the inputs stands at the end, before the constant.
  parameters.set([0, 0.5, 0.5, 0.5, 0], PARAMETERS - 5);
  return parameters;
}

/**
 * Trains a network on windows drawn from many series, one step ahead, by backpropagation through time. Pure: the same
 * series and randomness give the same parameters. Series too short for a window are left out; with none that is long
 * enough the network comes back as it was.
 */
export function trainNetwork(
  initial: Float64Array,
  series: readonly Float64Array[],
  options: TrainingOptions,
  random: Random,
): Float64Array {
  const [short, long] = options.seasons;
  const least = long + short + 1 + options.length;
  const usable = series.filter((values) => values.length >= least);
  const parameters = initial.slice();
  if (usable.length === 0) return parameters;
  const gradient = new Float64Array(PARAMETERS);
  const first = new Float64Array(PARAMETERS);
  const second = new Float64Array(PARAMETERS);
  const steps = Array.from({ length: options.length }, newStep);
  let firstPower = 1;
  let secondPower = 1;
  const rounds = Math.ceil(options.windows / BATCH);
  for (let round = 1; round <= rounds; round++) {
    gradient.fill(0);
    for (let k = 0; k < BATCH; k++) {
      const values = usable[Math.floor(random.float() * usable.length)]!;
      const end = least + Math.floor(random.float() * (values.length - least + 1));
      const { x } = normalised(values.subarray(0, end), end - options.length, long);
      window(parameters, gradient, steps, x, end - options.length, short, long);
    }
    const left = 1 - round / rounds;
    const rate = RATE * left * left * (3 - 2 * left);
    let norm = 0;
    for (let i = 0; i < PARAMETERS; i++) {
      gradient[i]! /= BATCH * (options.length - WARM);
      norm += gradient[i]! * gradient[i]!;
    }
    const shrink = Math.min(1, GRADIENT_MAX / (Math.sqrt(norm) + EPSILON));
    firstPower *= MOMENTUM;
    secondPower *= SQUARES;
    const firstBias = 1 - firstPower;
    const secondBias = 1 - secondPower;
    for (let i = 0; i < PARAMETERS; i++) {
      const g = gradient[i]! * shrink;
      first[i] = MOMENTUM * first[i]! + (1 - MOMENTUM) * g;
      second[i] = SQUARES * second[i]! + (1 - SQUARES) * g * g;
      parameters[i]! -= (rate * (first[i]! / firstBias)) / (Math.sqrt(second[i]! / secondBias) + EPSILON);
    }
  }
  return parameters;
}

/** Runs a window forth and back; errors of the warm-up do not count. */
function window(
  parameters: Float64Array,
  gradient: Float64Array,
  steps: readonly Step[],
  x: Float64Array,
  start: number,
  short: number,
  long: number,
): void {
  const errors = new Float64Array(steps.length);
  steps[0]!.before.fill(0);
  for (let k = 0; k < steps.length; k++) {
    const step = steps[k]!;
    if (k > 0) step.before.set(steps[k - 1]!.after);
    const error = forward(parameters, step, x, start + k, short, long) - x[start + k]!;
    if (k >= WARM) errors[k] = Math.max(-HUBER, Math.min(HUBER, error));
  }
  let stateError: Float64Array = new Float64Array(steps[0]!.after.length);
  for (let k = steps.length - 1; k >= 0; k--) {
    stateError = backward(parameters, gradient, steps[k]!, errors[k]!, stateError) as Float64Array;
  }
}
