import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Adopted, adopt } from '../../../node/http/adopt.ts';

/** Without it a connection is heard like any other, as on a system of which Node tells less. */
const known = (socket: Socket, able: boolean): Socket => {
  const { _handle: handle } = socket as unknown as { _handle: object };
  if (!able) Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
  return socket;
};

describe.each([{ able: true }, { able: false }])('a connection that is adopted ($able)', ({ able }) => {
  let server: Server;
  let client: Socket;
  let adopted: Adopted;
  let received: string;
  beforeEach(async () => {
    received = '';
    server = createServer({ allowHalfOpen: true });
    const accepted = new Promise<void>((resolve) => {
      server.once('connection', (socket) => {
        adopted = adopt(known(socket, able), server, (bytes, length) => {
          received += bytes.toString('latin1', 0, length);
        });
        adopted.socket.resume();
        resolve();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await accepted;
  });
  afterEach(() => {
    client.destroy();
    adopted.socket.destroy();
    server.close();
  });

  it('is read in order, stops and goes on, and hears the end', async () => {
    const text = Array.from({ length: 30_000 }, (_, n) => `${n},`).join('');
    client.write(text);
    await expect.poll(() => received.length, { timeout: 10_000 }).toBe(text.length);
    adopted.socket.pause();
    // Whatever was read before it stopped has come by now.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const before = received.length;
    client.write(text);
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (able) expect(received.length).toBe(before);
    adopted.socket.resume();
    const ended = once(adopted.socket, 'end');
    client.end();
    await ended;
    expect(received).toBe(text + text);
    adopted.socket.end('good bye');
    expect(String(await once(client, 'data'))).toBe('good bye');
  });

  it('is left to the listeners of its socket', async () => {
    client.write('mine');
    await expect.poll(() => received).toBe('mine');
    adopted.leave();
    const parts: Buffer[] = [];
    adopted.socket.on('data', (part: Buffer) => parts.push(part));
    for (const part of ['theirs, ', 'and theirs']) {
      client.write(part);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await expect.poll(() => Buffer.concat(parts).toString()).toBe('theirs, and theirs');
    expect(received).toBe('mine');
  });

  it('counts for its server until it is closed, and is known by no descriptor after', async () => {
    expect(await new Promise((resolve) => server.getConnections((_, count) => resolve(count)))).toBe(1);
    expect(adopted.fd() >= 0).toBe(able && process.platform !== 'win32');
    expect(adopted.socket.remoteAddress).toBe('127.0.0.1');
    const closed = once(server, 'close');
    server.close();
    adopted.socket.destroy();
    expect(adopted.fd()).toBe(-1);
    await closed;
  });
});
