import { describe, expect, it } from 'vitest';
import { createRedial, FIRST_DELAY_MS, LAST_DELAY_MS, type Redial } from '../../../node/adapters/redial.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { testLog } from '../../integration/network/cluster.ts';
import { stepClock } from './step-clock.ts';

/** Peer ids that need no keys: any 32 bytes make one. */
const pop = (n: number): PopId => popIdOf(new Uint8Array(32).map((_, i) => (n >> (8 * (i % 4))) & 255));

function world(self = pop(1), seed = 1) {
  const time = stepClock();
  const dials: { at: number; address: string; pop: PopId | undefined }[] = [];
  const connected = new Set<PopId>();
  const state: { redial?: Redial; answer: (address: string, pop?: PopId) => PopId | undefined } = {
    answer: () => undefined,
  };
  const redial = createRedial(self, {
    clock: time.clock,
    random: seededRandom(seed),
    log: testLog(),
    isConnected: (peer) => connected.has(peer),
    dial: async (addresses, peer) => {
      dials.push({ at: time.clock.monotonic(), address: addresses[0] ?? '', pop: peer });
      const found = state.answer(addresses[0] ?? '', peer);
      if (!found) throw new Error('nobody there');
      connected.add(found);
      redial.up(found);
      return found;
    },
  });
  return { ...time, dials, connected, redial, state };
}

describe('redialling', () => {
  it('backs off from half a second to half a minute, with jitter, and never gives up', async () => {
    const { redial, run, dials } = world();
    redial.addBootstrap('/ip4/192.0.2.1/tcp/1');
    await run(3_600_000);
    const gaps = dials.slice(1).map(({ at }, i) => at - dials[i]!.at);
    expect(dials[0]!.at).toBe(0);
    for (const [i, gap] of gaps.entries()) {
      const base = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** (i + 1));
      expect(gap).toBeGreaterThanOrEqual(base * 0.5);
      expect(gap).toBeLessThanOrEqual(base * 1.5);
    }
    expect(gaps.length).toBeGreaterThan(70);
    expect(new Set(gaps.slice(20).map(Math.round)).size).toBeGreaterThan(30);
  });
  it('starts anew from the shortest delay when a connection is lost', async () => {
    const { redial, run, dials, connected, state } = world();
    const other = pop(2);
    state.answer = () => other;
    redial.addBootstrap('/ip4/192.0.2.1/tcp/1');
    await run(10);
    expect(connected.has(other)).toBe(true);
    await run(100_000);
    expect(dials).toHaveLength(1);
    connected.delete(other);
    redial.down(other);
    await run(100_000 + FIRST_DELAY_MS * 1.5);
    expect(dials).toHaveLength(2);
    expect(dials[1]!.pop).toBe(other);
  });
  it('leaves the first try to the PoP with the smaller id, and does not wait for ever', async () => {
    const [low, high] = [pop(1), pop(2)].sort() as [PopId, PopId];
    const eager = world(low);
    const patient = world(high);
    eager.redial.learn(high, ['/ip4/192.0.2.2/tcp/1']);
    patient.redial.learn(low, ['/ip4/192.0.2.1/tcp/1']);
    await eager.run(5_000);
    await patient.run(5_000);
    expect(eager.dials[0]!.at).toBeLessThan(200);
    expect(patient.dials[0]!.at).toBeGreaterThan(500);
  });
  it('forgets the address that turns out to be its own', async () => {
    const { redial, run, dials, state, pending } = world();
    state.answer = () => pop(1);
    redial.addBootstrap('/ip4/192.0.2.1/tcp/1');
    redial.addBootstrap(`/ip4/192.0.2.1/tcp/1/p2p/${pop(1)}`);
    await run(3_600_000);
    expect(dials).toHaveLength(1);
    expect(pending()).toBe(0);
  });
  it('does not dial whom it has to forget', async () => {
    const { redial, run, dials } = world();
    redial.learn(pop(2), ['/ip4/192.0.2.2/tcp/1']);
    redial.forget(pop(2));
    await run(100_000);
    expect(dials).toEqual([]);
    await expect(redial.reach(pop(2))).rejects.toMatchObject({ code: 'PEER_UNKNOWN' });
  });
  it('connects all to all up to 64, and some forty links each beyond, in one connected graph', () => {
    const members = Array.from({ length: 300 }, (_, i) => pop(i + 1));
    const chosen = new Map(
      members.map((self) => {
        const { redial } = world(self);
        for (const other of members) redial.learn(other, ['/ip4/192.0.2.2/tcp/1']);
        return [self, redial.wanted()] as const;
      }),
    );
    const links = new Map(members.map((self) => [self, new Set<PopId>()]));
    for (const [self, wanted] of chosen) {
      for (const other of wanted) {
        links.get(self)!.add(other);
        links.get(other)!.add(self);
      }
    }
    const degrees = [...links.values()].map(({ size }) => size).sort((a, b) => a - b);
    expect(degrees[150]).toBeGreaterThanOrEqual(36);
    expect(degrees[150]).toBeLessThanOrEqual(44);
    expect(degrees.at(-1)).toBeLessThan(64);
    const reached = new Set<PopId>([members[0]!]);
    for (const self of reached) for (const other of links.get(self)!) reached.add(other);
    expect(reached.size).toBe(300);

    const few = world(members[0]);
    for (const other of members.slice(0, 64)) few.redial.learn(other, ['/ip4/192.0.2.2/tcp/1']);
    expect(few.redial.wanted()).toHaveLength(63);
  });
});
