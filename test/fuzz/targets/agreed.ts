import { createHash } from 'node:crypto';
import { decodeHeader, encodeHeader } from '../../../protocol/agreement-header.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import { decodeState, encodeState } from '../../../protocol/decided-state-codec.ts';
import { decodeProposal, encodeProposal } from '../../../protocol/proposal.ts';
import { seededRandom } from '../../../protocol/random.ts';
import {
  applyOperations,
  decodeOperation,
  encodeOperation,
  type RosterOperation,
} from '../../../protocol/roster-operations.ts';
import { transition } from '../../../protocol/transition.ts';
import { founder, originOf, randomProposal, trust } from '../../property/decision/cluster.ts';
import { mustHold, roundTrip, type Shape, type Target } from '../target.ts';

const shape: Shape = 'messagepack';
const random = seededRandom(11);
const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const signature = new Uint8Array(64).fill(9);
const newcomer = founder(9);

/** States after a few heights, so that vector, tunings and samples are there. */
function decided(heights: number): DecidedState {
  let state = originOf(4);
  for (let height = 1; height <= heights; height += 1) {
    const included = state.members.map((_, slot) => ({ slot, proposal: randomProposal(random, height, 12) }));
    state = transition(state, digest(`chain ${height}`), included, trust);
  }
  return state;
}
const state = decided(4);
const proposals = [5, 12].map((keys) => encodeProposal(randomProposal(random, 5, keys)));

const operations: RosterOperation[] = [
  { kind: 'join', certificate: newcomer.sealed },
  { kind: 'leave', pop: newcomer.pop, from: 1, to: 9, signature },
  { kind: 'ban', revocations: Uint8Array.of(1) },
  { kind: 'charter', terms: Uint8Array.of(1) },
  {
    ...{ kind: 'evidence', pop: newcomer.pop, height: 4 },
    proposals: [
      [digest('a'), signature],
      [digest('b'), signature],
    ],
  },
];

/** A valid proposal among honest ones: whatever it says, the state that follows can be written and read. */
function follows(input: Uint8Array): unknown {
  const proposal = decodeProposal(input);
  const honest = [1, 2, 3].map((slot) => ({ slot, proposal: decodeProposal(proposals[1]!) }));
  const next = transition(state, digest('chain'), [{ slot: 0, proposal }, ...honest], trust);
  const encoded = encodeState(next);
  mustHold(Buffer.from(encodeState(decodeState(encoded))).equals(encoded), 'the next state is not read back');
  return undefined;
}

/** What PoPs agree on. */
export const agreedTargets: readonly Target[] = [
  {
    ...{ name: 'proposal', shape, seeds: proposals, maxBytes: 64 * 1024 },
    run: roundTrip(decodeProposal, encodeProposal),
  },
  { name: 'transition', shape, seeds: proposals, share: 0.2, run: follows },
  {
    ...{ name: 'state', shape, seeds: [encodeState(originOf(2)), encodeState(state)], maxBytes: 64 * 1024 },
    run: roundTrip(decodeState, encodeState),
  },
  {
    ...{ name: 'header', shape },
    seeds: [
      encodeHeader({
        ...{ height: 4, previous: digest('p'), included: [[0, digest('a')]], stateHash: digest('s') },
        roster: [newcomer.pop],
      }),
    ],
    run: roundTrip(decodeHeader, encodeHeader),
  },
  {
    ...{ name: 'operation', shape, seeds: operations.map(encodeOperation) },
    run: roundTrip(decodeOperation, encodeOperation),
  },
  {
    ...{ name: 'operations-applied', shape, seeds: operations.map(encodeOperation) },
    run: (input) => applyOperations(state, [input], trust).members.length,
  },
];
