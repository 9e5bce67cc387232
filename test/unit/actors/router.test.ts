import { describe, expect, it } from 'vitest';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { type PopCard, routerSpec } from '../../../actors/router.ts';
import type { Charter } from '../../../protocol/charter.ts';
import type { PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { RoutingTable } from '../../../protocol/routing.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';

const eu = 'eu' as RegionId;
const site = 'www' as SiteId;
const card = (name: string): PopCard => ({
  ...{ pop: name as PopId, name, region: eu },
  ...{ addressesV4: ['192.0.2.1'], addressesV6: [] },
});
const charter = {
  ...{ regions: [eu], defaultRegion: eu, distances: { eu: { here: 10, near: 5 } } },
  sites: [{ id: site, allow: ['*'] }],
} as unknown as Charter;

/** A router at `here`, to which `near` is connected and nearer. */
async function router() {
  const clock = new StepClock();
  const connected = new Set<PopId>(['near' as PopId]);
  const certified = new Set(['here', 'near']);
  let table = RoutingTable.empty();
  let tables = 0;
  const metrics = new CountingMetrics();
  const system = new ActorSystem({ clock, log: silentLog, metrics, yieldTurn: settled });
  const actor = system.actor(
    routerSpec({
      ...{ charter, self: card('here'), holders: () => undefined },
      peers: {
        ...{ self: 'here' as PopId, roundTripMs: () => undefined, watch: () => () => undefined },
        connected: () => [...connected],
      },
      certificateOf: (pop) => (certified.has(pop) ? card(pop) : undefined),
      swap: (next) => {
        table = next;
        tables += 1;
      },
    }),
  );
  await system.start(
    system.group('root', 'one-for-one', { restarts: 1, withinMs: 1_000 }, [actor]),
    () => undefined,
  );
  const chosen = () => table.choose(eu, { site }).map(({ name }) => name);
  return { clock, connected, certified, actor, chosen, metrics, tables: () => tables };
}

describe('the router', () => {
  it('passes over a PoP after three looks in vain, and takes it back after two that were not', async () => {
    const { clock, connected, chosen } = await router();
    expect(chosen()).toEqual(['near', 'here']);
    connected.clear();
    await clock.advance(1_000);
    expect(chosen()).toEqual(['near', 'here']);
    await clock.advance(400);
    expect(chosen()).toEqual(['here']);
    connected.add('near' as PopId);
    await clock.advance(400);
    expect(chosen()).toEqual(['here']);
    await clock.advance(400);
    expect(chosen()).toEqual(['near', 'here']);
  });

  it('counts the loss itself, and is not taken in by a connection that comes back at once', async () => {
    const { clock, connected, actor, chosen } = await router();
    const near = 'near' as PopId;
    for (let i = 0; i < 5; i += 1) {
      actor.tell({ type: 'peer', pop: near, up: false });
      await clock.advance(0);
      actor.tell({ type: 'peer', pop: near, up: true });
      await clock.advance(400);
      expect(chosen()).toEqual(['near', 'here']);
    }
    connected.clear();
    actor.tell({ type: 'peer', pop: near, up: false });
    await clock.advance(820);
    expect(chosen()).toEqual(['here']);
  });

  it('goes by checks of the service where they are made: the first decides, then several in a row', async () => {
    const { clock, actor, chosen, metrics } = await router();
    const checked = async (near: boolean) => {
      const answered = new Map([
        ['here' as PopId, true],
        ['near' as PopId, near],
      ]);
      actor.tell({ type: 'checked', answered });
      await clock.advance(20);
    };
    await checked(false);
    expect(chosen()).toEqual(['here']);
    await checked(true);
    await checked(true);
    expect(chosen()).toEqual(['near', 'here']);
    await checked(false);
    await checked(false);
    expect(chosen()).toEqual(['near', 'here']);
    await checked(false);
    expect(chosen()).toEqual(['here']);
    expect(metrics.counts.get('routing_health_changes_total service sick')).toBe(1);
  });

  it('makes one table of what comes at once', async () => {
    const { clock, actor, tables } = await router();
    const before = tables();
    for (let i = 0; i < 50; i += 1) actor.tell({ type: 'peer', pop: 'near' as PopId, up: true });
    await clock.advance(20);
    expect(tables() - before).toBe(1);
  });

  it('forgets a PoP that has left the cluster', async () => {
    const { clock, certified, chosen } = await router();
    certified.delete('near');
    await clock.advance(1_020);
    expect(chosen()).toEqual(['here']);
  });
});
