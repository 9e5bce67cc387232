import { describe, expect, it } from 'vitest';
import { AgreementWorld } from '../../../node/simulator/agreement-world.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { firstState, SimulatedApplication } from './application.ts';
import { originOf } from './operator.ts';
import { popOf, SimulatedPop } from './pop.ts';
import { Witness } from './witness.ts';

const POPS = 15;
const HEIGHTS = 3;

/** Gossip messages that a PoP says at a height where what it is told takes up to `maxMs`. */
function saidWithin(maxMs: number): number {
  const world = new AgreementWorld(1, () => ({ loss: 0, duplicates: 0, minMs: 5, maxMs, stragglers: 0 }));
  const founders = Array.from({ length: POPS }, (_, index) => popOf(index));
  const witness = new Witness(founders, new Set(founders), (members) => quorumOf(members).quorum);
  let said = 0;
  const pops: SimulatedPop[] = founders.map((self, index) => {
    const random = seededRandom(world.random.uint32());
    const carry = (to: SimulatedPop, type: 'gossip' | 'direct', bytes: Uint8Array) =>
      world.network.carry(index, to.index, () => to.step({ type, from: self, bytes }));
    return new SimulatedPop({
      ...{ index, founders, world, random, witness, epochMs: 60_000, disk: { minMs: 1, maxMs: 5 } },
      ...{ defects: {}, forgetful: false, crashAtWrite: () => false, tearsWrite: () => false },
      ...{ pass: () => undefined, crashed: () => undefined },
      origin: firstState(originOf(founders, 1_000)),
      application: new SimulatedApplication({ self, random, bodyBytes: 64, witness, lies: false }),
      carrier: {
        gossip: (from, bytes) => {
          said += 1;
          for (const pop of pops) if (pop !== from) carry(pop, 'gossip', bytes);
        },
        direct: (_from, to, bytes) => carry(pops.find(({ pop }) => pop === to)!, 'direct', bytes),
      },
    });
  });
  for (const pop of pops) pop.start();
  for (let height = 1; height <= HEIGHTS; height += 1) {
    for (const pop of pops) pop.step({ type: 'propose' });
    const done = () => pops.every((pop) => witness.told(pop.pop) >= height);
    world.clock.run(60_000, done);
    expect(done()).toBe(true);
    world.clock.run(60_000 - 1_000);
  }
  return said / POPS / HEIGHTS;
}

describe('agreement where answers are slow', () => {
  it('says hardly more than where they are quick: else the busy would keep each other busy', () => {
    const [quick, slow] = [saidWithin(50), saidWithin(8_000)];
    expect(quick).toBeLessThan(10);
    expect(slow).toBeLessThan(3 * quick);
  });
});
