import { LRUCache } from 'lru-cache';
import { headText, type LaneResponse } from './lane-response.ts';
import type { StoredResponse } from './stored.ts';

/** Bytes of ready-made responses, besides the memory tier that their bodies stand in. */
const BYTES_MAX = 16 * 1024 * 1024;
/** A larger body costs so much to send that its head matters little. */
const BODY_MAX = 64 * 1024;

interface Wire {
  /** Age that its head states, seconds. */
  readonly age: number;
  /** Head and body as they go out; there once the response is asked for twice within a second. */
  readonly bytes: Buffer | undefined;
}

/**
 * Responses of the hottest resources as they go out, head and body in one piece: one write, and nothing to put
 * together. Each is good for the second whose Age it states.
 */
export class Wires {
  readonly #pop: string;
  readonly #known = new LRUCache<StoredResponse, Wire>({
    maxSize: BYTES_MAX,
    sizeCalculation: ({ bytes }) => 64 + (bytes?.length ?? 0),
  });

  constructor(pop: string) {
    this.#pop = pop;
  }

  of(
    stored: StoredResponse,
    now: number,
    body: Uint8Array,
    { persistence }: LaneResponse,
  ): Buffer | undefined {
    const age = Math.floor(stored.ageMs(now) / 1000);
    const known = this.#known.get(stored);
    if (known?.age === age && known.bytes) return known.bytes;
    if (body.length > BODY_MAX) return undefined;
    const again = known?.age === age;
    const bytes = again ? wireOf(stored, now, this.#pop, body, persistence) : undefined;
    this.#known.set(stored, { age, bytes });
    return bytes;
  }
}

function wireOf(
  stored: StoredResponse,
  now: number,
  pop: string,
  body: Uint8Array,
  persistence: string,
): Buffer {
  const head = headText(stored.replica.status, stored.freshHead(now, pop), persistence);
  const dated = stored.headers.some(([name]) => name === 'date');
  const date = dated ? '' : `Date: ${new Date().toUTCString()}\r\n`;
  const text = Buffer.from(`${head}${date}\r\n`, 'latin1');
  return Buffer.concat([text, body]);
}
