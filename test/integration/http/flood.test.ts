import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Agent, request } from 'undici';
import { expect, it } from 'vitest';
import { seededRandom } from '../../../protocol/random.ts';
import { startEdge } from '../../edge-under-test.ts';
import { garbageFrames, httpGarbage } from '../../http-garbage.ts';
import { ONE } from './certificates.ts';
import { startOrigin } from './origin.ts';

/** Malformed messages, each on a connection of its own, and so many of these at a time. */
const MALFORMED = 1_000;
const AT_A_TIME = 20;
const CLIENTS = 8;
const PATHS = 20;
/** How long a malformed message may wait for its answer before the sender hangs up, ms. */
const HANG_UP_MS = 40;

const bodyOf = (path: string): Buffer =>
  Buffer.alloc(path.length % 3 === 0 ? 70_000 : 900, createHash('sha256').update(path).digest());

it('gives real clients nothing but right answers while it is flooded with malformed input', async () => {
  const origin = await startOrigin((message, response) => {
    const path = message.url ?? '';
    if (message.method !== 'GET') return void response.writeHead(200).end();
    const control = /^\/real\d*[05]$/.test(path) ? 'no-store' : 'max-age=60';
    const etag = `"${path}"`;
    response.writeHead(200, { 'cache-control': control, etag, 'x-path': path }).end(bodyOf(path));
  });
  const under = await startEdge({ origin: origin.url });
  const door = await under.edge.listen('127.0.0.1', 0, ONE);
  const rejections: unknown[] = [];
  const note = (error: unknown) => rejections.push(error);
  process.on('unhandledRejection', note);
  const random = seededRandom(Number(process.env.FLOOD_SEED ?? 11));
  const kinds = httpGarbage(random);

  let sent = 0;
  const flooder = async () => {
    while (sent < MALFORMED) {
      const n = sent++;
      // One in ten goes to the TLS port, half of these as frames within HTTP/2.
      if (n % 20 === 0) await tell(connectTls(h2Options(door.port)), h2Garbage(random), 'secureConnect');
      else if (n % 20 === 10)
        await tell(connect(door.port, '127.0.0.1'), kinds[n % kinds.length]!(), 'connect');
      else await tell(connect(under.port, '127.0.0.1'), kinds[n % kinds.length]!(), 'connect');
    }
  };

  const agents = [
    { base: under.url, agent: new Agent({ connections: CLIENTS }) },
    {
      base: `https://127.0.0.1:${door.port}`,
      agent: new Agent({ allowH2: true, connect: { ca: ONE.certificate } }),
    },
  ];
  let right = 0;
  const client = async (id: number) => {
    const { base, agent } = agents[id % 2]!;
    for (let n = id; sent < MALFORMED; n++) {
      const path = `/real${n % PATHS}`;
      const ranged = n % 7 === 0;
      const headers = ranged ? { range: 'bytes=100-199' } : {};
      const answer = await request(base + path, { dispatcher: agent, headers });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      const body = bodyOf(path);
      const what = `${path} ${answer.statusCode}`;
      if (answer.statusCode === 206) expect(bytes.equals(body.subarray(100, 200)), what).toBe(true);
      else {
        expect(answer.statusCode, what).toBe(200);
        expect(bytes.equals(body), what).toBe(true);
      }
      expect(answer.headers['x-path']).toBe(path);
      right++;
    }
  };
  await Promise.all([
    ...Array.from({ length: AT_A_TIME }, flooder),
    ...Array.from({ length: CLIENTS }, (_, id) => client(id)),
  ]);

  expect(sent).toBeGreaterThanOrEqual(MALFORMED);
  expect(right).toBeGreaterThan(CLIENTS);
  expect(rejections).toEqual([]);
  expect(under.metrics.counts.get('presage_edge_refused_total HTTP_MALFORMED')).toBeGreaterThan(
    MALFORMED / 10,
  );
  expect(under.metrics.counts.get('presage_edge_refused_total INTERNAL')).toBeUndefined();
  expect(origin.seen.filter(({ url }) => url.includes('smuggled'))).toEqual([]);
  process.off('unhandledRejection', note);
  await Promise.all(agents.map(({ agent }) => agent.close()));
  await under.close();
  await origin.close();
});

it('shows a client out that asks only to call off, and serves the others (CVE-2023-44487)', async () => {
  const origin = await startOrigin((_message, response) => {
    response.writeHead(200, { 'cache-control': 'no-store', 'content-length': 2 }).end('ok');
  });
  const under = await startEdge({ origin: origin.url });
  const door = await under.edge.listen('127.0.0.1', 0, ONE);
  const socket = connectTls(h2Options(door.port), () => socket.write(calledOff(5_000)));
  socket.on('error', () => undefined);
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  await once(socket, 'close');
  expect(lastStreamIn(Buffer.concat(received))).toBeLessThan(2 * 5_000);
  const agent = new Agent({ allowH2: true, connect: { ca: ONE.certificate } });
  const answer = await request(`https://127.0.0.1:${door.port}/real`, { dispatcher: agent });
  expect([answer.statusCode, await answer.body.text()]).toEqual([200, 'ok']);
  await agent.close();
  await under.close();
  await origin.close();
});

const h2Options = (port: number) => ({
  ...{ host: '127.0.0.1', port, ALPNProtocols: ['h2'], rejectUnauthorized: false },
});

const SETTINGS = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
const h2Garbage = (random: Parameters<typeof garbageFrames>[0]): Buffer =>
  Buffer.concat([SETTINGS, garbageFrames(random, 8)]);

/** Requests over HTTP/2, each of them called off at once. */
function calledOff(count: number): Buffer {
  // GET, https, / and :authority, by the static table of HPACK (RFC 7541, appendix A).
  const head = Buffer.from('\x82\x87\x84\x41\x0bwww.example', 'latin1');
  const frames = [SETTINGS];
  for (let n = 0; n < count; n += 1) {
    const headers = Buffer.alloc(9);
    headers.writeUIntBE(head.length, 0, 3);
    // HEADERS with END_STREAM and END_HEADERS, then RST_STREAM with CANCEL.
    headers.writeUInt16BE(0x0105, 3);
    headers.writeUInt32BE(2 * n + 1, 5);
    const reset = Buffer.from('\0\0\x04\x03\0\0\0\0\0\0\0\0\x08', 'latin1');
    reset.writeUInt32BE(2 * n + 1, 5);
    frames.push(headers, head, reset);
  }
  return Buffer.concat(frames);
}

/** The last stream that a GOAWAY says was taken (RFC 9113 §6.8); none if there is no such frame. */
function lastStreamIn(bytes: Buffer): number {
  for (let at = 0; at + 13 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    if (bytes[at + 3] === 7) return bytes.readUInt32BE(at + 9) & 0x7fff_ffff;
  return Number.POSITIVE_INFINITY;
}

/** Sends bytes, reads whatever comes, and hangs up in the middle if nothing does. */
function tell(socket: Socket, bytes: Buffer, ready: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), HANG_UP_MS);
    socket.once(ready, () => socket.write(bytes));
    socket.on('error', () => undefined);
    socket.resume();
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
