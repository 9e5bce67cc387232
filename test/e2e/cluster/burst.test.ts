import { describe, expect, it, onTestFinished } from 'vitest';
import { startCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { bodyOf, startOrigin } from '../origin.ts';

const HOST = 'files.example';

describe('a burst', () => {
  it('at one PoP is followed by the others before they are asked, and given back when nobody asks', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const cluster = await startCluster(scratch(onTestFinished), 3, {
      origin: origin.url,
      epoch: '3s',
      // The detector learns what is usual for two minutes of demand before it reports: here six seconds.
      flags: () => ['--clock-speed', '20', '--clock-offset', `${-19 * Date.now()}ms`],
    });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    await cluster.meshed();
    const [first, second, third] = cluster.pops as [Daemon, Daemon, Daemon];
    const path = '/viral/clip';
    const fetch = (pop: Daemon, wanted: string) =>
      http({ url: `${pop.ready.http}${wanted}`, headers: { host: HOST } });
    const get = (pop: Daemon) => fetch(pop, path);
    for (let second = 0; second < 8; second += 1) {
      for (const pop of cluster.pops) await fetch(pop, '/usual');
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    const source = async (pop: Daemon) =>
      (await pop.rpc<{ replicas: { source: string }[] }>('replicas', { prefix: `${HOST}${path}` }))
        .replicas[0]?.source;

    let done = false;
    const load = (async () => {
      while (!done) {
        await Promise.all(Array.from({ length: 4 }, () => get(first).catch(() => undefined)));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    const speculativeBytes = async (pop: Daemon) =>
      (await pop.rpc<{ mirror: { speculativeBytes: number } }>('status')).mirror.speculativeBytes;
    // What nobody asks for is given back after a while, so all of this is seen together or looked for again.
    let follower = second;
    await until('another PoP serves it on report alone', async () => {
      for (const pop of [second, third]) {
        if ((await source(pop)) !== 'speculative' || (await speculativeBytes(pop)) !== 4_000) continue;
        const answer = await get(pop);
        expect(answer.body.equals(bodyOf(path, 1, 4_000))).toBe(true);
        follower = pop;
        return /; hit/.test(answer.headers['cache-status'] ?? '');
      }
      return false;
    });
    done = true;
    await load;
    const other = follower === second ? third : second;
    // The home PoP of the key holds it as what a client asked for; any other gives it back.
    if ((await source(other)) === 'speculative') {
      await until('it is given back', async () => (await source(other)) === undefined);
    }
    expect(await source(follower)).toBe('speculative');
  });
});
