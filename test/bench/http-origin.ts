import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * The origin behind the servers of the bench, which prints its port: `/BYTES` is so long; `/BYTES/…` too, and takes as
 * long as an origin that has to think; `/requests` says how often it was asked. Nothing else is here.
 */
const THINKING_MS = 10;

let requests = 0;
const bodies = new Map<number, Buffer>();
const server = createServer((request, response) => {
  const [, first = '', ...rest] = (request.url ?? '').split('/');
  if (first === 'requests') {
    response.end(String(requests));
    return;
  }
  requests += 1;
  const size = Number(first);
  if (!Number.isSafeInteger(size)) {
    response.writeHead(404, { 'content-length': 0 }).end();
    return;
  }
  const body = bodies.get(size) ?? Buffer.alloc(size, 'presage ');
  bodies.set(size, body);
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'cache-control': 'max-age=86400',
    etag: '"bench"',
    'content-length': body.length,
  });
  if (rest.length === 0) response.end(body);
  else setTimeout(() => response.end(body), THINKING_MS);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
