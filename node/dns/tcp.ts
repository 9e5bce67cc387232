import { createServer, type Socket } from 'node:net';
import { PresageError } from '../../protocol/errors.ts';
import type { Log, Metrics } from '../../protocol/ports.ts';
import { senderAddress } from './address.ts';
import type { Listening, Respond } from './udp.ts';

/** A query is a name and a few options; nothing that we answer is longer. */
const MAX_QUERY_BYTES = 4096;
/** Answers that a client has not taken yet, bytes; above it no more of its queries are read. */
const MAX_UNREAD_BYTES = 256 * 1024;

export interface TcpOptions {
  /** Connections at once, and at once from one address. */
  readonly connections: number;
  readonly connectionsPerClient: number;
  /** Real ms after which a connection on which nothing moves is closed (RFC 7766 §6.2.3). */
  readonly idleMs: number;
}

/** Answers queries by TCP: each behind its length, several in a connection (RFC 7766). */
export function listenTcp(
  options: TcpOptions & { readonly host: string; readonly port: number; readonly reusePort: boolean },
  respond: Respond,
  deps: { readonly log: Log; readonly metrics: Metrics },
): Promise<Listening> {
  const open = new Set<Socket>();
  const perClient = new Map<string, number>();
  const server = createServer({ noDelay: true }, (socket) => {
    const from = socket.remoteAddress;
    const here = from === undefined ? 0 : (perClient.get(from) ?? 0);
    if (from === undefined || here >= options.connectionsPerClient) {
      deps.metrics.count('presage_dns_connections_refused_total');
      socket.destroy();
      return;
    }
    open.add(socket);
    perClient.set(from, here + 1);
    socket.on('close', () => {
      open.delete(socket);
      const left = (perClient.get(from) ?? 1) - 1;
      if (left > 0) perClient.set(from, left);
      else perClient.delete(from);
    });
    socket.on('error', () => socket.destroy());
    serve(socket, Uint8Array.from(senderAddress(from)), options.idleMs, respond, deps);
  });
  server.maxConnections = options.connections;
  server.on('drop', () => deps.metrics.count('presage_dns_connections_refused_total'));
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const { host, port } = options;
      reject(
        new PresageError('CONFIG_INVALID', `dns.listen: cannot listen on ${host}:${port} by TCP`, {}, error),
      );
    });
    const { host, port, reusePort } = options;
    server.listen({ host, port, reusePort, exclusive: true }, () => {
      server.on('error', (error) => deps.log.warn('dns: accepting failed', { error: error.message }));
      resolve({
        port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of open) socket.destroy();
          }),
      });
    });
  });
}

function serve(
  socket: Socket,
  client: Uint8Array,
  idleMs: number,
  respond: Respond,
  deps: { readonly metrics: Metrics },
): void {
  let pending: Buffer = Buffer.alloc(0);
  const read = () => {
    while (pending.length >= 2 && !socket.isPaused()) {
      const length = pending.readUInt16BE(0);
      if (length > MAX_QUERY_BYTES) {
        deps.metrics.count('presage_errors_total', { code: 'DNS_MALFORMED' });
        socket.destroy();
        return;
      }
      if (pending.length < 2 + length) return;
      const answer = respond(pending.subarray(2, 2 + length), client, 'tcp');
      pending = pending.subarray(2 + length);
      if (!answer) {
        // What deserves no answer by UDP is not spoken to any further by TCP.
        socket.destroy();
        return;
      }
      const framed = Buffer.allocUnsafe(2 + answer.length);
      framed.writeUInt16BE(answer.length);
      framed.set(answer, 2);
      socket.write(framed);
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.pause();
    }
  };
  // Bytes that trickle keep a connection from being idle, so that a query begun must also end in that time.
  let deadline: NodeJS.Timeout | undefined;
  const judge = () => {
    if (pending.length === 0 || socket.isPaused()) {
      clearTimeout(deadline);
      deadline = undefined;
    } else deadline ??= setTimeout(() => socket.destroy(), idleMs);
  };
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on('close', () => clearTimeout(deadline));
  socket.on('data', (chunk: Buffer) => {
    const before = pending.length;
    pending = before === 0 ? chunk : Buffer.concat([pending, chunk]);
    read();
    if (pending.length < before + chunk.length) {
      clearTimeout(deadline);
      deadline = undefined;
    }
    judge();
  });
  socket.on('drain', () => {
    if (!socket.isPaused()) return;
    socket.resume();
    read();
  });
  socket.on('end', () => socket.end());
}
