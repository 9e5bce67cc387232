/** Buckets; two clients that fall into one share it, which the hash's secret keeps from being arranged. */
const BUCKETS = 1 << 16;
/** A client prefix is one household or one network: what can be forged together (RFC 7871 §11.1 uses the same cut). */
const V4_BYTES = 3;
const V6_BYTES = 7;

export interface RateLimitOptions {
  /** Answers a second to one client prefix (/24, /56); 0 for no limit. Large resolvers send thousands. */
  readonly answersPerSecond: number;
  /** Errors and denials a second to one client prefix; 0 for no limit. */
  readonly errorsPerSecond: number;
  /** Every how many-th refused answer is sent truncated, so that a real client comes back by TCP; 0 for never. */
  readonly slip: number;
}

export type RateVerdict = 'send' | 'truncate' | 'drop';

/**
 * Response rate limiting: a token bucket per client prefix and kind of answer, of one second's depth. Fixed memory,
 * nothing allocated. Only for UDP without a valid cookie, whose sender may be forged.
 */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #seed: number;
  readonly #tokens = new Float32Array(BUCKETS);
  readonly #filledAtMs = new Float64Array(BUCKETS);
  #refused = 0;

  /** `seed` is 32 random bits. */
  constructor(options: RateLimitOptions, seed: number) {
    this.#options = options;
    this.#seed = seed;
  }

  /** What to do with an answer to `client`. Loopback is never limited. A clock that is set back costs a refill, no more. */
  judge(client: Uint8Array, error: boolean, nowMs: number): RateVerdict {
    const rate = error ? this.#options.errorsPerSecond : this.#options.answersPerSecond;
    if (rate === 0 || isLoopback(client)) return 'send';
    let h = this.#seed ^ (error ? 0x9e3779b9 : 0);
    const count = client.length === 4 ? V4_BYTES : V6_BYTES;
    for (let i = 0; i < count; i += 1) h = Math.imul(h ^ client[i]!, 0x01000193);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    const at = (h ^ (h >>> 13)) & (BUCKETS - 1);
    const filled = this.#filledAtMs[at]!;
    const tokens =
      filled === 0 ? rate : Math.min(rate, this.#tokens[at]! + (Math.max(0, nowMs - filled) * rate) / 1000);
    this.#filledAtMs[at] = nowMs;
    if (tokens >= 1) {
      this.#tokens[at] = tokens - 1;
      return 'send';
    }
    this.#tokens[at] = tokens;
    this.#refused += 1;
    return this.#options.slip > 0 && this.#refused % this.#options.slip === 0 ? 'truncate' : 'drop';
  }
}

function isLoopback(client: Uint8Array): boolean {
  if (client.length === 4) return client[0] === 127;
  for (let i = 0; i < 15; i += 1) if (client[i] !== 0) return false;
  return client[15] === 1;
}
