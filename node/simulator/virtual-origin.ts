import { Readable } from 'node:stream';
import { PresageError } from '../../protocol/errors.ts';
import type { Clock, Random } from '../../protocol/ports.ts';
import type { OriginClient, OriginRequest, OriginResponse } from '../http/origin.ts';

/** One resource as its origin has it. */
export interface OriginResource {
  /** `host/path`. */
  readonly key: string;
  readonly tags: readonly string[];
  readonly size: number;
  readonly maxAgeSeconds: number;
  /** Counted from 1. */
  version: number;
}

/** What paths to the origin are like, one way, ms. */
export interface OriginConditions {
  readonly minMs: number;
  readonly maxMs: number;
  /** Share of requests that fail. */
  readonly failures: number;
}

const bodies = new Map<string, Buffer>();
/** The bytes of a version: its name, again and again. */
export function bodyOf({ key, size }: Pick<OriginResource, 'key' | 'size'>, version: number): Buffer {
  const name = `${key} ${version}\n`;
  const known = bodies.get(name);
  if (known?.length === Math.max(size, name.length)) return known;
  const body = Buffer.alloc(Math.max(size, name.length), name);
  bodies.set(name, body);
  return body;
}

/** The version that bytes are of; undefined if they are of none. */
export function versionOf(
  resource: Pick<OriginResource, 'key' | 'size'>,
  body: Uint8Array,
): number | undefined {
  const end = body.indexOf(10);
  const [key, version] = Buffer.from(body.subarray(0, Math.max(0, end)))
    .toString()
    .split(' ');
  const number = Number(version);
  if (key !== resource.key || !Number.isSafeInteger(number)) return undefined;
  return Buffer.compare(bodyOf(resource, number), body) === 0 ? number : undefined;
}

/** The origin of all simulated sites: it knows what is true, and may be slow, failing or gone. */
export class VirtualOrigin {
  conditions: OriginConditions;
  down = false;
  readonly resources: ReadonlyMap<string, OriginResource>;
  /** Requests that it answered with a body. */
  served = 0;
  readonly #random: Random;

  constructor(resources: readonly OriginResource[], random: Random, conditions: OriginConditions) {
    this.resources = new Map(resources.map((resource) => [resource.key, resource]));
    this.#random = random;
    this.conditions = conditions;
  }

  /** How one PoP in one life reaches it. */
  client(clock: Clock): OriginClient {
    return { fetch: (request) => this.#fetch(request, clock), close: async () => undefined };
  }

  #delay(): number {
    const { minMs, maxMs } = this.conditions;
    return minMs + this.#random.float() * (maxMs - minMs);
  }

  async #fetch(
    { path, host, headers, signal, method }: OriginRequest,
    clock: Clock,
  ): Promise<OriginResponse> {
    const requestedAt = clock.now();
    const aborted = () => signal?.aborted && new PresageError('CANCELLED');
    await pause(clock, this.#delay());
    if (aborted()) throw aborted();
    const failing = this.down || this.#random.float() < this.conditions.failures;
    const resource = this.resources.get(`${host}${path}`);
    const found = resource && { ...resource };
    await pause(clock, this.#delay());
    if (aborted()) throw aborted();
    if (failing) throw new PresageError('ORIGIN_UNREACHABLE');
    const answer = (status: number, fields: readonly (readonly [string, string])[], body: Uint8Array) => ({
      ...{ status, headers: fields, requestedAt, receivedAt: clock.now(), framed: true },
      body: Readable.from(method === 'HEAD' ? [] : [body]),
      length: body.length,
      trailers: () => [],
    });
    if (!found) return answer(404, [['cache-control', 'no-store']], Buffer.from('unknown'));
    const etag = `"v${found.version}"`;
    const fields: (readonly [string, string])[] = [
      ['etag', etag],
      ['cache-control', `max-age=${found.maxAgeSeconds}`],
      ['surrogate-key', found.tags.join(' ')],
      ['date', new Date(clock.now()).toUTCString()],
    ];
    if (headers.some(([name, value]) => name === 'if-none-match' && value === etag))
      return answer(304, fields, new Uint8Array(0));
    this.served += 1;
    const body = bodyOf(found, found.version);
    return answer(200, [...fields, ['content-length', String(body.length)]], body);
  }
}

const pause = (clock: Clock, ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));
