import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Node's own HTTP server with a body in memory, for the bench: what anything built on it can reach at best. */
const size = Number(process.argv[2]);
if (!Number.isInteger(size)) throw new Error('usage: http-bare.ts BYTES');
const body = Buffer.alloc(size, 'presage ');
const head = [
  ...['content-type', 'application/octet-stream', 'cache-control', 'max-age=86400', 'etag', '"bench"'],
  ...['age', '0', 'via', '1.1 bare', 'cache-status', '"bare"; hit', 'content-length', String(size)],
];
const server = createServer({ optimizeEmptyRequests: true }, (request, response) => {
  if (request.headers['if-none-match'] === '"bench"') response.writeHead(304, head.slice(2, -2)).end();
  else response.writeHead(200, head).end(body);
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
