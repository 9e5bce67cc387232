import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import * as packets from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSystemCalls, type SystemCalls } from '../../../node/adapters/system-calls.ts';
import { openBatch, prove } from '../../../node/dns/batch.ts';
import { createDnsServer, type DnsListener, type DnsServer } from '../../../node/dns/server.ts';
import { createGeography } from '../../../protocol/geography.ts';
import type { Clock } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { RoutingTable } from '../../../protocol/routing.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';
import { charter, query, shop, zones } from '../../unit/dns/world.ts';

const run = promisify(execFile);
const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, fn) {
    const timer = setTimeout(fn, delayMs);
    return () => clearTimeout(timer);
  },
};

const pops = [
  { name: 'paris', at: 0, n: 1 },
  { name: 'boston', at: 1, n: 2 },
].map(({ name, at, n }) => ({
  id: `id-${name}` as never,
  name,
  region: charter.regions[at]!,
  addresses: { v4: [`192.0.2.${n}`], v6: [`2001:db8:f::${n}`] },
  load: 0,
  state: 'up' as const,
  reachable: true,
}));
const table = RoutingTable.build({
  charter,
  pops,
  holders: () => undefined,
  preferred: () => undefined,
  epoch: 1,
});
const geography = createGeography(charter);

async function available(program: string, version: string): Promise<boolean> {
  return run(program, [version]).then(
    () => true,
    (error: { code?: unknown }) => error.code !== 'ENOENT',
  );
}
const has = { dig: await available('dig', '-v'), kdig: await available('kdig', '-V') };

describe('batches', () => {
  const fits = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
  it.runIf(fits)('are to be had where the system has them and the package is installed', async () => {
    const batch = await openBatch({ host: '127.0.0.1', port: 0, family: 4, reusePort: false });
    const installed = await import('koffi').then(
      () => true,
      () => false,
    );
    expect(batch !== undefined).toBe(installed);
    if (batch) closeSync(batch.fd);
  });

  it.runIf(fits)('are not used where the system does other than what they rely on', async () => {
    const calls = await loadSystemCalls();
    if (!calls) return;
    expect(prove(calls)).toBe(true);
    const wrong: Partial<SystemCalls>[] = [
      { socket: () => -1 },
      { bind: () => -1 },
      { sendmmsg: () => -1 },
      { sendmmsg: (fd, headers, _count, flags) => calls.sendmmsg(fd, headers, 1, flags) },
      { recvmmsg: () => -1 },
      {
        // Structures of another size: lengths and bytes are not where they are looked for.
        recvmmsg: (fd, headers, count, flags, timeout) =>
          calls.recvmmsg(fd, headers.subarray(64), count - 1, flags, timeout),
      },
      { recvmmsg: (...given) => Math.max(...given.slice(2, 3).map(Number), calls.recvmmsg(...given)) },
    ];
    for (const each of wrong) expect(prove({ ...calls, ...each }), Object.keys(each)[0]).toBe(false);
  });
});

