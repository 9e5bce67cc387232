import { describe, expect, it, onTestFinished } from 'vitest';
import { startCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { bodyOf, startOrigin } from '../origin.ts';
import { resolve } from '../resolver.ts';

const HOST = 'files.example';
const ADDRESSES = ['127.0.3.1', '127.0.3.2', '127.0.3.3'];

describe('PoP selection', () => {
  it('sends clients to the nearest PoP that lives, and for one resource to one that holds it', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const cluster = await startCluster(scratch(onTestFinished), 3, {
      origin: origin.url,
      addresses: ADDRESSES,
    });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    await cluster.meshed();
    const [first, second, third] = cluster.pops as [Daemon, Daemon, Daemon];
    for (const [region, address] of ADDRESSES.entries()) {
      await until(
        'the nearest is answered',
        async () => (await resolve(first, 'cdn.test', `10.${region}.7.0`))[0] === address,
      );
    }

    // Only the third is asked for it, so only it (and the home PoP, through which it came) holds it.
    const path = '/routed/one';
    await http({ url: `${third.ready.http}${path}`, headers: { host: HOST } });
    const { name, link } = await third.rpc<{ name: string; link: string }>('link', {
      url: `http://${HOST}${path}`,
    });
    const holders = async () => {
      const held = await Promise.all(
        cluster.pops.map(
          async (pop) =>
            (await pop.rpc<{ replicas: { key: string }[] }>('replicas', { prefix: `${HOST}${path}` }))
              .replicas.length,
        ),
      );
      return ADDRESSES.filter((_, index) => held[index] === 1);
    };
    await until('a holder is answered to a far client', async () => {
      const [address] = await resolve(second, name, '10.0.7.0');
      return (await holders()).includes(address ?? '');
    });
    // What each PoP holds is announced by itself, so the home PoP's copy may be known before the third's.
    await until(
      'the nearest holder is answered',
      async () => (await resolve(second, name, '10.2.7.0'))[0] === ADDRESSES[2],
    );
    const [address] = ADDRESSES.slice(2);
    const port = new URL(third.ready.http ?? '').port;
    const served = await http({
      url: `http://${address}:${port}${path}`,
      headers: { host: new URL(link).host },
    });
    expect(served.body.equals(bodyOf(path, 1, 4_000))).toBe(true);
    expect(served.headers['cache-status']).toMatch(/; hit/);

    await third.stop('SIGKILL');
    await until('clients of the lost PoP go to the next', async () => {
      const [next] = await resolve(first, 'cdn.test', '10.2.7.0');
      return next === ADDRESSES[1];
    });
  });
});
