import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An origin whose bodies follow from path and version, so that every byte served can be checked. */
export interface TestOrigin {
  readonly url: string;
  /** Requests by path. */
  readonly asked: Map<string, number>;
  versions: Map<string, number>;
  maxAge: number;
  sizeOf: (path: string) => number;
  down: boolean;
  close(): Promise<void>;
}

/** The body of a path at a version: pseudo-random, so that nothing compresses and nothing matches by chance. */
export function bodyOf(path: string, version: number, size: number): Buffer {
  if (size === 0) return Buffer.alloc(0);
  return createHash('shake256', { outputLength: size }).update(`${path} ${version}`).digest();
}

export async function startOrigin(): Promise<TestOrigin> {
  const asked = new Map<string, number>();
  const origin: TestOrigin = {
    url: '',
    asked,
    versions: new Map(),
    maxAge: 3_600,
    sizeOf: () => 4_000,
    down: false,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    asked.set(path, (asked.get(path) ?? 0) + 1);
    if (origin.down) {
      request.socket.destroy();
      return;
    }
    const version = origin.versions.get(path) ?? 1;
    const etag = `"${path}-${version}"`;
    const headers = {
      etag,
      'cache-control': `public, max-age=${origin.maxAge}`,
      'content-type': 'application/octet-stream',
      'surrogate-key': `all dir-${path.split('/')[1] ?? ''}`,
    };
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, headers).end();
      return;
    }
    const body = bodyOf(path, version, origin.sizeOf(path));
    response
      .writeHead(200, { ...headers, 'content-length': body.length })
      .end(request.method === 'HEAD' ? undefined : body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(origin, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}
