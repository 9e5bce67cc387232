import type { PopId } from './ids.ts';

/** Requests a second and at once that one peer may make. */
export interface Allowance {
  readonly perSecond: number;
  readonly burst: number;
}

/** What a direct message costs its receiver bounds how often a peer may send it. */
export const ALLOWANCES = {
  /** Answered with a snapshot. */
  sync: { perSecond: 4, burst: 8 },
  /** A peer may lack every body of a height at once. */
  'body-request': { perSecond: 200, burst: 600 },
  body: { perSecond: 200, burst: 600 },
  /** Verified with many signatures. */
  decision: { perSecond: 4, burst: 8 },
  join: { perSecond: 2, burst: 4 },
} as const satisfies Record<string, Allowance>;
export type AllowanceKind = keyof typeof ALLOWANCES;

/** Peers whose use is remembered. */
const PEERS = 1_024;

/** Token buckets per peer and kind. */
export class Allowances {
  readonly #used = new Map<string, { tokens: number; at: number }>();

  /** Whether the peer may; `now` in ms. */
  take(peer: PopId, kind: AllowanceKind, now: number): boolean {
    const { perSecond, burst } = ALLOWANCES[kind];
    const key = `${kind} ${peer}`;
    const used = this.#used.get(key) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, used.tokens + ((now - used.at) * perSecond) / 1000);
    this.#used.delete(key);
    this.#used.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    if (this.#used.size > PEERS * 5) {
      for (const oldest of this.#used.keys()) {
        this.#used.delete(oldest);
        break;
      }
    }
    return tokens >= 1;
  }
}
