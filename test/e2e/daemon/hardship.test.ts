import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readdirSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { seededRandom } from '../../../protocol/random.ts';
import { startCluster } from '../cluster.ts';
import { type Daemon, http, scratch, startDaemon, until } from '../daemon.ts';
import { bodyOf, startOrigin, type TestOrigin } from '../origin.ts';

const HOST = 'files.example';

async function world(
  flags: readonly string[] = [],
): Promise<{ origin: TestOrigin; start: () => Promise<Daemon> }> {
  const origin = await startOrigin();
  onTestFinished(() => origin.close());
  const dataDir = scratch(onTestFinished);
  return {
    origin,
    async start() {
      const daemon = await startDaemon(dataDir, ['--origin', origin.url, ...flags]);
      onTestFinished(async () => void (await daemon.stop('SIGKILL')));
      return daemon;
    },
  };
}

const get = (daemon: Daemon, path: string) =>
  http({ url: `${daemon.ready.http}${path}`, headers: { host: HOST } });
const serves = async (daemon: Daemon, path: string, size = 4_000) =>
  (await get(daemon, path)).body.equals(bodyOf(path, 1, size));
const storedCount = async (daemon: Daemon) =>
  (await daemon.rpc<{ storage: { contents: number } }>('status')).storage.contents;
const metrics = async (daemon: Daemon) =>
  (await http({ socketPath: join(daemon.dataDir, 'rpc.sock'), path: '/metrics' })).text;

/** Overwrites a stretch in the middle of every file below a directory. */
function damage(directory: string, wanted: (name: string) => boolean): number {
  let damaged = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    if (!wanted(name)) continue;
    const file = openSync(join(directory, name), 'r+');
    const { size } = fstatSync(file);
    if (size > 64) {
      writeSync(file, Buffer.alloc(32, 0xa5), 0, 32, Math.floor(size / 2));
      damaged += 1;
    }
    closeSync(file);
  }
  return damaged;
}

const blobFile = (name: string) => /[0-9a-f]{64}/.test(name);

