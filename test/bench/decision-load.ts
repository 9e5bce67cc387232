import { committeesOf, type DecidedState } from '../../protocol/decided-state.ts';
import type { RegionId } from '../../protocol/ids.ts';
import type { Proposal, ProposalEntry } from '../../protocol/proposal.ts';
import { encodeProposal, entryBytes, proposalBytesMax } from '../../protocol/proposal.ts';
import { seededRandom } from '../../protocol/random.ts';
import { key16, originOf, proposal, SITES } from '../property/decision/cluster.ts';

const REGIONS = Array.from({ length: 30 }, (_, i) => `region-${String(i).padStart(2, '0')}` as RegionId);
/** Regions that a resource is expected to be asked for from, and one that has. */
const EXPECTED = 3;

/** A decided state of so many resources, and bodies of all PoPs that are as long as they may be. */
export function decisionLoad(resources: number, pops: number): { state: DecidedState; bodies: Uint8Array[] } {
  const random = seededRandom(5);
  const upTo = (max: number) => random.uint32() % (max + 1);
  const origin = originOf(pops);
  const vector = Array.from({ length: resources }, (_, n) => ({
    ...{ key16: key16(n), site: SITES[n % 2]!, sizeClass: 80 + (n % 100) },
    cells: Array.from({ length: 1 + EXPECTED }, (__, i) => ({
      region: REGIONS[(n + 7 * i) % REGIONS.length]!,
      ...(i === 0
        ? { expected: 0, chance: 0, credit: 0, held: false, holder: true }
        : { expected: upTo(20_000), chance: 900, credit: 1 + upTo(900), held: false, holder: false }),
    })).sort((a, b) => (a.region < b.region ? -1 : 1)),
  })).sort((a, b) => (a.key16 < b.key16 ? -1 : 1));
  const members = origin.members.map((member, i) => ({
    ...{ ...member, region: REGIONS[i % REGIONS.length]!, cap: proposal().cap },
  }));
  const state: DecidedState = { ...origin, members, vector };
  const limit = proposalBytesMax(pops);
  const committees = committeesOf(state);
  const bodies = members.map(({ pop }) => {
    const entries: ProposalEntry[] = [];
    let left = limit - 2_048;
    for (const { key16: key, site, sizeClass, cells } of vector) {
      if (!committees.includes(key, pop)) continue;
      const entry: ProposalEntry = {
        ...{ key16: key, site, sizeClass },
        cells: cells.map((cell) => ({
          ...{ region: cell.region, next: cell.expected >> 6, mean: cell.expected + upTo(500) },
          ...{ upper: 2 * cell.expected, observed: 0, chance: cell.chance },
          ...{ credit: Math.min(1000, cell.credit + upTo(50)), held: 0, holder: cell.holder ? 1 : 0 },
        })),
      };
      left -= entryBytes(entry);
      if (left < 0) break;
      entries.push(entry);
    }
    const said: Proposal = proposal({ entries });
    return encodeProposal(said);
  });
  return { state, bodies };
}
