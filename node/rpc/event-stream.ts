import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EventHub, RpcEvent } from './events.ts';

/** Events kept for a client that reads slowly; older ones are dropped and their number is told. */
const WAITING_MAX = 256;
/** Comment lines that keep proxies and clients from giving up on a quiet stream. */
const HEARTBEAT_MS = 15_000;
/** Streams at once. */
export const STREAMS_MAX = 32;

/**
 * Serves the hub as server-sent events (WHATWG HTML, 9.2): `id`, `event` and `data` as JSON `{at, …}`.
 * `?types=a,b` restricts the types; `Last-Event-ID` resumes. A slow client loses the oldest events and is sent
 * `lagged` with their number; it never holds more than a bounded queue here.
 */
export function streamEvents(
  request: IncomingMessage,
  response: ServerResponse,
  hub: EventHub,
  types: readonly string[],
): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.write('retry: 2000\n\n');

  const waiting: RpcEvent[] = [];
  let lost = 0;
  let blocked = false;
  const send = (text: string) => {
    blocked = !response.write(text);
  };
  const flush = () => {
    if (!blocked && lost > 0) {
      send(`event: lagged\ndata: ${JSON.stringify({ lost })}\n\n`);
      lost = 0;
    }
    while (!blocked) {
      const event = waiting.shift();
      if (!event) return;
      send(format(event));
    }
  };
  const end = hub.subscribe((event) => {
    if (types.length > 0 && !types.includes(event.type)) return;
    waiting.push(event);
    if (waiting.length > WAITING_MAX) {
      waiting.shift();
      lost += 1;
    }
    flush();
  }, sinceOf(request));
  const heartbeat = setInterval(() => {
    if (!blocked) send(': heartbeat\n\n');
  }, HEARTBEAT_MS);
  heartbeat.unref();
  response.on('drain', () => {
    blocked = false;
    flush();
  });
  response.on('close', () => {
    clearInterval(heartbeat);
    end();
  });
}

const format = ({ id, at, type, data }: RpcEvent) =>
  `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ ...data, at })}\n\n`;

function sinceOf(request: IncomingMessage): number {
  const last = request.headers['last-event-id'];
  return typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : Number.POSITIVE_INFINITY;
}
