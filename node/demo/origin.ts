import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Random } from '../../protocol/ports.ts';
import { bodyOf, type DemoFile, etagOf } from './content.ts';

/** How far away the origin is and how fast it sends, in real time. */
export interface OriginPace {
  /** First byte after a time drawn evenly from this range, ms. */
  readonly latencyMs: readonly [least: number, most: number];
  /** Bytes a second of one response. */
  readonly bandwidth: number;
}

export const ORIGIN_PACE: OriginPace = { latencyMs: [80, 150], bandwidth: 12_500_000 };

/** What the origin has sent since it started. */
export interface OriginCounts {
  readonly requests: number;
  readonly notModified: number;
  readonly notFound: number;
  /** Bytes of bodies. */
  readonly bytes: number;
  /** Bodies that had been sent before in the same version, and their bytes. */
  readonly repeats: number;
  readonly repeatedBytes: number;
}

export const NO_REQUESTS: OriginCounts = {
  requests: 0,
  notModified: 0,
  notFound: 0,
  bytes: 0,
  repeats: 0,
  repeatedBytes: 0,
};

/** Sent in pieces of this size, so that the pace holds within a body too. */
const PIECE_BYTES = 128 * 1024;

/**
 * The demo's origin: a real HTTP server whose bodies follow from path and version, with entity tags, modification
 * times and surrogate keys, as slow as an origin on another continent. It knows nothing of the demand clock: its dates
 * are real ones, as those of any origin.
 */
export class Origin {
  readonly #files = new Map<string, { file: DemoFile; version: number; modifiedAt: number; sent: boolean }>();
  readonly #server: Server;
  readonly #pace: OriginPace;
  readonly #random: Random;
  #counts = { ...NO_REQUESTS };

  constructor(
    options: { readonly pace: OriginPace },
    dependencies: {
      readonly files: Iterable<DemoFile>;
      readonly random: Random;
    },
  ) {
    this.#pace = options.pace;
    this.#random = dependencies.random;
    for (const file of dependencies.files) {
      this.#files.set(file.path, { file, version: 1, modifiedAt: Date.now() - 86_400_000, sent: false });
    }
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
    this.#server.keepAliveTimeout = 60_000;
  }

  /** Starts to listen; the port when it does. */
  async listen(host: string, port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Gives a file new bytes; its new version, or `undefined` if there is no such file. */
  change(path: string): number | undefined {
    const entry = this.#files.get(path);
    if (entry === undefined) return undefined;
    entry.version += 1;
    entry.modifiedAt = Date.now();
    entry.sent = false;
    return entry.version;
  }

  counts(): OriginCounts {
    return { ...this.#counts };
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#counts.requests += 1;
    const [least, most] = this.#pace.latencyMs;
    await delay(least + (most - least) * this.#random.float());
    const entry = this.#files.get(request.url ?? '');
    if (entry === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) {
      this.#counts.notFound += 1;
      response.writeHead(entry === undefined ? 404 : 405, { 'cache-control': 'no-store' }).end();
      return;
    }
    const { file, version } = entry;
    const etag = etagOf(file.path, version);
    const fields = {
      etag,
      'cache-control': `public, max-age=${file.maxAgeS}`,
      'last-modified': new Date(entry.modifiedAt).toUTCString(),
      'surrogate-key': file.tags.join(' '),
    };
    if (request.headers['if-none-match']?.includes(etag)) {
      this.#counts.notModified += 1;
      response.writeHead(304, fields).end();
      return;
    }
    response.writeHead(200, { ...fields, 'content-type': file.type, 'content-length': file.size });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    if (entry.sent) {
      this.#counts.repeats += 1;
      this.#counts.repeatedBytes += file.size;
    }
    entry.sent = true;
    await this.#send(response, bodyOf(file, version));
  }

  async #send(response: ServerResponse, body: Buffer): Promise<void> {
    for (let at = 0; at < body.length; at += PIECE_BYTES) {
      const piece = body.subarray(at, at + PIECE_BYTES);
      await delay((piece.length / this.#pace.bandwidth) * 1000);
      if (response.destroyed) return;
      this.#counts.bytes += piece.length;
      if (!response.write(piece)) {
        await new Promise<void>((resolve) => {
          response.once('drain', resolve);
          response.once('close', resolve);
        });
      }
    }
    response.end();
  }
}

const delay = (ms: number): Promise<void> =>
  ms < 1 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
