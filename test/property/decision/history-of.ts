import { type DecidedState, sha256 } from '../../../protocol/decided-state.ts';
import { decodeState, encodeState } from '../../../protocol/decided-state-codec.ts';
import { decodeProposal, encodeProposal } from '../../../protocol/proposal.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { type IncludedProposal, transition } from '../../../protocol/transition.ts';
import { originOf, randomProposal, trust } from './cluster.ts';

/** How one PoP happens to take in what is the same everywhere. */
export interface Circumstances {
  /** In what order the included proposals lie. */
  readonly arrange?: (included: IncludedProposal[]) => IncludedProposal[];
  /** What happens to a state between two heights. */
  readonly carry?: (state: DecidedState) => DecidedState;
}

/** More than is repeated at one height, so that resources take turns. */
const KEYS = 120;

/** The states of a random history, one a height: late and absent PoPs, keys that only some list, heights in between. */
export function statesOf(
  seed: number,
  size: number,
  heights: number,
  { arrange = (included) => included, carry = (state) => state }: Circumstances = {},
): DecidedState[] {
  const random = seededRandom(seed);
  const states: DecidedState[] = [];
  let state = originOf(size);
  for (let height = 1; height <= heights; height += 1) {
    const included: IncludedProposal[] = [];
    for (let slot = 0; slot < state.members.length; slot += 1) {
      // Windows go on at two heights of three, and one PoP in eight speaks of the window before.
      const window = Math.floor((2 * height) / 3) - (random.uint32() % 8 === 0 ? 1 : 0);
      const spoken = randomProposal(random, window, KEYS);
      const entries = spoken.entries.filter(() => random.uint32() % 3 > 0);
      const body = encodeProposal({ ...spoken, entries });
      const absent = random.uint32() % 8;
      if (absent === 0) continue;
      included.push({ slot, proposal: absent === 1 ? undefined : decodeProposal(body) });
    }
    state = carry(transition(state, sha256(Buffer.from(`chain ${height - 1}`)), arrange(included), trust));
    states.push(state);
  }
  return states;
}

/** The hashes of a random history's states. */
export const historyOf = (...history: Parameters<typeof statesOf>): string[] =>
  statesOf(...history).map((state) => sha256(encodeState(state)));

/** Included proposals in another order. */
export function shuffled(seed: number): (included: IncludedProposal[]) => IncludedProposal[] {
  const random = seededRandom(seed);
  return (included) =>
    included
      .map((one) => ({ one, at: random.uint32() }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
}

if (process.argv[1] === import.meta.filename) {
  const [seed, size, heights, shuffle] = process.argv.slice(2).map(Number);
  const circumstances = shuffle
    ? { arrange: shuffled(shuffle), carry: (state: DecidedState) => decodeState(encodeState(state)) }
    : {};
  process.stdout.write(JSON.stringify(historyOf(seed ?? 0, size ?? 1, heights ?? 1, circumstances)));
}
