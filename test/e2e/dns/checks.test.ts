import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../ports.ts';
import { startCluster } from '../cluster.ts';
import { type Daemon, scratch, until } from '../daemon.ts';
import { startOrigin } from '../origin.ts';
import { addressesFor } from './resolver.ts';

const ADDRESSES = ['127.0.4.1', '127.0.4.2'];

/** What stands before a PoP's HTTP, and may fail though the PoP does not. */
async function front(host: string, port: number): Promise<Server> {
  const server = createServer((_, response) => void response.end());
  server.listen(port, host);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return server;
}

describe('checks of the service addresses', () => {
  it('keep clients away from a PoP whose front is down, from the first answer on, and bring them back', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const [near, far] = ADDRESSES as [string, string];
    const httpPorts = [await freePort(near), await freePort(far)];
    await front(far, httpPorts[1] ?? 0);
    const cluster = await startCluster(scratch(onTestFinished), 2, {
      ...{ origin: origin.url, addresses: ADDRESSES, httpPorts },
      flags: () => ['--dns-check', 'http'],
    });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    const [, second] = cluster.pops as [Daemon, Daemon];
    // Clients of the first PoP's region: its front has never answered.
    const chosen = async () => (await addressesFor(second, 'cdn.test', '10.0.7.0'))[0];
    expect(await chosen()).toBe(far);
    await cluster.meshed();
    expect(await chosen()).toBe(far);
    const server = await front(near, httpPorts[0] ?? 0);
    await until('the nearest is answered once it serves', async () => (await chosen()) === near, 60_000);
    server.close();
    server.closeAllConnections();
    await until('it is left when its front fails', async () => (await chosen()) === far, 60_000);
  });
});
