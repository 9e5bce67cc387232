import type { AgreementEffect, AgreementWrite } from './agreement-steps.ts';
import { WRITE_RETRY_MS } from './agreement-timing.ts';

interface Batch {
  readonly writes: AgreementWrite[];
  readonly after: AgreementEffect[];
}

/**
 * Orders what is written and what is told: an effect is let out only when everything written before it is on disk.
 * One write is under way at a time; what comes meanwhile shares the next fsync.
 */
export class Journal {
  readonly #emit: (effect: AgreementEffect) => void;
  readonly #hasty: boolean;
  #underWay: { readonly token: number; readonly batch: Batch } | undefined;
  #waiting: Batch = { writes: [], after: [] };
  #token = 0;
  /** When a refused write is to be tried again. */
  retryAt = Number.POSITIVE_INFINITY;

  /** `hasty`: a deliberate defect, effects do not wait for the disk. */
  constructor(emit: (effect: AgreementEffect) => void, hasty: boolean) {
    this.#emit = emit;
    this.#hasty = hasty;
  }

  /** Writes, then lets out the effects; with no writes, lets them out after the writes before. */
  write(writes: readonly AgreementWrite[], after: readonly AgreementEffect[]): void {
    this.#waiting.writes.push(...writes);
    if (this.#hasty) for (const effect of after) this.#emit(effect);
    else this.#waiting.after.push(...after);
    this.#next();
  }

  persisted(token: number): void {
    if (this.#underWay?.token !== token) return;
    const { after } = this.#underWay.batch;
    this.#underWay = undefined;
    for (const effect of after) this.#emit(effect);
    this.#next();
  }

  notPersisted(token: number, now: number): void {
    if (this.#underWay?.token === token) this.retryAt = now + WRITE_RETRY_MS;
  }

  tick(now: number): void {
    if (now < this.retryAt || !this.#underWay) return;
    this.retryAt = Number.POSITIVE_INFINITY;
    const { batch } = this.#underWay;
    this.#begin({
      writes: [...batch.writes, ...this.#waiting.writes],
      after: [...batch.after, ...this.#waiting.after],
    });
    this.#waiting = { writes: [], after: [] };
  }

  #next(): void {
    if (this.#underWay) return;
    const batch = this.#waiting;
    if (batch.writes.length === 0) {
      if (batch.after.length === 0) return;
      this.#waiting = { writes: [], after: [] };
      for (const effect of batch.after) this.#emit(effect);
      return;
    }
    this.#waiting = { writes: [], after: [] };
    this.#begin(batch);
  }

  #begin(batch: Batch): void {
    this.#underWay = { token: ++this.#token, batch };
    this.#emit({ type: 'persist', token: this.#token, writes: batch.writes });
  }
}
