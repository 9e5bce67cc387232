import { createSocket } from 'node:dgram';
import type { Worker } from 'node:worker_threads';
import * as packets from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../node/adapters/clock.ts';
import { labelOfKey16 } from '../../../node/dns/label.ts';
import type { DnsListener } from '../../../node/dns/server.ts';
import { createDnsThreads, type DnsThreads, startWorker } from '../../../node/dns/threads.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { type RoutingPop, RoutingTable } from '../../../protocol/routing.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';
import { charter, heldInBoston, query, shop, zones } from '../../unit/dns/world.ts';

const pop = (name: string, at: number, n: number, state: RoutingPop['state'] = 'up'): RoutingPop => ({
  id: `id-${name}` as never,
  name,
  region: charter.regions[at]!,
  addresses: { v4: [`192.0.2.${n}`], v6: [] },
  load: 0,
  state,
  reachable: true,
});
const tableOf = (...pops: RoutingPop[]) =>
  RoutingTable.build({ charter, pops, holders: () => undefined, preferred: () => undefined, epoch: 1 });

describe('the server on threads', () => {
  const metrics = new CountingMetrics();
  const sites = [{ id: shop, hosts: ['www.cdn.example'] }];
  const held = new Map([[heldInBoston, ['id-boston' as never]]]);
  const workers: Worker[] = [];
  let threads: DnsThreads;
  let listener: DnsListener;

  beforeAll(async () => {
    threads = await createDnsThreads(
      { zones, threads: 2 },
      {
        charter: { ...charter, sites },
        holders: (key16) => held.get(key16),
        clock: systemClock,
        log: silentLog,
        metrics,
        random: seededRandom(3),
        startWorker: () => {
          const worker = startWorker();
          workers.push(worker);
          return worker;
        },
      },
    );
    listener = await threads.listen('127.0.0.1', 0);
  });
  afterAll(() => threads.close());

  /** From many ports, so that the system spreads the queries over the threads; answers that did not come are undefined. */
  async function ask(name: string, type = 'A', times = 24): Promise<unknown[]> {
    return Promise.all(
      Array.from({ length: times }, (_, id) => {
        const socket = createSocket('udp4');
        return new Promise<unknown>((resolve) => {
          const timer = setTimeout(() => resolve(undefined), 1500);
          socket.on('message', (bytes) => {
            clearTimeout(timer);
            const [answer] = packets.decode(bytes).answers ?? [];
            resolve(answer && 'data' in answer ? `${answer.data}` : packets.decode(bytes).id);
          });
          socket.send(query(name, type, { id: id + 1000 }), listener.address.port, listener.address.host);
        }).finally(() => socket.close());
      }),
    );
  }
  const eventually = async (check: () => Promise<boolean>) => {
    for (let i = 0; i < 200; i += 1) {
      if (await check()) return true;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    return false;
  };
  const all = (value: string) => async (name: string, type?: string) =>
    (await ask(name, type)).every((answer) => answer === value);

  it('answers from the table that every thread was sent, whole', async () => {
    threads.swap(tableOf(pop('paris', 0, 1), pop('boston', 1, 2)));
    expect(await eventually(() => all('192.0.2.1')('www.cdn.example'))).toBe(true);
    threads.swap(tableOf(pop('paris', 0, 1, 'sick'), pop('boston', 1, 2)));
    expect(await eventually(() => all('192.0.2.2')('www.cdn.example'))).toBe(true);
    threads.swap(tableOf(pop('paris', 0, 1), pop('boston', 1, 2)));
    expect(await eventually(() => all('192.0.2.1')('www.cdn.example'))).toBe(true);
  });

  it('knows who holds what, from the start and as it changes', async () => {
    const name = `${labelOfKey16(heldInBoston)}.r.cdn.example`;
    expect(await eventually(() => all('192.0.2.2')(name))).toBe(true);
    held.delete(heldInBoston);
    expect(await eventually(() => all('192.0.2.1')(name))).toBe(true);
  });

  it('places clients by the charter that is in force', async () => {
    const here = { cidr: '127.0.0.0/8', region: charter.regions[1]! };
    threads.setCharter({ ...charter, networks: [here], sites });
    expect(await eventually(() => all('192.0.2.2')('www.cdn.example'))).toBe(true);
    threads.setCharter({ ...charter, sites });
    expect(await eventually(() => all('192.0.2.1')('www.cdn.example'))).toBe(true);
  });

  it('has short-lived records on every thread, and counts what all have answered', async () => {
    await threads.setText('_acme-challenge.cdn.example', 'token', Date.now() + 60_000);
    expect(await all('token')('_acme-challenge.cdn.example', 'TXT')).toBe(true);
    await expect(threads.setText('other.example', 'token', Date.now() + 60_000)).rejects.toMatchObject({
      code: 'RPC_PARAMS',
    });
    expect(
      await eventually(async () => (metrics.counts.get('presage_dns_queries_total udp') ?? 0) > 100),
    ).toBe(true);
  });

  it('replaces a thread that dies, with all that it knew', async () => {
    expect(workers.length).toBe(2);
    await workers[0]!.terminate();
    await workers[1]!.terminate();
    // Both are gone, so that whatever answers now is a replacement.
    expect(await eventually(() => all('192.0.2.1')('www.cdn.example'))).toBe(true);
    expect(await eventually(() => all('token')('_acme-challenge.cdn.example', 'TXT'))).toBe(true);
    expect(workers.length).toBeGreaterThanOrEqual(4);
    expect(metrics.counts.get('presage_errors_total WORKER_FAILED')).toBe(2);
  });
});