describe.each([{ batch: 'off' }, { batch: 'on' }] as const)(
  'the server on sockets, batches $batch',
  ({ batch }) => {
    const metrics = new CountingMetrics();
    let server: DnsServer;
    let v4: DnsListener;
    let v6: DnsListener;

    beforeAll(async () => {
      server = createDnsServer(
        { zones, nsid: 'pop-1', batch, tcp: { idleMs: 2_500, connectionsPerClient: 8 } },
        {
          table: () => table,
          regionOf: (address, prefixLength) => geography.locate(address, prefixLength),
          siteOfName: (name) => (name === 'www.cdn.example' ? shop : undefined),
          clock,
          log: silentLog,
          metrics,
          random: seededRandom(1),
        },
      );
      v4 = await server.listen('127.0.0.1', 0);
      v6 = await server.listen('::1', 0);
    });
    afterAll(() => server.close());

    /** Sends packets and gives the first answer to the last of them. */
    function byUdp(bytes: readonly Uint8Array[], listener = v4): Promise<packets.DecodedPacket> {
      const { host, port } = listener.address;
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      const last = bytes.at(-1)!;
      return new Promise<packets.DecodedPacket>((resolve, reject) => {
        let tries = 0;
        const send = () => {
          if (tries++ === 20) reject(new Error('no answer'));
          for (const packet of bytes) socket.send(packet, port, host);
        };
        const timer = setInterval(send, 1000);
        socket.on('message', (message) => {
          if (message[0] !== last[0] || message[1] !== last[1]) return;
          clearInterval(timer);
          resolve(packets.decode(message));
        });
        send();
      }).finally(() => socket.close());
    }

    /** Writes bytes and gives all messages that come back until the server or the count ends it. */
    function byTcp(
      bytes: Uint8Array,
      count: number,
    ): Promise<{ answers: packets.DecodedPacket[]; closed: boolean; socket: Socket }> {
      const socket = connect(v4.address.port, v4.address.host);
      const answers: packets.DecodedPacket[] = [];
      let pending = Buffer.alloc(0);
      return new Promise((resolve, reject) => {
        socket.on('error', reject);
        socket.on('close', () => resolve({ answers, closed: true, socket }));
        socket.on('data', (chunk) => {
          pending = Buffer.concat([pending, chunk]);
          while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
            const length = pending.readUInt16BE(0);
            answers.push(packets.decode(pending.subarray(2, 2 + length)));
            pending = pending.subarray(2 + length);
          }
          if (answers.length === count) resolve({ answers, closed: false, socket });
        });
        socket.write(bytes);
      });
    }
    const framed = (bytes: Uint8Array) =>
      Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);

    it('answers by UDP over IPv4 and IPv6', async () => {
      for (const listener of [v4, v6]) {
        const answer = await byUdp([query('cdn.example', 'A')], listener);
        expect(answer.answers).toMatchObject([{ name: 'cdn.example', data: '192.0.2.1' }]);
      }
    });

    it('gives everyone of a crowd the own answer', async () => {
      for (const listener of [v4, v6]) {
        const { host, port } = listener.address;
        const clients = Array.from({ length: 8 }, () => createSocket(host.includes(':') ? 'udp6' : 'udp4'));
        const mixed = clients.map((socket, n) => {
          const due = new Set(Array.from({ length: 150 }, (_, id) => id));
          return new Promise<number>((resolve) => {
            let tries = 0;
            const send = () => {
              if (tries++ === 20) finish();
              for (const id of due) {
                const name = id % 2 === 0 ? `c${n}.x${id}.wild` : `c${n}-${id}`;
                socket.send(query(`${name}.cdn.example`, 'TXT', { id }), port, host);
              }
            };
            const timer = setInterval(send, 1000);
            const finish = () => {
              clearInterval(timer);
              resolve(due.size);
            };
            socket.on('message', (bytes) => {
              const { id, questions, answers } = packets.decode(bytes);
              const there = id! % 2 === 0;
              if (questions?.[0]?.name !== `${there ? `c${n}.x${id}.wild` : `c${n}-${id}`}.cdn.example`)
                return;
              if ((answers?.length === 1) === there) due.delete(id!);
              if (due.size === 0) finish();
            });
            send();
          });
        });
        expect(await Promise.all(mixed)).toEqual(new Array(8).fill(0));
        for (const socket of clients) socket.close();
      }
    });

    it('answers several queries of one TCP connection, in whatever pieces they come', async () => {
      const many = Array.from({ length: 200 }, (_, id) => framed(query(`n${id}.cdn.example`, 'A', { id })));
      const all = await byTcp(Buffer.concat(many), 200);
      all.socket.destroy();
      expect(all.answers.map(({ id }) => id).sort((a, b) => a! - b!)).toEqual(
        Array.from({ length: 200 }, (_, id) => id),
      );

      const socket = connect(v4.address.port, v4.address.host);
      const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve));
      for (const byte of framed(query('long.cdn.example', 'TXT'))) {
        socket.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      expect((await answer).readUInt16BE(0)).toBeGreaterThan(3000);
      socket.destroy();
    });

    it('closes TCP connections that say nothing, are too many, or speak of too much', async () => {
      expect(await byTcp(Uint8Array.of(0, 30, 1), 1)).toMatchObject({ answers: [], closed: true });
      expect(await byTcp(Buffer.concat([Uint8Array.of(0xff, 0xff), Buffer.alloc(100)]), 1)).toMatchObject({
        closed: true,
      });
      const open = await Promise.all(
        Array.from({ length: 8 }, () => byTcp(framed(query('cdn.example', 'A')), 1)),
      );
      await expect(
        byTcp(framed(query('cdn.example', 'A')), 1).then(({ answers }) => answers.length),
      ).resolves.toBe(0);
      for (const { socket } of open) socket.destroy();
    });

    it('closes TCP connections whose query trickles in', async () => {
      const socket = connect(v4.address.port, v4.address.host);
      const started = performance.now();
      const trickle = setInterval(() => socket.write(Uint8Array.of(0)), 100);
      socket.write(Uint8Array.of(0, 200));
      await new Promise((resolve) => socket.once('close', resolve));
      clearInterval(trickle);
      // All of what it announced would take twenty seconds.
      expect(performance.now() - started).toBeLessThan(15_000);
    });

    it('serves real clients while it is flooded with garbage', async () => {
      const random = seededRandom(5);
      const flood = createSocket('udp4');
      const { host, port } = v4.address;
      let sent = 0;
      for (let round = 0; round < 100; round += 1) {
        for (let i = 0; i < 40; i += 1) {
          const bytes = Buffer.from(
            Array.from({ length: random.uint32() % 200 }, () => random.uint32() & 255),
          );
          flood.send(bytes, port, host);
          sent += 1;
        }
        const answer = await byUdp([query('www.cdn.example', 'A', { id: round + 1 })]);
        expect(answer.answers).toMatchObject([{ data: '192.0.2.1' }]);
      }
      flood.close();
      expect(sent).toBe(4000);
      await expect.poll(() => metrics.counts.get('presage_errors_total DNS_MALFORMED')).toBeGreaterThan(1000);
      await expect.poll(() => metrics.counts.get('presage_dns_queries_total udp')).toBeGreaterThan(2000);
      expect(metrics.counts.get('presage_errors_total INTERNAL')).toBeUndefined();
    });

    it('answers what comes beside datagrams that are empty, or longer than any query', async () => {
      const socket = createSocket('udp4');
      const { host, port } = v4.address;
      const long = query('www.cdn.example', 'A', { id: 77 });
      for (let round = 0; round < 20; round += 1) {
        for (const length of [0, 1, 2047, 2048, 2049, 9000, 60_000]) {
          // It begins like a query, so that it must be judged by its length.
          const bytes = Buffer.alloc(length, 0xff);
          long.copy(bytes, 0, 0, Math.min(length, long.length));
          for (let i = 0; i < 4; i += 1) socket.send(bytes, port, host);
        }
        const answer = await byUdp([query('www.cdn.example', 'A', { id: round + 1 })]);
        expect(answer.answers).toMatchObject([{ data: '192.0.2.1' }]);
      }
      socket.close();
      expect(metrics.counts.get('presage_errors_total INTERNAL')).toBeUndefined();
    });

    it('takes new zones whole and keeps the old ones if the new are wrong', async () => {
      expect(() => server.setZones([{ name: 'a..b' }])).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID' }),
      );
      server.setZones([
        ...zones,
        { name: 'new.example', records: [{ name: '@', type: 'A', value: '203.0.113.99' }] },
      ]);
      expect((await byUdp([query('new.example', 'A')])).answers).toMatchObject([{ data: '203.0.113.99' }]);
      expect((await byUdp([query('cdn.example', 'A')])).answers).toMatchObject([{ data: '192.0.2.1' }]);
      await server.setText('_acme-challenge.cdn.example', 'token', Date.now() + 60_000);
      const text = await byUdp([query('_acme-challenge.cdn.example', 'TXT')]);
      expect(text.answers).toMatchObject([{ data: [Buffer.from('token')] }]);
    });

    it('says which address it could not have', async () => {
      await expect(server.listen('127.0.0.1', v4.address.port)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
      await expect(server.listen('203.0.113.1', 0)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    });

    const dig = async (...args: string[]) => {
      const { stdout } = await run('dig', [
        '@127.0.0.1',
        '-p',
        `${v4.address.port}`,
        '+tries=3',
        '+time=10',
        ...args,
      ]);
      return stdout;
    };
    const kdig = async (...args: string[]) => {
      const { stdout } = await run('kdig', [
        '@127.0.0.1',
        '-p',
        `${v4.address.port}`,
        '+retry=2',
        '+timeout=10',
        ...args,
      ]);
      return stdout;
    };

    it.runIf(has.dig)('is understood by dig', async () => {
      expect(await dig('+short', 'cdn.example')).toBe('192.0.2.1\n');
      const mixed = await dig('+subnet=198.51.100.0/24', 'CDN.exaMPLE');
      expect(mixed).toMatch(/CLIENT-SUBNET: 198\.51\.100\.0\/24\/24/);
      expect(mixed).toMatch(/COOKIE: [0-9a-f]{48} \(good\)/);
      expect(mixed).toMatch(/^CDN\.exaMPLE\.\s+30\s+IN\s+A\s+192\.0\.2\.2$/m);
      // Truncated by UDP, so dig comes back by TCP of itself.
      const long = await dig('long.cdn.example', 'TXT');
      expect(long).toMatch(/Truncated, retrying in TCP mode/);
      expect(long).toMatch(/ANSWER: 60/);
      expect(await dig('+subnet=0', '+short', 'cdn.example')).toBe('192.0.2.1\n');
      expect(await dig('nothing.cdn.example')).toMatch(/NXDOMAIN[\s\S]*SOA\s+ns1\.cdn\.example/);
      expect(await dig('other.example')).toMatch(/status: REFUSED/);
      expect(await dig('cdn.example', 'AXFR')).toMatch(/Transfer failed/);
      expect(await dig('-c', 'CH', '-t', 'TXT', 'version.bind')).toMatch(/status: REFUSED/);
      expect(await dig('+short', '-x', '192.0.2.1')).toBe('');
      expect(await dig('+ednsopt=65001:0102', '+short', 'cdn.example')).toBe('192.0.2.1\n');
      expect(await dig('+opcode=STATUS', 'cdn.example')).toMatch(/status: NOTIMP/);
      // dig falls back from an EDNS version that is refused.
      expect(await dig('+edns=1', 'cdn.example')).toMatch(/192\.0\.2\.1/);
      expect(await dig('+noednsnegotiation', '+edns=1', 'cdn.example')).toMatch(/status: BADVERS/);
    });

    it.runIf(has.kdig)('is understood by kdig', async () => {
      expect(await kdig('+short', 'cdn.example', 'AAAA')).toBe('2001:db8:f::1\n');
      expect(await kdig('+nsid', 'cdn.example')).toMatch(/NSID: .*"pop-1"/);
      expect(await kdig('+tcp', '+keepopen', 'cdn.example', 'A', 'www.cdn.example', 'A')).toMatch(
        /192\.0\.2\.1[\s\S]*192\.0\.2\.1/,
      );
      expect(await kdig('+subnet=2001:db8:100::/56', 'cdn.example')).toMatch(
        /CLIENT-SUBNET: 2001:db8:100::\/56\/40/,
      );
      expect(await kdig('+cookie', 'cdn.example')).toMatch(/COOKIE/);
    });
  },
);
