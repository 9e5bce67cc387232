import { describe, expect, it } from 'vitest';
import { AgreementWorld } from '../../../node/simulator/agreement-world.ts';
import { encodeAgreement } from '../../../protocol/messages/agreement.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { firstState, SimulatedApplication } from './application.ts';
import { admission, originOf } from './operator.ts';
import { decodeOnce, popOf, SimulatedPop } from './pop.ts';
import { Witness } from './witness.ts';

const EPOCH_MS = 1_000;
/** Heights that are missed before a PoP is evicted, as many as an hour of epochs of a minute. */
const HOUR = 60;

/** PoPs on a good network, which decide a height with every beat. */
class Cluster {
  readonly world = new AgreementWorld(1, () => ({
    ...{ loss: 0, duplicates: 0, minMs: 5, maxMs: 40, stragglers: 0 },
  }));
  readonly pops: SimulatedPop[];
  readonly witness: Witness;
  /** Those whose DECISIONs carry a state that nobody decided. */
  readonly forgers = new Set<number>();
  /** DECISIONs that reached each PoP, and the bytes of the longest. */
  readonly decisions: { to: number; forged: boolean; bytes: number }[] = [];

  constructor(size: number) {
    const founders = Array.from({ length: size }, (_, index) => popOf(index));
    this.witness = new Witness(founders, new Set(founders), (members) => quorumOf(members).quorum);
    const { world, witness } = this;
    const origin = firstState(originOf(founders, HOUR));
    this.pops = founders.map((self, index) => {
      const random = seededRandom(world.random.uint32());
      return new SimulatedPop({
        ...{ index, founders, origin, world, random, epochMs: EPOCH_MS, witness },
        ...{ disk: { minMs: 1, maxMs: 5 }, defects: {}, forgetful: false },
        ...{ crashAtWrite: () => false, tearsWrite: () => false, crashed: () => undefined },
        pass: () => admission(self),
        application: new SimulatedApplication({ self, random, bodyBytes: 64, witness, lies: false }),
        carrier: {
          gossip: (from, bytes) => {
            for (const pop of this.pops) {
              if (pop !== from) this.#carry(from.index, pop, 'gossip', bytes);
            }
          },
          direct: (from, to, bytes) => {
            const pop = this.pops.find((one) => one.pop === to);
            if (pop) this.#carry(from.index, pop, 'direct', this.#told(from.index, pop.index, bytes));
          },
        },
      });
    });
  }

  #carry(from: number, to: SimulatedPop, type: 'gossip' | 'direct', bytes: Uint8Array): void {
    this.world.network.carry(from, to.index, () => to.step({ type, from: popOf(from), bytes }));
  }

  #told(from: number, to: number, bytes: Uint8Array): Uint8Array {
    const message = decodeOnce(bytes);
    if (message.kind !== 'decision' || !message.tip) return bytes;
    const forged = this.forgers.has(from);
    const snapshot = forged ? message.snapshot.map((byte) => byte ^ 1) : message.snapshot;
    this.decisions.push({ to, forged, bytes: bytes.length });
    return encodeAgreement({ ...message, snapshot });
  }

  start(index: number): void {
    this.pops[index]!.start();
    for (const pop of this.pops) {
      if (pop.index !== index) pop.step({ type: 'peer', peer: popOf(index) });
    }
  }

  /** Beats until so many further heights are decided by those who are up. */
  decide(heights: number): void {
    const up = this.pops.filter((pop) => pop.up);
    const goal = this.witness.highest + heights;
    while (this.witness.highest < goal) {
      for (const pop of up) pop.step({ type: 'propose' });
      this.world.clock.run(EPOCH_MS);
    }
  }

  roster(): readonly string[] {
    return this.witness.roster(this.witness.highest + 1) ?? [];
  }

  /** Virtual ms until the PoP has told its application of the newest height and votes; beats go on meanwhile. */
  currentWithinMs(index: number): number {
    const pop = this.pops[index]!;
    const { clock } = this.world;
    const began = clock.now;
    const current = () => pop.machine?.voting === true && this.witness.told(pop.pop) >= this.witness.highest;
    for (let beats = 0; beats < 60 && !current(); beats += 1) {
      for (const one of this.pops) one.step({ type: 'propose' });
      clock.run(EPOCH_MS, current);
    }
    return current() ? clock.now - began : Number.POSITIVE_INFINITY;
  }
}

describe('a PoP that was away', () => {
  it('for less than an hour is still a member, and current within seconds', () => {
    const cluster = new Cluster(5);
    for (const { index } of cluster.pops) cluster.start(index);
    cluster.decide(3);
    cluster.pops[4]!.crash();
    cluster.decide(HOUR - 10);
    expect(cluster.roster()).toHaveLength(5);
    cluster.start(4);
    expect(cluster.currentWithinMs(4)).toBeLessThan(5_000);
    // One certificate brought it over all of them.
    expect(cluster.decisions.filter(({ to }) => to === 4).length).toBeLessThan(20);
    cluster.decide(3);
  });

  it('for thousands of heights was evicted, and is let in again by certificates alone, whoever answers it', () => {
    const cluster = new Cluster(6);
    for (const { index } of cluster.pops) cluster.start(index);
    cluster.decide(3);
    cluster.pops[5]!.crash();
    cluster.decide(HOUR + 5);
    expect(cluster.roster()).toHaveLength(5);
    // Meanwhile others come and go, so that the roster that it knew is several changes old.
    for (let change = 0; change < 3; change += 1) {
      cluster.pops[4]!.crash();
      cluster.decide(HOUR + 5);
      expect(cluster.roster()).toHaveLength(4);
      cluster.start(4);
      expect(cluster.currentWithinMs(4)).toBeLessThan(10_000);
    }
    // The fewer there are, the sooner so many heights are played.
    cluster.pops[4]!.crash();
    cluster.decide(2_000);
    const away = cluster.witness.highest - cluster.witness.told(popOf(5));
    expect(away).toBeGreaterThan(2_200);

    cluster.forgers.add(0).add(1);
    const before = cluster.decisions.length;
    cluster.start(5);
    expect(cluster.currentWithinMs(5)).toBeLessThan(10_000);
    const answers = cluster.decisions.slice(before).filter(({ to }) => to === 5);
    expect(answers.some(({ forged }) => forged)).toBe(true);
    expect(answers.some(({ forged }) => !forged)).toBe(true);
    expect(cluster.roster()).toHaveLength(5);
    expect(cluster.roster()).toContain(popOf(5));
    // The height that it is at was told it by a certificate: those between are nowhere.
    expect(Math.max(...answers.map(({ bytes }) => bytes))).toBeLessThan(20_000);
    cluster.decide(3);
    expect(cluster.witness.told(popOf(5))).toBe(cluster.witness.highest);
  });
});
