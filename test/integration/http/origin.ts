import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  seen: Seen,
) => void | Promise<void>;

export interface OriginUnderTest {
  readonly url: string;
  readonly seen: Seen[];
  /** What answers from now on. */
  handler: Handler;
  /** Closes idle connections so that none is reused. */
  rest(): void;
  close(): Promise<void>;
}

/** A real origin whose answers a test scripts. */
export async function startOrigin(handler: Handler): Promise<OriginUnderTest> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    try {
      for await (const part of request) parts.push(part as Buffer);
    } catch {
      // Whoever asked has left in the middle.
      return;
    }
    const entry = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(parts).toString(),
    };
    seen.push(entry);
    await origin.handler(request, response, entry);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const origin: OriginUnderTest = {
    url: `http://127.0.0.1:${port}`,
    seen,
    handler,
    rest: () => server.closeIdleConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return origin;
}

/**
 * Sends bytes on a bare connection and gathers what comes back until it ends or `quietMs` pass without a byte; the
 * first byte may take `firstMs`.
 */
export function rawExchange(port: number, text: string, quietMs = 300, firstMs = 20_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
    let received = '';
    let timer = setTimeout(() => socket.destroy(), firstMs);
    /** A process that was held up has had no chance to answer: it gets some turns of the loop before it counts as quiet. */
    const quiet = async (length: number) => {
      for (let turn = 0; turn < 50; turn += 1) await new Promise((next) => setImmediate(next));
      if (received.length === length) socket.destroy();
    };
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => {
      received += data;
      clearTimeout(timer);
      timer = setTimeout(quiet, quietMs, received.length);
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(received) : reject(error),
    );
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received);
    });
  });
}
