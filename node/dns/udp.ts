import { createSocket } from 'node:dgram';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { Log, Metrics } from '../../protocol/ports.ts';
import { senderAddress } from './address.ts';
import { openBatch } from './batch.ts';

/** Room for bursts while the event loop is busy, bytes; the system may grant less. */
const RECEIVE_BUFFER_BYTES = 4 << 20;
const SEND_BUFFER_BYTES = 1 << 20;

export type Respond = (
  bytes: Uint8Array,
  client: Uint8Array,
  transport: 'udp' | 'tcp',
) => Uint8Array | undefined;

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Whether datagrams are taken and sent many at a time, see `batch.ts`: `auto` where the system lets us, `on` the same
 * with a warning where it does not, `off` one by one.
 */
export type Batching = 'auto' | 'on' | 'off';

export interface UdpOptions {
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
  readonly reusePort: boolean;
  readonly batch: Batching;
}

/** Answers datagrams. Fails with `CONFIG_INVALID` if the address cannot be had. */
export async function listenUdp(
  options: UdpOptions,
  respond: Respond,
  deps: { readonly log: Log; readonly metrics: Metrics },
): Promise<Listening> {
  const batch = options.batch === 'off' ? undefined : await openBatch(options);
  if (options.batch !== 'off' && !batch)
    deps.log[options.batch === 'on' ? 'warn' : 'info'](
      'dns: one datagram at a time, as batches are not to be had here',
    );
  const socket = createSocket({
    type: options.family === 6 ? 'udp6' : 'udp4',
    reusePort: options.reusePort,
    // Answers go to the address that a packet came from, so nothing is ever looked up; this spares a tick each.
    lookup: (host, _options, found) => found(null, host, options.family),
  });
  socket.on('message', (bytes, sender) => {
    if (sender.port === 0) return;
    const answer = respond(bytes, senderAddress(sender.address), 'udp');
    if (answer) socket.send(answer, 0, answer.length, sender.port, sender.address);
    // Where there is one there are often more.
    batch?.drain(respond);
  });
  return new Promise((resolve, reject) => {
    const refused = (error: Error) => {
      socket.close();
      const { host, port } = options;
      reject(
        new PresageError('CONFIG_INVALID', `dns.listen: cannot listen on ${host}:${port} by UDP`, {}, error),
      );
    };
    socket.once('error', refused);
    const where = batch ? { fd: batch.fd } : { address: options.host, port: options.port };
    socket.bind({ ...where, exclusive: true }, () => {
      socket.off('error', refused);
      socket.on('error', (error) => {
        // Such as a destination that cannot be reached; the client asks again.
        deps.metrics.count('presage_dns_send_failures_total');
        deps.log.debug('dns: sending failed', { error: coded(error).message });
      });
      try {
        socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
        socket.setSendBufferSize(SEND_BUFFER_BYTES);
      } catch (error) {
        deps.log.debug('dns: socket buffers stay as they are', { error: coded(error).message });
      }
      resolve({
        port: socket.address().port,
        close: () => new Promise((closed) => socket.close(() => closed())),
      });
    });
  });
}
