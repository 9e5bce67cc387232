import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventFeed, type FeedEvent } from '../../../node/demo/event-feed.ts';
import { openLog } from '../../../node/log.ts';
import { createMetrics } from '../../../node/metrics.ts';
import { EventHub } from '../../../node/rpc/events.ts';
import { createRpc, type RpcServer } from '../../../node/rpc/server.ts';

describe('feed of a daemon’s events', () => {
  let dataDir: string;
  let rpc: RpcServer | undefined;
  const heard: FeedEvent[] = [];
  let feed: EventFeed;

  const serve = async (events: EventHub) => {
    rpc = await createRpc(
      {
        methods: [],
        events,
        metrics: createMetrics(),
        log: await openLog({ level: 'error' }),
        health: () => ({ ready: true, lacks: [] }),
      },
      { dataDir, version: '0' },
    );
    return rpc;
  };
  beforeEach(async () => {
    heard.length = 0;
    dataDir = await mkdtemp(join(tmpdir(), 'presage-feed-'));
    feed = new EventFeed(
      { socket: join(dataDir, 'rpc.sock'), types: ['mirror'] },
      { heard: (event) => heard.push(event) },
    );
  });
  afterEach(async () => {
    feed.close();
    await rpc?.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('hears the events of its types, those before it came too, and none twice after a break', async () => {
    const events = new EventHub(() => 42);
    await serve(events);
    events.publish('mirror', { key: 'a', size: 1 });
    events.publish('peer', { key: 'b' });
    feed.open();
    await vi.waitFor(() => expect(heard).toHaveLength(1), { timeout: 30_000 });
    events.publish('mirror', { key: 'c', size: 2 });
    await vi.waitFor(() => expect(heard).toHaveLength(2), { timeout: 30_000 });
    expect(heard[1]).toEqual({ type: 'mirror', data: { key: 'c', size: 2, at: 42 } });

    await rpc?.close();
    events.publish('mirror', { key: 'd', size: 3 });
    await serve(events);
    await vi.waitFor(() => expect(heard).toHaveLength(3), { timeout: 30_000 });
    expect(heard.map(({ data }) => data.key)).toEqual(['a', 'c', 'd']);
  });
});
