import { type DecidedState, sha256 } from '../../../protocol/decided-state.ts';
import { encodeState } from '../../../protocol/decided-state-codec.ts';
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

/** The hashes of a random history's states, one a height. */
export function historyOf(
  seed: number,
  size: number,
  heights: number,
  { arrange = (included) => included, carry = (state) => state }: Circumstances = {},
): string[] {
  const random = seededRandom(seed);
  const hashes: string[] = [];
  let state = originOf(size);
  for (let height = 1; height <= heights; height += 1) {
    const included: IncludedProposal[] = [];
    for (let slot = 0; slot < state.members.length; slot += 1) {
      const body = encodeProposal(randomProposal(random, height));
      const absent = random.uint32() % 8;
      if (absent === 0) continue;
      included.push({ slot, proposal: absent === 1 ? undefined : decodeProposal(body) });
    }
    state = carry(transition(state, sha256(Buffer.from(`chain ${height - 1}`)), arrange(included), trust));
    hashes.push(sha256(encodeState(state)));
  }
  return hashes;
}

if (process.argv[1] === import.meta.filename) {
  const [seed, size, heights] = process.argv.slice(2).map(Number);
  process.stdout.write(JSON.stringify(historyOf(seed ?? 0, size ?? 1, heights ?? 1)));
}
