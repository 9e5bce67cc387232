import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { PresageError } from '../../protocol/errors.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';
import type { Endpoint } from '../config-units.ts';
import { parseCombined } from './combined.ts';
import { parseJsonLine } from './json-lines.ts';
import type { Observation } from './observation.ts';

/** Observations that wait for the next delivery; what comes beyond is dropped and counted. */
const WAITING_MAX = 5000;
const DELIVERY_MS = 250;
/** At most so many malformed messages are logged a minute; all are counted. */
const COMPLAINTS_MAX = 3;
const COMPLAINTS_MS = 60_000;

const PRIORITY = /^<\d{1,3}>/;
/** RFC 5424, 6: version, timestamp, host, application, process, message id, structured data. */
const MODERN =
  /^1 \S{1,48} \S{1,255} \S{1,48} \S{1,128} \S{1,32} (?:-|(?:\[(?:[^\]\\]|\\.){0,4096}\])+)(?: |$)/;
/** RFC 3164, 4.1: timestamp, and unless the sender leaves it out the host; then the tag. */
const LEGACY = /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[^\s:[]{1,255} )?[^\s:[]{1,64}(?:\[\d{1,10}\])?: ?/;

export interface SyslogOptions {
  readonly listen: Endpoint;
  /** Host name of requests that carry none. */
  readonly host?: string | undefined;
}

export interface SyslogParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Takes what came since the last delivery; must not throw. */
  receive(observations: readonly Observation[]): void;
}

export interface SyslogListener {
  readonly address: Endpoint;
  close(): Promise<void>;
}

/**
 * The access log line in a syslog message of RFC 3164 or RFC 5424; the whole message where there is no header.
 * nginx sends the former: `access_log syslog:server=…`.
 */
export function payloadOf(message: string): string {
  const body = message.replace(PRIORITY, '');
  const header = MODERN.exec(body) ?? LEGACY.exec(body);
  // RFC 5424 lets a byte order mark announce UTF-8.
  return body
    .slice(header?.[0].length ?? 0)
    .replace(/^\ufeff/, '')
    .trimEnd();
}

/**
 * Hears access logs (combined or JSON) over UDP from caches that stand in front. Whoever reaches the address can
 * invent demand, so that it belongs on loopback or a private network. Fails with `CONFIG_INVALID` if the address
 * cannot be had.
 */
export async function listenSyslog(options: SyslogOptions, parts: SyslogParts): Promise<SyslogListener> {
  const { clock, log, metrics, receive } = parts;
  const { host, port } = options.listen;
  const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4' });
  let waiting: Observation[] = [];
  let cancel: (() => void) | undefined;
  let complaints = 0;
  let complaintsSince = clock.monotonic();

  const deliver = () => {
    cancel = undefined;
    const batch = waiting;
    waiting = [];
    if (batch.length > 0) receive(batch);
  };
  const complain = (reason: string) => {
    metrics.count('errors_total', { code: 'INPUT_MALFORMED' });
    if (clock.monotonic() - complaintsSince > COMPLAINTS_MS) {
      complaints = 0;
      complaintsSince = clock.monotonic();
    }
    complaints += 1;
    if (complaints <= COMPLAINTS_MAX) log.warn('a syslog message could not be read', { reason });
  };
  socket.on('message', (datagram) => {
    const line = payloadOf(datagram.toString('utf8'));
    const parse = line.startsWith('{') ? parseJsonLine : parseCombined;
    const observation = parse(line, options.host ?? '');
    if (typeof observation === 'string') return complain(observation);
    if (waiting.length >= WAITING_MAX) return metrics.count('syslog_dropped_total');
    waiting.push(observation);
    cancel ??= clock.after(DELIVERY_MS, deliver);
  });
  await bound(socket, host, port);
  socket.on('error', (error) => log.error('the syslog socket failed', { error }));
  return {
    address: { host, port: socket.address().port },
    async close() {
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      cancel?.();
      deliver();
    },
  };
}

function bound(socket: Socket, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) =>
      reject(
        new PresageError(
          'CONFIG_INVALID',
          `ingest.syslog: cannot listen on ${host}:${port}: ${error.message}`,
          {},
          error,
        ),
      );
    socket.once('error', failed);
    socket.bind(port, host, () => {
      socket.off('error', failed);
      resolve();
    });
  });
}