describe('a daemon in hardship', () => {
  it('never serves a damaged content: it is noticed, counted and fetched again', async () => {
    const { origin, start } = await world();
    const first = await start();
    for (let n = 0; n < 5; n += 1) expect(await serves(first, `/d/${n}`)).toBe(true);
    await until('all are stored', async () => (await storedCount(first)) === 5);
    expect(await first.stop()).toBe(0);
    expect(damage(join(first.dataDir, 'blobs'), blobFile)).toBeGreaterThanOrEqual(5);
    const second = await start();
    for (let n = 0; n < 5; n += 1) {
      // Bytes on their way cannot be called back: an answer is cut, or whole and right, and the next is right.
      const answer = await get(second, `/d/${n}`).catch(() => undefined);
      if (answer?.body.length === 4_000) expect(answer.body.equals(bodyOf(`/d/${n}`, 1, 4_000))).toBe(true);
      await until('it is served again', () => serves(second, `/d/${n}`));
    }
    expect(origin.asked.get('/d/0')).toBe(2);
    await until('it is counted', async () =>
      /presage_\w+\{[^}]*CONTENT_MISMATCH[^}]*\} [1-9]/.test(await metrics(second)),
    );
  });

  it('starts over a damaged database and says so', async () => {
    const { start } = await world();
    const first = await start();
    for (let n = 0; n < 50; n += 1) expect(await serves(first, `/d/${n}`)).toBe(true);
    await first.rpc('purge', { url: `http://${HOST}/d/0`, wait: true });
    await first.stop('SIGKILL');
    expect(damage(join(first.dataDir, 'db'), (name) => /\.(ldb|log)$/.test(name))).toBeGreaterThan(0);
    const second = await start();
    for (let n = 0; n < 50; n += 1) expect(await serves(second, `/d/${n}`)).toBe(true);
    expect(second.log()).toMatch(/damaged|lost|STORE_CORRUPT|gone/);
    expect(await second.stop()).toBe(0);
  });

  it('passes on what it has no room to store', async () => {
    const { origin, start } = await world([
      '--storage-budget',
      '300KiB',
      '--storage-memory',
      '64KiB',
      '--storage-max-object',
      '250KiB',
    ]);
    origin.sizeOf = () => 200_000;
    const daemon = await start();
    for (let n = 0; n < 8; n += 1) expect(await serves(daemon, `/big/${n}`, 200_000)).toBe(true);
    const { storage } = await daemon.rpc<{ storage: { diskBytes: number } }>('status');
    expect(storage.diskBytes).toBeLessThanOrEqual(300 * 1024);
  });

  it('serves what it validly can when the origin is gone', async () => {
    const { origin, start } = await world();
    origin.maxAge = 1;
    const daemon = await start();
    expect(await serves(daemon, '/stale')).toBe(true);
    await until('it is stored', async () => (await storedCount(daemon)) === 1);
    origin.down = true;
    await new Promise((done) => setTimeout(done, 1_200));
    expect(await serves(daemon, '/stale')).toBe(true);
    expect((await get(daemon, '/never')).status).toBeGreaterThanOrEqual(502);
  });

  it('answers garbage at every door by a code, and goes on serving', async () => {
    const { start } = await world(['--rpc', '127.0.0.1:0']);
    const daemon = await start();
    expect(await serves(daemon, '/before')).toBe(true);
    const random = seededRandom(7);
    const noise = () =>
      Buffer.from(Array.from({ length: 1 + (random.uint32() % 600) }, () => random.uint32() & 0xff));
    const [, rpcPort] = /:(\d+)$/.exec(daemon.ready.rpc ?? '') ?? [];
    const httpUrl = new URL(daemon.ready.http ?? '');
    const dns = new URL(`dns://${daemon.ready.dns}`);
    const udp = createSocket('udp4');
    for (let n = 0; n < 200; n += 1) {
      udp.send(noise(), Number(dns.port), dns.hostname);
      for (const port of [httpUrl.port, dns.port, rpcPort]) {
        const socket = connect(Number(port), '127.0.0.1');
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        socket.write(
          n % 2 === 0
            ? noise()
            : Buffer.from(`POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n`),
        );
        setTimeout(() => socket.destroy(), 50);
      }
    }
    udp.close();
    for (const [method, params] of [
      ['purge', { url: 5 }],
      ['purge', { url: 'a', tag: 'b' }],
      ['explain', { resource: '\u0000' }],
      ['replicas', { limit: -1 }],
      ['ingest', { observations: [{ at: 'then' }] }],
      ['__proto__', {}],
    ] as const) {
      await expect(daemon.rpc(method, params), method).rejects.toThrow();
    }
    expect(await serves(daemon, '/before')).toBe(true);
    expect(await serves(daemon, '/after')).toBe(true);
    for (const code of ['DNS_MALFORMED', 'HTTP_MALFORMED'])
      await until(`${code} is counted`, async () => (await metrics(daemon)).includes(code));
    expect(await daemon.stop()).toBe(0);
  });
});

describe('a PoP whose clock is wrong', () => {
  it('is not believed about demand, and serves and purges like any other', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const cluster = await startCluster(scratch(onTestFinished), 2, {
      origin: origin.url,
      flags: (index) => (index === 1 ? ['--clock-offset', '86400000ms'] : []),
    });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    await cluster.meshed();
    const [right, wrong] = cluster.pops as [Daemon, Daemon];
    for (const pop of [wrong, right]) expect(await serves(pop, '/clock')).toBe(true);
    await until('its windows are refused', async () => /WIRE_FUTURE[^}]*\} [1-9]/.test(await metrics(right)));
    origin.versions.set('/clock', 2);
    const result = await wrong.rpc<{ complete: boolean; acknowledged: unknown[] }>('purge', {
      url: `http://${HOST}/clock`,
      wait: true,
      timeoutMs: 60_000,
    });
    expect(result.acknowledged).toHaveLength(2);
    for (const pop of [wrong, right])
      expect((await get(pop, '/clock')).body.equals(bodyOf('/clock', 2, 4_000))).toBe(true);
  });
});
