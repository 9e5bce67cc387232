import type { Worth } from './summary.ts';

/** What the plan's rules are tuned by. Integers, all of them. */
export interface Parameters {
  /** Least worth of a mirror: milli-request milliseconds saved per MiB put at risk. */
  readonly threshold: number;
  /** By how much forecast chances are trusted, thousandths. */
  readonly safety: number;
  /** PoPs that one region's demand may be mirrored to. */
  readonly targets: number;
  /** Share of a PoP's fill bandwidth that plans may spend, thousandths. */
  readonly fillShare: number;
  /** Share of mirrored bytes that may go unused, thousandths. */
  readonly wasteTarget: number;
}

export const DEFAULT_PARAMETERS: Parameters = {
  threshold: 1_500_000,
  safety: 1000,
  targets: 1,
  fillShare: 500,
  wasteTarget: 500,
};

/** Bounds of what adjustment may reach. */
export const PARAMETER_BOUNDS = {
  threshold: [100_000, 1_000_000_000],
  safety: [250, 1250],
  targets: [1, 3],
  fillShare: [100, 800],
} as const;

/** KiB of judged mirrors below which nothing is adjusted: a handful of objects proves nothing. */
const EVIDENCE_KIB = 512;
/** Judged KiB are halved when they exceed this many times the newest lot, so that the past fades. */
const MEMORY_KIB = 64 * 1024;

/** What mirrored bytes came to, over the recent past, all PoPs together. */
export interface Outcome {
  readonly usedKiB: number;
  readonly unusedKiB: number;
  /** Chance times KiB of judged mirrors, as far as it is known, and what was used of those. */
  readonly promisedKiB: number;
  readonly keptKiB: number;
}

export const NO_OUTCOME: Outcome = { usedKiB: 0, unusedKiB: 0, promisedKiB: 0, keptKiB: 0 };

/** What a PoP's window tells of its mirrors, as an outcome. */
export function outcomeOf({ usedKiB, unusedKiB, promisedKiB = 0 }: Worth): Outcome {
  return { usedKiB, unusedKiB, promisedKiB, keptKiB: promisedKiB > 0 ? usedKiB : 0 };
}

const clamp = (value: number, [low, high]: readonly [number, number]) => Math.max(low, Math.min(high, value));

/** Adds newly judged bytes to what is remembered; the memory is bounded by halving. */
export function remember(outcome: Outcome, lot: Outcome): Outcome {
  const sum = addOutcomes(outcome, lot);
  if (sum.usedKiB + sum.unusedKiB <= MEMORY_KIB) return sum;
  return {
    usedKiB: Math.floor(sum.usedKiB / 2),
    unusedKiB: Math.floor(sum.unusedKiB / 2),
    promisedKiB: Math.floor(sum.promisedKiB / 2),
    keptKiB: Math.floor(sum.keptKiB / 2),
  };
}

export function addOutcomes(a: Outcome, b: Outcome): Outcome {
  return {
    usedKiB: a.usedKiB + b.usedKiB,
    unusedKiB: a.unusedKiB + b.unusedKiB,
    promisedKiB: a.promisedKiB + b.promisedKiB,
    keptKiB: a.keptKiB + b.keptKiB,
  };
}

/**
 * Moves the parameters by what matured since the last call. `outcome` already includes `lot`. A step is
 * proportional to how far the waste is from its target and to how much of the evidence is new, so that without
 * news nothing moves, and no single object moves much. Integers only.
 */
export function adjust(parameters: Parameters, outcome: Outcome, lot: Outcome): Parameters {
  const judged = outcome.usedKiB + outcome.unusedKiB;
  const fresh = lot.usedKiB + lot.unusedKiB;
  if (judged < EVIDENCE_KIB || fresh <= 0) return parameters;
  const waste = Math.floor((1000 * outcome.unusedKiB) / judged);
  const off = waste - parameters.wasteTarget;
  const news = Math.min(1000, Math.floor((4000 * fresh) / judged));
  // At most a tenth a step: off ±500, news 1000.
  const step = clamp(Math.trunc((off * news) / 5000), [-100, 100]);
  const threshold = clamp(
    Math.floor((parameters.threshold * (1000 + step)) / 1000),
    PARAMETER_BOUNDS.threshold,
  );
  let safety = parameters.safety;
  if (outcome.promisedKiB >= EVIDENCE_KIB) {
    // Used bytes against the bytes that the chances promised.
    const wanted = clamp(Math.floor((outcome.keptKiB * 1000) / outcome.promisedKiB), PARAMETER_BOUNDS.safety);
    safety = clamp(safety + Math.trunc(((wanted - safety) * news) / 10_000), PARAMETER_BOUNDS.safety);
  }
  // Only well below the target is there anything to spend on second copies and more bandwidth.
  const thrifty = 2 * waste < parameters.wasteTarget && judged >= 16 * EVIDENCE_KIB;
  const targets = clamp(thrifty ? 2 : 1, PARAMETER_BOUNDS.targets);
  const fillShare = clamp(parameters.fillShare - Math.trunc(step / 2), PARAMETER_BOUNDS.fillShare);
  return { ...parameters, threshold, safety, targets, fillShare };
}
