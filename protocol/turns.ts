import type { VectorResource } from './demand-vector.ts';
import { product, quotient } from './exact.ts';
import type { Key16 } from './ids.ts';
import { proposalBytesMax } from './proposal.ts';

/**
 * A height's proposals have no room for all that is known, and most of it has not changed. So PoPs repeat it by
 * turns: each height takes up, in the order of keys, where the one before left off, and half of a proposal is for
 * that. As the turn follows from the decided state, all correct PoPs list the same keys at the same height; and as
 * keys are hashes, resources of all kinds take part in each.
 */

/** About what an entry of a proposal takes, and each of its regions. */
const ENTRY_BYTES = 26;
const CELL_BYTES = 20;
/** Share of a proposal, one in so many, that is for turns; what is new or has changed gets the rest. */
const SHARE = 2;
/** Heights that one turn makes up for at most: after a longer cycle old demand follows still more slowly. */
const STEPS_MAX = 4;

/** Where the turns stand. */
export interface Turns {
  /** Times that all keys have had their turn. */
  readonly cycle: number;
  /** The next turn begins with this key, or the next greater one. */
  readonly from: Key16;
}

export const NO_TURNS: Turns = { cycle: 0, from: '0'.repeat(32) as Key16 };

/** One height's turn: the vector's resources from `first` up to `end`. */
export interface Turn {
  readonly first: number;
  readonly end: number;
  /** Heights that it takes until all have had their turn, about. */
  readonly heights: number;
  /** Heights' worth of smoothing and fading that this turn makes up for. */
  readonly steps: number;
}

/** About what a proposal takes that lists a resource. */
const costOf = ({ cells }: VectorResource): number => ENTRY_BYTES + CELL_BYTES * cells.length;

/**
 * The turn that follows from a decided state.
 *
 * @param pops in the roster
 * @param speakers on one key: where only some speak, a proposal reaches further
 */
export function turnOf(
  vector: readonly VectorResource[],
  { from }: Turns,
  pops: number,
  speakers: number,
): Turn {
  const room = quotient(
    product(quotient(proposalBytesMax(pops), SHARE), Math.max(1, pops)),
    Math.max(1, speakers),
  );
  let total = 0;
  for (const resource of vector) total += costOf(resource);
  const first = firstFrom(vector, from);
  let end = first;
  for (let left = room; end < vector.length; end += 1) {
    left -= costOf(vector[end]!);
    if (left < 0) break;
  }
  const heights = Math.max(1, Math.ceil(total / room));
  return { first, end, heights, steps: Math.min(STEPS_MAX, heights) };
}

/** Where the turns stand after one, by the vector that it was a turn of. */
export function turnsAfter(vector: readonly VectorResource[], { cycle }: Turns, { end }: Turn): Turns {
  const next = vector[end];
  return next === undefined ? { cycle: cycle + 1, from: NO_TURNS.from } : { cycle, from: next.key16 };
}

function firstFrom(vector: readonly VectorResource[], key16: Key16): number {
  let low = 0;
  let high = vector.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (vector[middle]!.key16 < key16) low = middle + 1;
    else high = middle;
  }
  return low;
}
