import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../collect-garbage.ts';
import { createOperator, pause, startPop, type TestPop, until } from './cluster.ts';
import { dial, type Stranger, startStranger } from './stranger.ts';

const pops: TestPop[] = [];
const strangers: Stranger[] = [];
afterEach(async () => {
  await Promise.all([
    ...pops.splice(0).map((pop) => pop.close()),
    ...strangers.splice(0).map((s) => s.stop()),
  ]);
});
const start = async (...args: Parameters<typeof startPop>) => {
  const pop = await startPop(...args);
  pops.push(pop);
  return pop;
};
const portOf = (pop: TestPop) => Number(/\/tcp\/(\d+)/.exec(pop.addresses()[0] ?? '')?.[1]);

/** Sends bytes to a port and closes, or leaves the connection open for a while. */
function throwAt(port: number, bytes: Uint8Array, stay: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes, () => {
        if (!stay) socket.destroy();
      });
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    setTimeout(() => socket.destroy(), 300);
  });
}

describe('the listening port', () => {
  const MULTISTREAM = Buffer.from('\x13/multistream/1.0.0\n');
  const hostile: [string, () => Uint8Array][] = [
    ['nothing', () => new Uint8Array()],
    ['random bytes', () => randomBytes(10_000)],
    ['HTTP', () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['multistream, then random bytes', () => Buffer.concat([MULTISTREAM, randomBytes(5_000)])],
    [
      'multistream with a huge length',
      () => Buffer.concat([MULTISTREAM, Buffer.from([0xff, 0xff, 0xff, 0x7f])]),
    ],
    [
      'TLS, then random bytes',
      () => Buffer.concat([MULTISTREAM, Buffer.from('\x0b/tls/1.0.0\n'), randomBytes(5_000)]),
    ],
    [
      'TLS, then a broken ClientHello',
      () =>
        Buffer.concat([
          MULTISTREAM,
          Buffer.from('\x0b/tls/1.0.0\n\x16\x03\x01\xff\xff\x01'),
          randomBytes(500),
        ]),
    ],
    [
      'Noise, then random bytes',
      () => Buffer.concat([MULTISTREAM, Buffer.from('\x07/noise\n'), randomBytes(5_000)]),
    ],
  ];
  it('bears whatever is thrown at it, and goes on', async () => {
    const operator = createOperator();
    const victim = await start(operator);
    for (const [, bytes] of hostile) {
      await Promise.all([0, 1, 2, 3].map((i) => throwAt(portOf(victim), bytes(), i % 2 === 0)));
    }
    const second = await start(operator, { bootstrap: victim.addresses() });
    await until('a PoP comes in', () => victim.peers.connected().includes(second.self));
  });

  it('bears random bytes inside an encrypted connection', async () => {
    const operator = createOperator();
    const victim = await start(operator);
    const rogue = await startStranger();
    strangers.push(rogue);
    for (let i = 0; i < 20; i += 1) {
      const connection = await dial(rogue, victim.addresses()[0] ?? '');
      const raw = connection as unknown as { maConn: { send(bytes: Uint8Array): boolean } };
      raw.maConn.send(randomBytes(1 + i * 50));
      // A header that looks right goes further: type, flags, stream and length at random.
      raw.maConn.send(Buffer.concat([Buffer.from([0, i % 5, 0, i % 16]), randomBytes(8)]));
      await pause(20);
      await connection.close().catch(() => undefined);
    }
    const second = await start(operator, { bootstrap: victim.addresses() });
    await until('a PoP comes in', () => victim.peers.connected().includes(second.self));
    expect(victim.peers.connected()).toEqual([second.self]);
  });

  it('bears a peer that opens and resets streams as fast as it can', async () => {
    const operator = createOperator();
    const victim = await start(operator);
    const rogue = await startStranger();
    strangers.push(rogue);
    const connection = await dial(rogue, victim.addresses()[0] ?? '');
    collectGarbage();
    const before = process.memoryUsage();
    for (let i = 0; i < 300 && connection.status === 'open'; i += 1) {
      const opened = connection.newStream('/presage/chunk/1').then(
        (stream) => stream.abort(new Error('no')),
        () => undefined,
      );
      if (i % 30 === 0) await opened;
    }
    await pause(500);
    collectGarbage();
    const after = process.memoryUsage();
    const held = ({ heapUsed, external }: NodeJS.MemoryUsage) => heapUsed + external;
    expect(held(after) - held(before)).toBeLessThan(20 << 20);
    const second = await start(operator, { bootstrap: victim.addresses() });
    await until('a PoP comes in', () => victim.peers.connected().includes(second.self));
  });
});
