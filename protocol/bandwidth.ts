/**
 * A token bucket for the bytes of mirroring, in real ms. It yields to clients: while they use a share of the
 * link, mirroring refills at what they leave, and never below a tenth, so that it cannot starve for ever either.
 */
export class Bandwidth {
  readonly #bytesPerSecond: number;
  readonly #burstBytes: number;
  #tokens: number;
  #updatedAt: number;
  /** Share of the link that clients use, 0 … 1. */
  #clientShare = 0;

  constructor(options: { bytesPerSecond: number; burstBytes?: number }, nowMs: number) {
    this.#bytesPerSecond = Math.max(1, options.bytesPerSecond);
    // A second's worth, but at least one chunk, or a slow link could never take one.
    this.#burstBytes = options.burstBytes ?? Math.max(this.#bytesPerSecond, 1 << 20);
    this.#tokens = this.#burstBytes;
    this.#updatedAt = nowMs;
  }

  /** Tells how much of the link clients use now, 0 … 1. */
  yieldTo(clientShare: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#clientShare = Math.min(1, Math.max(0, clientShare));
  }

  /** Takes `bytes` and returns 0, or returns the ms to wait before trying again. */
  take(bytes: number, nowMs: number): number {
    this.#refill(nowMs);
    // More than a burst passes when the bucket is full, and leaves it in debt.
    const needed = Math.min(bytes, this.#burstBytes);
    if (this.#tokens >= needed) {
      this.#tokens -= bytes;
      return 0;
    }
    return Math.max(1, Math.ceil(((needed - this.#tokens) * 1000) / this.#rate()));
  }

  #rate(): number {
    return this.#bytesPerSecond * Math.max(0.1, 1 - this.#clientShare);
  }

  #refill(nowMs: number): void {
    const elapsed = Math.max(0, nowMs - this.#updatedAt);
    this.#updatedAt = nowMs;
    this.#tokens = Math.min(this.#burstBytes, this.#tokens + (elapsed * this.#rate()) / 1000);
  }
}
