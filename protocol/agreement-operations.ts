import { JOIN_FRESH_MS } from './agreement-timing.ts';
import type { PopId } from './ids.ts';
import type { Random } from './ports.ts';

/** PoPs outside the roster that ask at once to be let in. */
const JOINERS = 64;
/** Operations of this PoP that wait. */
const OWN = 16;
/** A member that goes is spoken for through so many heights, or until that is decided. */
const FAREWELL_HEIGHTS = 8;
/** What a member says on going is short; so little room is all that one who abuses it takes from the others. */
const FAREWELL_BYTES = 256;

/** What another PoP asked for. Its operation is not looked into: who asks says what it is for. */
interface Heard {
  readonly operation: Uint8Array;
  /** When, ms; of a PoP outside the roster it counts for a moment, as long as it keeps asking. */
  readonly at: number;
  /** Of a member: the height from which it is carried no more. */
  readonly until: number | undefined;
}

const nameOf = (operation: Uint8Array): string => Buffer.from(operation).toString('latin1');

/**
 * Operations that wait to be decided: of this PoP, of members that go and no longer propose, and of those who ask to
 * be let in. One of each other PoP, the newest; those of others in random order, so that whoever asks for nonsense
 * cannot keep the rest out of all proposals.
 */
export class PendingOperations {
  readonly #random: Random;
  readonly #heard = new Map<PopId, Heard>();
  /** By purpose. */
  readonly #own = new Map<string, Uint8Array>();
  #carried: readonly Uint8Array[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** Whether there was room. Of the same purpose only the newest waits. */
  add(operation: Uint8Array, purpose: string = nameOf(operation)): boolean {
    if (!this.#own.has(purpose) && this.#own.size >= OWN) return false;
    this.#own.set(purpose, operation);
    return true;
  }

  /** From a member it is how it goes, from any other PoP what it wants to be let in with. */
  hear(from: PopId, operation: Uint8Array, member: boolean, height: number, now: number): void {
    if (member) {
      if (operation.length > FAREWELL_BYTES) return;
    } else if (!this.#heard.has(from) && this.#joiners() >= JOINERS) return;
    const until = member ? height + FAREWELL_HEIGHTS : undefined;
    this.#heard.set(from, { operation, at: now, until });
  }

  /** What the next proposal may carry: one's own first. */
  waiting(height: number, now: number): Uint8Array[] {
    const others: Uint8Array[] = [];
    for (const [pop, { operation, at, until }] of this.#heard) {
      const over = until === undefined ? now - at >= JOIN_FRESH_MS : height >= until;
      if (over) this.#heard.delete(pop);
      else others.splice(Math.floor(this.#random.float() * (others.length + 1)), 0, operation);
    }
    return [...this.#own.values(), ...others];
  }

  /** What the proposal of this PoP really carries. */
  carried(operations: readonly Uint8Array[]): void {
    this.#carried = operations;
  }

  /** The proposal of this PoP was included: what it carried is decided. */
  included(): void {
    this.decided(this.#carried);
  }

  /** These were decided, whoever carried them. Who asks to be let in asks until it is. */
  decided(operations: readonly Uint8Array[]): void {
    if (this.#own.size === 0 && this.#heard.size === 0) return;
    const names = new Set(operations.map(nameOf));
    for (const [purpose, operation] of this.#own) {
      if (names.has(nameOf(operation))) this.#own.delete(purpose);
    }
    for (const [pop, { operation, until }] of this.#heard) {
      if (until !== undefined && names.has(nameOf(operation))) this.#heard.delete(pop);
    }
  }

  #joiners(): number {
    let count = 0;
    for (const { until } of this.#heard.values()) if (until === undefined) count += 1;
    return count;
  }
}
