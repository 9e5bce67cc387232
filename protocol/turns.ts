import type { VectorResource } from './demand-vector.ts';
import { product, quotient } from './exact.ts';
import type { Key16 } from './ids.ts';
import { proposalBytesMax } from './proposal.ts';

/**
 * A height's proposals have no room for all that is known, and most of it has not changed. So PoPs repeat it by
 * turns: each height takes up, in the order of keys, where the one before left off. As the turn follows from the
 * decided state, all correct PoPs list the same keys at the same height; and as keys are hashes, resources of all
 * kinds take part in each. What nobody repeats in its turn is on its way out.
 */

/** About what an entry of a proposal takes, and each of its regions. */
const ENTRY_BYTES = 26;
const CELL_BYTES = 20;
/** What of a proposal is for turns: half of a summary, so that agreeing costs less than telling what was seen. */
const TURN_BYTES = 32 * 1024;
/** At most that share of a proposal, one in so many; what is new or has changed gets the rest. */
const SHARE = 2;
/** What fits into a proposal easily is repeated by quarters all the same; so little, at every height. */
const QUARTER = 4;
const LITTLE_BYTES = 4 * 1024;
/** Heights that one turn makes up for at most, in following what is said and in fading where nothing is. */
const STEPS_MAX = 4;
const FADE_MAX = 8;

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
  /** Heights that this turn makes up for: in following what is said, and in fading where nothing is. */
  readonly steps: number;
  readonly fade: number;
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
  const each = Math.min(TURN_BYTES, quotient(proposalBytesMax(pops), SHARE));
  const all = quotient(product(each, Math.max(1, pops)), Math.max(1, speakers));
  let total = 0;
  for (const resource of vector) total += costOf(resource);
  const room = Math.min(all, Math.max(LITTLE_BYTES, Math.ceil(total / QUARTER)));
  const first = firstFrom(vector, from);
  let end = first;
  for (let spent = 0; end < vector.length && spent < room; end += 1) spent += costOf(vector[end]!);
  const heights = Math.max(1, Math.ceil(total / room));
  return { first, end, heights, steps: Math.min(STEPS_MAX, heights), fade: Math.min(FADE_MAX, heights) };
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
