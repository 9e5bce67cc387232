import { describe, expect, it } from 'vitest';
import { Intake } from '../../../actors/intake.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { observerSpec } from '../../../actors/observer.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { decodeSummary, encodeSummary } from '../../../protocol/messages/summary.ts';
import type { Gossip, GossipReceiver } from '../../../protocol/ports.ts';
import type { Capacities, Summary } from '../../../protocol/summary.ts';
import type { Observation } from '../../../protocol/window.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';

const pop = (letter: string) => `12D3KooW${letter.repeat(44)}` as PopId;
const EPOCH_MS = 10_000;
const capacities: Capacities = {
  storageBudgetMiB: 10,
  storageFreeMiB: 5,
  fillKiBps: 100,
  load: 3,
  state: 'up',
};

const observation = (at: number): Observation => ({
  key16: '0123456789abcdef0123456789abcdef' as Key16,
  site: 'www' as SiteId,
  region: 'eu' as RegionId,
  bytes: 10,
  size: 10,
  clientPrefix: 1,
  at,
  shareable: true,
});

async function observer(timerJitterMs = 0) {
  const clock = new StepClock(1_700_000_003_000);
  const exact = clock.after.bind(clock);
  clock.after = (delayMs, fn) => exact(delayMs - (delayMs > 1_000 ? timerJitterMs : 0), fn);
  const metrics = new CountingMetrics();
  const published: Summary[] = [];
  const epochs: number[] = [];
  const shared: Summary[] = [];
  const heard: { receive?: GossipReceiver } = {};
  const gossip: Gossip = {
    publish: async (_topic, bytes) => void published.push(decodeSummary(bytes)),
    subscribe: (_topic, receive) => {
      heard.receive = receive;
    },
  };
  const intake = new Intake(metrics);
  const system = new ActorSystem({ clock, log: silentLog, metrics, yieldTurn: settled });
  const actor = system.actor(
    observerSpec({
      ...{ intake, gossip, epochMs: EPOCH_MS, sequence: 100 },
      demand: { speed: 1, now: () => clock.now(), at: (real) => real },
      peers: {
        self: pop('a'),
        connected: () => [],
        roundTripMs: () => undefined,
        watch: () => () => undefined,
      },
      capacities: () => capacities,
      takeWorth: () => ({ mirroredKiB: 1, usedKiB: 2, unusedKiB: 3 }),
      seen: () => undefined,
      shared: (summary) => void shared.push(summary),
      closed: (epoch) => void epochs.push(epoch),
    }),
  );
  await system.start(
    system.group('root', 'one-for-one', { restarts: 1, withinMs: 1_000 }, [actor]),
    () => undefined,
  );
  return { clock, intake, published, epochs, shared, heard, metrics };
}

describe('the observer', () => {
  it('closes one window at each multiple of the epoch and shares what was seen in it', async () => {
    const { clock, intake, published, epochs } = await observer();
    intake.push(observation(clock.now()));
    intake.push(observation(clock.now()));
    await clock.advance(25_000);
    expect(published.map(({ sequence, requests }) => [sequence, requests])).toEqual([
      [100, 2],
      [101, 0],
    ]);
    expect(published[0]?.worth).toMatchObject({ mirroredKiB: 1, usedKiB: 2, unusedKiB: 3 });
    expect(epochs).toEqual([170_000_001, 170_000_002]);
  });

  it('does not beat twice when timers fire early', async () => {
    const { clock, epochs } = await observer(3);
    await clock.advance(40_000);
    expect(epochs).toEqual([170_000_001, 170_000_002, 170_000_003, 170_000_004]);
  });

  it('takes the windows of others once, from their authors, and not from the future', async () => {
    const { clock, published, shared, heard } = await observer();
    await clock.advance(8_000);
    const own = published[0]!;
    shared.length = 0;
    const theirs = encodeSummary({ ...own, pop: pop('b') }, 2);
    expect(heard.receive?.(pop('b'), theirs)).toEqual({ verdict: 'accept' });
    expect(heard.receive?.(pop('b'), theirs)).toEqual({ verdict: 'ignore', code: 'WIRE_STALE' });
    expect(heard.receive?.(pop('c'), theirs)).toEqual({ verdict: 'reject', code: 'WIRE_ORIGIN' });
    const later = { ...own, pop: pop('c'), from: own.from + 1e9, to: own.to + 1e9 };
    expect(heard.receive?.(pop('c'), encodeSummary(later, 2))).toEqual({
      verdict: 'ignore',
      code: 'WIRE_FUTURE',
    });
    expect(heard.receive?.(pop('c'), Uint8Array.of(0x91, 0x91))).toMatchObject({ verdict: 'reject' });
    expect(shared.map((summary) => summary.pop)).toEqual([pop('b')]);
  });
});
