import { describe, expect, it } from 'vitest';
import { catalogueSpec } from '../../../actors/catalogue.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { PurgeLedger } from '../../../actors/purge-ledger.ts';
import { LocalReplicas } from '../../../actors/replica-index.ts';
import { Dice } from '../../../node/simulator/dice.ts';
import { VirtualBlobs } from '../../../node/simulator/virtual-blobs.ts';
import { VirtualDatabase } from '../../../node/simulator/virtual-database.ts';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import { decodeCatalogueGossip } from '../../../protocol/messages/catalogue.ts';
import type { Clock, GossipReceiver, Streams } from '../../../protocol/ports.ts';
import { purgeSigner } from '../../../protocol/purge.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';
import { keyOf, popOf, resource, secretOf } from '../invalidation/pops.ts';

const page = resource('a.example/page');

/**
 * Two PoPs whose gossip is lost while `lossy` is set; calls between them get through. The clock of the first may be
 * ahead, ms.
 */
async function pair(aheadMs = 0) {
  const steps = new StepClock();
  const air = { lossy: false, gossips: [] as number[] };
  const receivers = new Map<number, GossipReceiver>();
  const handlers = new Map<number, Parameters<Streams['handle']>[1]>();
  const start = async (n: number, other: number) => {
    const clock: Clock = {
      now: () => steps.now() + (n === 1 ? aheadMs : 0),
      monotonic: () => steps.monotonic(),
      after: (delayMs, fn) => steps.after(delayMs, fn),
    };
    const [self, peer] = [popOf(n), popOf(other)];
    const metrics = new CountingMetrics();
    const demand = { speed: 1, now: () => clock.now(), at: (real: number) => real };
    const disk = { clock, random: new Dice(n).random, conditions: () => ({ minMs: 1, maxMs: 2 }) };
    const database = new VirtualDatabase().open(disk);
    const sizes = { budgetBytes: 1 << 20, memoryBytes: 1 << 18, maxObjectBytes: 1 << 18 };
    const blobs = new VirtualBlobs().open({
      ...{ ...disk, ...sizes, makeRoom: async () => undefined, lost: () => undefined },
    });
    const hybrid = new HybridClock(self);
    const known = { database, clock, hybrid, log: silentLog, metrics };
    const ledger = await PurgeLedger.open(
      { self, secretOf, sign: purgeSigner(keyOf(n)), alone: true },
      known,
    );
    const opening = LocalReplicas.open({
      ...{
        ...known,
        self,
        blobs,
        ledger,
        demand,
        budgetBytes: 1 << 20,
        cutOff: () => 'serve-stale' as const,
      },
    });
    await steps.advance(20);
    const index = await opening;
    const system = new ActorSystem({ clock, log: silentLog, metrics, yieldTurn: settled });
    const actor = system.actor(
      catalogueSpec({
        ...{ index, demand },
        gossip: {
          publish: async (_topic, bytes) => {
            air.gossips.push(decodeCatalogueGossip(bytes).rows.length);
            if (!air.lossy) await receivers.get(other)?.(self, bytes);
          },
          subscribe: (_topic, receive) => void receivers.set(n, receive),
        },
        streams: {
          call: async (_peer, _protocol, request) => {
            const handler = handlers.get(other);
            if (!handler) throw new Error('it has not started');
            return handler(self, request);
          },
          handle: (_protocol, handler) => void handlers.set(n, handler),
        },
        peers: { self, connected: () => [peer], roundTripMs: () => 1, watch: () => () => undefined },
      }),
    );
    const group = system.group('root', 'one-for-one', { restarts: 0, withinMs: 1_000 }, [actor]);
    await system.start(group, (error) => {
      throw error;
    });
    const store = async (body: string) => {
      const putting = blobs.put(Buffer.from(body));
      await steps.advance(10);
      const content = await putting;
      const storing = index.store(index.begin(page.key, page.key16, page.site), {
        ...{ variant: '', status: 200, content, size: body.length, tags: [], headers: [] },
        ...{ requestedAt: clock.now(), receivedAt: clock.now(), source: 'client' },
      });
      await steps.advance(10);
      await storing;
    };
    return { index, store };
  };
  const one = await start(1, 2);
  const two = await start(2, 1);
  await steps.advance(10_000);
  air.gossips.length = 0;
  return { clock: steps, air, one, two };
}

describe('the catalogue', () => {
  it('tells its position again, so that a last change that was lost is asked for', async () => {
    const { clock, air, one, two } = await pair();
    const known = () => two.index.holders(page.key16, [popOf(1)]).length;
    air.lossy = true;
    await one.store('once');
    await clock.advance(500);
    expect([air.gossips, known()]).toEqual([[1], 0]);
    air.lossy = false;
    // The next comparison of the two, which are each other's only peer, is further away.
    await clock.advance(2_000);
    expect([air.gossips, known()]).toEqual([[1, 0], 1]);
  });

  it('says it less and less often while nothing changes, and begins anew with the next change', async () => {
    const { clock, air, one } = await pair();
    await one.store('once');
    await clock.advance(10 * 60_000);
    // After 2, 4, 8, 16 and 32 seconds, and then every 64.
    expect(air.gossips).toEqual([1, ...Array<number>(5 + Math.floor((600 - 62) / 64)).fill(0)]);
    air.gossips.length = 0;
    await one.store('twice');
    await clock.advance(10_000);
    expect(air.gossips).toEqual([1, 0, 0]);
  });

  it('learns of a version from a clock that is ahead, once its own is as far', async () => {
    const { clock, one, two } = await pair(10 * 60_000);
    const known = () => two.index.catalogue.versions.size;
    await one.store('from the future');
    await clock.advance(60_000);
    expect([two.index.holders(page.key16, [popOf(1)]).length, known()]).toEqual([1, 0]);
    await clock.advance(8 * 60_000 + 10_000);
    expect(known()).toBe(1);
  });
});
