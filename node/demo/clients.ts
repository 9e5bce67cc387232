import { createHash } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { codeOf } from '../../protocol/errors.ts';
import { versionOfEtag } from './content.ts';
import { DEMO_HOST, type LoadRequest } from './load.ts';
import type { Resolver } from './resolver.ts';
import { clientAddress } from './world.ts';

/** What a client saw of one request. */
export interface Observation {
  /** Demand time (Unix ms) at which the load had it. */
  readonly at: number;
  /** Real ms since the run began: when it was sent, and when its last byte came. */
  readonly sentMs: number;
  readonly doneMs: number;
  readonly region: number;
  readonly path: string;
  /** Address of the PoP that answered, or that failed last. */
  readonly pop: string;
  /** 0 if nothing answered. */
  readonly status: number;
  readonly cacheStatus: CacheStatus;
  readonly bytes: number;
  /** SHA-256 in hex of the body, and the version that its entity tag names. */
  readonly hash: string;
  readonly version: number | undefined;
  /** Real ms to the first byte of the body. */
  readonly firstByteMs: number;
  /** Why nothing answered. */
  readonly error?: string;
}

/** What the PoP said in `Cache-Status` (RFC 9211) about itself: the last member of the list. */
export interface CacheStatus {
  readonly hit: boolean;
  readonly fwd: string | undefined;
  readonly collapsed: boolean;
  /** How a hit came to be stored: `client`, `mirrored` or `speculative`. */
  readonly detail: string | undefined;
}

/** Clients give up on a connection after this, real ms. */
const PATIENCE_MS = 30_000;
/** Idle connections of a client are closed after this, real ms. */
const IDLE_MS = 1_500;
/** Requests of one region under way at once; more wait, and the wait is reported as lateness. */
const REGION_CONCURRENCY = 64;

/**
 * Reads the member of a `Cache-Status` list that the answering PoP added, which is the last one. A quoted string may
 * hold separators, so that the list is split outside quotes only.
 */
export function readCacheStatus(value: string | undefined): CacheStatus {
  const member = splitOutsideQuotes(value ?? '', ',').at(-1) ?? '';
  const parameters = new Map(
    splitOutsideQuotes(member, ';')
      .slice(1)
      .map((part): [string, string] => {
        const at = part.indexOf('=');
        return at < 0
          ? [part.trim(), '?1']
          : [
              part.slice(0, at).trim(),
              part
                .slice(at + 1)
                .trim()
                .replace(/^"|"$/g, ''),
            ];
      }),
  );
  return {
    hit: parameters.get('hit') === '?1',
    fwd: parameters.get('fwd'),
    collapsed: parameters.get('collapsed') === '?1',
    detail: parameters.get('detail'),
  };
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let from = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === '"' && text[i - 1] !== '\\') quoted = !quoted;
    else if (text[i] === separator && !quoted) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

/** Sends requests as the demo's clients: resolves through the region's resolver, keeps connections alive. */
export class Clients {
  readonly #resolvers: readonly Resolver[];
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true, timeout: IDLE_MS, maxFreeSockets: 4 });
  readonly #began: number;
  readonly #free: number[];
  readonly #queues: (() => void)[][];

  /** `port`: where every PoP serves HTTP, each on its own address. One resolver per region. */
  constructor(options: { readonly port: number }, dependencies: { readonly resolvers: readonly Resolver[] }) {
    this.#port = options.port;
    this.#resolvers = dependencies.resolvers;
    this.#began = performance.now();
    this.#free = dependencies.resolvers.map(() => REGION_CONCURRENCY);
    this.#queues = dependencies.resolvers.map(() => []);
  }

  /** Real ms since this object was made; the clock of `Observation`. */
  elapsedMs(): number {
    return performance.now() - this.#began;
  }

  /** One request of the load, to the PoP that DNS names for the client. Never rejects: failures are observations. */
  async send(request: LoadRequest): Promise<Observation> {
    await this.#enter(request.region);
    try {
      const address = clientAddress(request.region, request.client);
      const resolver = this.#resolvers[request.region]!;
      const first = await this.#try(request, address, resolver);
      if (first.status !== 0) return first;
      // As browsers do: a connection that failed is tried once more, on what the name says by now.
      resolver.forget();
      return await this.#try(request, address, resolver);
    } finally {
      this.#leave(request.region);
    }
  }

  /** One request to a given PoP, whatever DNS says. */
  ask(pop: string, request: LoadRequest): Promise<Observation> {
    return this.#fetch(pop, clientAddress(request.region, request.client), request);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #try(request: LoadRequest, address: string, resolver: Resolver): Promise<Observation> {
    let pop: string | undefined;
    try {
      pop = (await resolver.resolve(DEMO_HOST, address))[0];
    } catch (error) {
      return this.#failure(request, '', this.elapsedMs(), codeOf(error));
    }
    return this.#fetch(pop ?? '', address, request);
  }

  #fetch(pop: string, localAddress: string, request: LoadRequest, fresh = false): Promise<Observation> {
    const sentMs = this.elapsedMs();
    return new Promise((resolve) => {
      const outgoing = httpRequest(
        {
          host: pop,
          port: this.#port,
          localAddress,
          path: request.path,
          headers: { host: DEMO_HOST, 'user-agent': 'presage-demo' },
          agent: this.#agent,
          timeout: PATIENCE_MS,
        },
        (response) => this.#read(request, pop, sentMs, response).then(resolve),
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        // The server may close an idle connection just as it is used again; that says nothing about the PoP.
        if (outgoing.reusedSocket && error.code === 'ECONNRESET' && !fresh) {
          resolve(this.#fetch(pop, localAddress, request, true));
        } else resolve(this.#failure(request, pop, sentMs, error.code ?? error.message));
      });
      outgoing.end();
    });
  }

  async #read(
    request: LoadRequest,
    pop: string,
    sentMs: number,
    response: IncomingMessage,
  ): Promise<Observation> {
    const hash = createHash('sha256');
    const firstByteMs = this.elapsedMs() - sentMs;
    let bytes = 0;
    try {
      for await (const piece of response as AsyncIterable<Buffer>) {
        hash.update(piece);
        bytes += piece.length;
      }
    } catch (error) {
      return this.#failure(request, pop, sentMs, error instanceof Error ? error.message : 'broken');
    }
    const status = response.headers['cache-status'];
    return {
      at: request.at,
      sentMs,
      doneMs: this.elapsedMs(),
      region: request.region,
      path: request.path,
      pop,
      status: response.statusCode ?? 0,
      cacheStatus: readCacheStatus(Array.isArray(status) ? status.join(', ') : status),
      bytes,
      hash: hash.digest('hex'),
      version: versionOfEtag(response.headers.etag),
      firstByteMs,
    };
  }

  #failure(request: LoadRequest, pop: string, sentMs: number, error: string): Observation {
    return {
      at: request.at,
      sentMs,
      doneMs: this.elapsedMs(),
      region: request.region,
      path: request.path,
      pop,
      status: 0,
      cacheStatus: { hit: false, fwd: undefined, collapsed: false, detail: undefined },
      bytes: 0,
      hash: '',
      version: undefined,
      firstByteMs: 0,
      error,
    };
  }

  #enter(region: number): Promise<void> | undefined {
    if (this.#free[region]! > 0) {
      this.#free[region]! -= 1;
      return undefined;
    }
    return new Promise((resolve) => this.#queues[region]!.push(resolve));
  }

  #leave(region: number): void {
    const next = this.#queues[region]!.shift();
    if (next === undefined) this.#free[region]! += 1;
    else next();
  }
}
