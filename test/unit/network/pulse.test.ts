import { describe, expect, it } from 'vitest';
import { createPulse } from '../../../node/adapters/libp2p-pulse.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { stepClock } from './step-clock.ts';

const PEER = 'peer' as PopId;

function world(answers: () => number | undefined) {
  const time = stepClock();
  const dead: number[] = [];
  const state = { heard: 0, connected: true };
  const pulse = createPulse({
    clock: time.clock,
    random: seededRandom(1),
    connected: () => (state.connected ? [PEER] : []),
    ping: (_peer, deadlineMs) =>
      new Promise<void>((resolve, reject) => {
        const delay = answers();
        if (delay === undefined) {
          time.clock.after(deadlineMs, () => reject(new PresageError('PEER_TIMEOUT')));
          return;
        }
        time.clock.after(delay, () => {
          state.heard = time.clock.monotonic();
          resolve();
        });
      }),
    lastHeard: () => state.heard,
    dead: () => {
      dead.push(time.clock.monotonic());
      state.connected = false;
    },
    beat: () => undefined,
  });
  pulse.up(PEER);
  return { ...time, pulse, dead, state };
}

describe('the pulse', () => {
  it('takes the shortest of the last round trips, and not the one that opened the lane', async () => {
    const times = [500, 40, 30, 60];
    const { run, pulse } = world(() => times.shift() ?? 35);
    await run(450);
    expect(pulse.roundTripMs(PEER)).toBeUndefined();
    await run(2_000);
    expect(pulse.roundTripMs(PEER)).toBe(30);
    await run(120_000);
    expect(pulse.roundTripMs(PEER)).toBe(35);
    pulse.down(PEER);
    expect(pulse.roundTripMs(PEER)).toBeUndefined();
  });
  it('gives a peer up that says nothing for twenty seconds, and only then', async () => {
    let alive = true;
    const { run, dead } = world(() => (alive ? 20 : undefined));
    await run(60_000);
    expect(dead).toEqual([]);
    alive = false;
    await run(120_000);
    expect(dead).toHaveLength(1);
    expect(dead[0]).toBeGreaterThan(75_000);
    expect(dead[0]).toBeLessThan(90_000);
  });
  it('keeps a peer whose pings drown in the data that it sends', async () => {
    const { run, dead, state, clock } = world(() => undefined);
    for (let at = 1_000; at <= 120_000; at += 1_000) {
      state.heard = clock.monotonic();
      await run(at);
    }
    expect(dead).toEqual([]);
  });
  it('does not blame the peer for a silence during which it could not listen itself', async () => {
    const { run, dead, block } = world(() => 20);
    await run(30_000);
    block(60_000);
    await run(91_000);
    expect(dead).toEqual([]);
    await run(200_000);
    expect(dead).toEqual([]);
  });
});
