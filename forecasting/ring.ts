/** Counts of complete steps, oldest first; `start` is demand time in ms. Also a curve of expected counts. */
export interface Ring {
  readonly start: number;
  readonly stepMs: number;
  readonly values: Float64Array | readonly number[];
}

/** Requests between two times under a curve of counts a step; beyond its end the last step goes on. */
export function integral({ start, stepMs, values }: Ring, from: number, to: number): number {
  const last = values.length - 1;
  if (last < 0 || !(to > from)) return 0;
  let sum = 0;
  let at = Math.max(from, start);
  while (at < to) {
    const index = Math.floor((at - start) / stepMs);
    // Past the last step the rest is one piece, which also ends the loop when a step is too small to move the time.
    const end = index >= last ? to : Math.min(to, start + (index + 1) * stepMs);
    sum += (values[Math.min(index, last)]! * (end - at)) / stepMs;
    if (end <= at) break;
    at = end;
  }
  return sum;
}

/** The steps from the one that holds `first` on. */
export function trimmed(ring: Ring, first: number): Ring {
  const skip = Math.floor((first - ring.start) / ring.stepMs);
  if (!(skip > 0)) return ring;
  const from = Math.min(skip, ring.values.length);
  return { start: ring.start + from * ring.stepMs, stepMs: ring.stepMs, values: ring.values.slice(from) };
}

/** A value as a count: what is missing, negative or not finite is none. */
export const count = (value: number): number => (value > 0 && value < Number.POSITIVE_INFINITY ? value : 0);
