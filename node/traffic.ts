import type { Observation } from './http/observation.ts';

/** Seconds over which the rate is averaged. */
const RATE_SECONDS = 60;

/** Client requests since the start, by how they were answered. */
export class Traffic {
  readonly #perSecond = new Float64Array(RATE_SECONDS);
  #second = 0;
  total = 0;
  hits = 0;
  peerFills = 0;
  originFills = 0;
  mirroredHits = 0;
  bytes = 0;

  /** @param nowMs monotonic */
  count({ hit, mirrored, bytes }: Pick<Observation, 'hit' | 'mirrored' | 'bytes'>, nowMs: number): void {
    this.#advance(nowMs);
    const slot = this.#second % RATE_SECONDS;
    this.#perSecond[slot] = (this.#perSecond[slot] ?? 0) + 1;
    this.total += 1;
    this.bytes += bytes;
    if (hit === 'hit' || hit === 'stale' || hit === 'revalidated') this.hits += 1;
    else if (hit === 'peer') this.peerFills += 1;
    else this.originFills += 1;
    if (mirrored) this.mirroredHits += 1;
  }

  /** Requests a second over the last minute. */
  rate(nowMs: number): number {
    this.#advance(nowMs);
    return this.#perSecond.reduce((sum, count) => sum + count, 0) / RATE_SECONDS;
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const passed = Math.min(RATE_SECONDS, second - this.#second);
    for (let step = 1; step <= passed; step += 1) this.#perSecond[(this.#second + step) % RATE_SECONDS] = 0;
    if (passed > 0) this.#second = second;
  }
}
