import { createSocket, type Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import * as dnsPacket from 'dns-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Clients, type Observation } from '../../../node/demo/clients.ts';
import { type DemoFile, ExpectedContent } from '../../../node/demo/content.ts';
import { demandTime } from '../../../node/demo/demand-time.ts';
import { DEMO_HOST } from '../../../node/demo/load.ts';
import { OriginProcess } from '../../../node/demo/origin-process.ts';
import { play } from '../../../node/demo/player.ts';
import { type NameServer, network, Resolver } from '../../../node/demo/resolver.ts';

const files: DemoFile[] = Array.from({ length: 20 }, (_, i) => ({
  path: `/file-${i}`,
  size: 1000 * (i + 1),
  type: i % 2 === 0 ? 'text/html' : 'image/png',
  tags: [`file-${i}`, 'all'],
  maxAgeS: 60,
}));
const expected = new ExpectedContent(new Map(files.map((file) => [file.path, file])));
const START = Date.UTC(1995, 7, 1, 4);

/** A name server that gives every query the same address, and records whom it was asked for. */
async function nameServer(answer: string | undefined, scope: number) {
  const socket: Socket = createSocket('udp4');
  const subnets: string[] = [];
  socket.on('message', (message, from) => {
    const query = dnsPacket.decode(message);
    const option = (query.additionals ?? []).flatMap((additional) =>
      additional.type === 'OPT' ? [...(additional.options as readonly { ip?: string }[])] : [],
    )[0];
    subnets.push(option?.ip ?? '');
    if (answer === undefined) return;
    const reply = dnsPacket.encode({
      type: 'response',
      id: query.id ?? 0,
      flags: dnsPacket.AUTHORITATIVE_ANSWER,
      questions: query.questions ?? [],
      answers: [{ type: 'A', name: DEMO_HOST, ttl: 30, data: answer }],
      additionals: [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: 1232,
          extendedRcode: 0,
          ednsVersion: 0,
          flags: 0,
          flag_do: false,
          options: [
            {
              code: 8,
              type: 'CLIENT_SUBNET',
              family: 1,
              sourcePrefixLength: 24,
              scopePrefixLength: scope,
              ip: option?.ip,
            } as dnsPacket.PacketOpt,
          ],
        },
      ],
    });
    socket.send(reply, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { address, port } = socket.address() as AddressInfo;
  return { server: { address, port } as NameServer, subnets, close: () => socket.close() };
}

describe('clients, resolver and origin of the demo', () => {
  let origin: OriginProcess;
  const closing: (() => void)[] = [];

  beforeEach(async () => {
    origin = await OriginProcess.start({
      host: '127.0.0.1',
      seed: 1,
      pace: { latencyMs: [20, 30], bandwidth: 1e8 },
      files,
    });
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) close();
    await origin.stop();
  });

  const clientsFor = async (servers: readonly NameServer[]) => {
    const resolvers = [new Resolver(servers), new Resolver(servers)];
    for (const resolver of resolvers) {
      await resolver.open();
      closing.push(() => resolver.close());
    }
    const clients = new Clients({ port: origin.port }, { resolvers });
    closing.push(() => clients.close());
    return { clients, resolvers };
  };

  it('play a load at the pace of the demand clock and see the bytes that the origin must have', async () => {
    const dns = await nameServer('127.0.0.1', 12);
    closing.push(dns.close);
    const { clients, resolvers } = await clientsFor([dns.server]);
    const requests = Array.from({ length: 100 }, (_, i) => ({
      at: START + i * 400,
      region: i % 2,
      client: i % 7,
      path: `/file-${i % 20}`,
    }));
    const seen: Observation[] = [];
    const began = Date.now();
    const lateness = await play(requests, demandTime(START, began, 100), clients, {
      seen: (observation) => seen.push(observation),
    });
    const tookMs = Date.now() - began;
    expect(seen).toHaveLength(100);
    for (const { path, status, version, hash } of seen) {
      expect([status, version, hash]).toEqual([200, 1, expected.hash(path, 1)]);
    }
    // 99 × 400 ms of demand time at 100 times real time are some 400 ms, and 40 s at real pace.
    expect(tookMs).toBeGreaterThan(390);
    expect(tookMs).toBeLessThan(30_000);
    expect(lateness.meanMs).toBeLessThan(20_000);
    expect(Math.min(...seen.map(({ firstByteMs }) => firstByteMs))).toBeGreaterThanOrEqual(19);
    const bytes = seen.reduce((sum, one) => sum + one.bytes, 0);
    expect(await origin.counts()).toEqual({
      ...{ requests: 100, notModified: 0, notFound: 0, bytes },
      // Each of the 20 files was asked for five times.
      ...{ repeats: 80, repeatedBytes: (bytes * 4) / 5 },
    });
    // One answer of scope 12 serves a whole region; before it is known, one query for each of its networks.
    const regions = new Set(dns.subnets.map((subnet) => network(subnet, 12)));
    expect(regions).toEqual(new Set(['127.16.0.0', '127.32.0.0']));
    expect(resolvers[0]!.queries).toBeLessThanOrEqual(7);
  });

  it('see the new bytes and a new version once a file has changed', async () => {
    const { clients } = await clientsFor([]);
    const request = { at: 0, region: 0, client: 1, path: '/file-3' };
    const before = await clients.ask('127.0.0.1', request);
    expect(await origin.change('/file-3')).toBe(2);
    const after = await clients.ask('127.0.0.1', request);
    expect([before.version, after.version]).toEqual([1, 2]);
    expect(after.hash).toBe(expected.hash('/file-3', 2));
    expect(before.hash).not.toBe(after.hash);
    expect((await origin.counts()).repeats).toBe(0);
    await expect(origin.change('/nothing')).rejects.toMatchObject({ code: 'RESOURCE_UNKNOWN' });
  });

  it('ask the next name server when the first is silent, and report what nobody answers', async () => {
    const silent = await nameServer(undefined, 0);
    const dns = await nameServer('127.0.0.1', 0);
    closing.push(silent.close, dns.close);
    const { clients } = await clientsFor([silent.server, dns.server]);
    const answered = await clients.send({ at: 0, region: 0, client: 5, path: '/file-1' });
    expect(answered.status).toBe(200);

    const { clients: lost } = await clientsFor([silent.server]);
    expect(await lost.send({ at: 0, region: 0, client: 5, path: '/file-1' })).toMatchObject({
      status: 0,
      error: 'PEER_TIMEOUT',
    });
    const refused = await clients.ask('127.0.0.99', { at: 0, region: 0, client: 5, path: '/file-1' });
    expect(refused).toMatchObject({ status: 0, error: 'ECONNREFUSED' });
  });
});
