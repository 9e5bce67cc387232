import { JOIN_FRESH_MS } from './agreement-timing.ts';
import type { PopId } from './ids.ts';

/** PoPs that ask to be let in at once. */
const JOINERS = 64;
/** Operations of this PoP that wait. */
const OWN = 16;

/** Operations that wait to be decided: of this PoP, and of those who ask to be let in. */
export class PendingOperations {
  readonly #joins = new Map<PopId, { readonly operation: Uint8Array; readonly at: number }>();
  #own: Uint8Array[] = [];
  #proposed = new Set<Uint8Array>();

  /** Whether there was room. */
  add(operation: Uint8Array): boolean {
    if (this.#own.length >= OWN) return false;
    this.#own.push(operation);
    return true;
  }

  join(from: PopId, operation: Uint8Array, now: number): void {
    if (!this.#joins.has(from) && this.#joins.size >= JOINERS) return;
    this.#joins.set(from, { operation, at: now });
  }

  /** What the next proposal carries. */
  propose(now: number): Uint8Array[] {
    for (const [pop, { at }] of this.#joins) if (now - at >= JOIN_FRESH_MS) this.#joins.delete(pop);
    const operations = [...this.#own, ...[...this.#joins.values()].map(({ operation }) => operation)];
    this.#proposed = new Set(operations);
    return operations;
  }

  /** The proposal of this PoP was included: what it carried is decided. */
  included(): void {
    this.#own = this.#own.filter((operation) => !this.#proposed.has(operation));
  }
}
