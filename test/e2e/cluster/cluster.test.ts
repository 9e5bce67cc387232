import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { bodyOf, startOrigin, type TestOrigin } from '../origin.ts';

const HOST = 'files.example';

let origin: TestOrigin;
let cluster: TestCluster;
const cleanups: (() => void)[] = [];

beforeAll(async () => {
  origin = await startOrigin();
  cluster = await startCluster(
    scratch((fn) => cleanups.push(fn)),
    3,
    { origin: origin.url },
  );
  await cluster.meshed();
});

afterAll(async () => {
  await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
  await origin.close();
  for (const cleanup of cleanups) cleanup();
});

const get = (pop: Daemon, path: string) => http({ url: `${pop.ready.http}${path}`, headers: { host: HOST } });
const serves = async (pop: Daemon, path: string, version: number) =>
  (await get(pop, path)).body.equals(bodyOf(path, version, origin.sizeOf(path)));

describe('a cluster of three', () => {
  it('asks the origin once for what all are asked for', async () => {
    const path = '/shared/once';
    for (const pop of cluster.pops) expect(await serves(pop, path, 1)).toBe(true);
    expect(origin.asked.get(path)).toBe(1);
    for (const pop of cluster.pops)
      await until('it is stored', async () =>
        /; hit/.test((await get(pop, path)).headers['cache-status'] ?? ''),
      );
    expect(origin.asked.get(path)).toBe(1);
  });

  it('pulls a content of several chunks whole', async () => {
    origin.sizeOf = (path) => (path.startsWith('/large/') ? 3_000_000 : 4_000);
    for (const pop of cluster.pops) expect(await serves(pop, '/large/a', 1)).toBe(true);
    expect(origin.asked.get('/large/a')).toBe(1);
  });

  it('purges everywhere before the purge is answered', async () => {
    for (const [path, purge] of [
      ['/purged/url', { url: `http://${HOST}/purged/url` }],
      ['/bytag/x', { tag: 'dir-bytag' }],
      ['/prefix/y', { prefix: `http://${HOST}/prefix/` }],
    ] as const) {
      for (const pop of cluster.pops) expect(await serves(pop, path, 1)).toBe(true);
      origin.versions.set(path, 2);
      const [first] = cluster.pops;
      const result = await first!.rpc<{ complete: boolean; acknowledged: unknown[]; missing: unknown[] }>(
        'purge',
        {
          ...purge,
          wait: true,
          timeoutMs: 60_000,
        },
      );
      expect(result).toMatchObject({ complete: true, missing: [] });
      expect(result.acknowledged).toHaveLength(3);
      for (const pop of cluster.pops) expect(await serves(pop, path, 2), path).toBe(true);
    }
  });

  it('makes an update that one PoP notices the version of all', async () => {
    const path = '/updated/z';
    const [first, second, third] = cluster.pops as [Daemon, Daemon, Daemon];
    for (const pop of cluster.pops) expect(await serves(pop, path, 1)).toBe(true);
    origin.versions.set(path, 2);
    // The first learns of it as its client insists on a fresh answer.
    const insisting = await http({
      url: `${first.ready.http}${path}`,
      headers: { host: HOST, 'cache-control': 'no-cache' },
    });
    expect(insisting.body.equals(bodyOf(path, 2, 4_000))).toBe(true);
    for (const pop of [second, third]) await until('the new version is served', () => serves(pop, path, 2));
  });

  it('names who has not acknowledged, and the PoP that was killed catches up before it serves', async () => {
    const path = '/away/k';
    const victim = cluster.pops[2]!;
    for (const pop of cluster.pops) expect(await serves(pop, path, 1)).toBe(true);
    await victim.stop('SIGKILL');
    await until('the loss is noticed', async () => {
      const { peers } = await cluster.pops[0]!.rpc<{ peers: { connected: number } }>('status');
      return peers.connected === 1;
    });
    origin.versions.set(path, 2);
    const result = await cluster.pops[0]!.rpc<{ complete: boolean; missing: { name: string }[] }>('purge', {
      url: `http://${HOST}${path}`,
      wait: true,
      timeoutMs: 60_000,
    });
    expect(result.complete).toBe(true);
    expect(result.missing.map(({ name }) => name)).toEqual(['pop2']);
    const back = await cluster.restart(2);
    await cluster.meshed();
    await until(
      'purges are reconciled',
      async () => (await back.rpc<{ lacks: string[] }>('status')).lacks.length === 0,
    );
    expect(await serves(back, path, 2)).toBe(true);
  });

  it('mirrors what is announced to the region it is announced for, before anyone asks', async () => {
    const url = `http://${HOST}/premiere/film`;
    const result = await cluster.pops[0]!.rpc<{ stored: boolean }>('announce', {
      url,
      at: Date.now() + 60_000,
      region: 'r1',
    });
    expect(result.stored).toBe(true);
    const replicas = (pop: Daemon) =>
      pop.rpc<{ replicas: { source: string }[] }>('replicas', { prefix: `${HOST}/premiere/` });
    await until(
      'it is mirrored',
      async () => (await replicas(cluster.pops[1]!)).replicas[0]?.source === 'plan',
    );
    expect((await replicas(cluster.pops[2]!)).replicas).toEqual([]);
    expect((await get(cluster.pops[1]!, '/premiere/film')).headers['cache-status']).toMatch(/; hit/);
    expect(origin.asked.get('/premiere/film')).toBe(1);
  });

  it('explains itself', async () => {
    const answer = await cluster.pops[1]!.rpc<{ here: boolean; answer: string; steps: unknown[] }>(
      'explain',
      {
        resource: `http://${HOST}/shared/once`,
      },
    );
    expect(answer.here).toBe(true);
    expect(answer.steps.length).toBeGreaterThan(1);
    await until('others are known to hold it', async () => {
      const tag = await cluster.pops[1]!.rpc<{ replication: string; holders: unknown[] }>('tag', {
        resource: `http://${HOST}/shared/once`,
      });
      return tag.replication === 'held' && tag.holders.length > 1;
    });
  });

  it('ends every daemon cleanly on SIGTERM', async () => {
    expect(await Promise.all(cluster.pops.map((pop) => pop.stop()))).toEqual([0, 0, 0]);
  });
});
