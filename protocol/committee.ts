import { createHash } from 'node:crypto';
import type { Panel } from './aggregation.ts';
import type { Key16, PopId } from './ids.ts';
import { quorumOf } from './quorum.ts';
import { hash32, mixedCandidate, mixedKey, weightOfMixed } from './rendezvous.ts';

/** Rosters smaller than this have no committees: every PoP speaks on every key. */
export const COMMITTEES_FROM = 14;
/** PoPs that speak on one key by default. */
export const COMMITTEE_SIZE = 13;
/** Heights for which committees stay: members must learn from their own errors. */
export const ERA_HEIGHTS = 120;

/**
 * Who speaks on which key. From fourteen PoPs on only the first k of a rendezvous hash of (key, seed, peer id) do;
 * that key is then safe only as long as fewer than a third of *its committee* lie.
 */
export class Committees implements Panel {
  /** Members of a committee. */
  readonly size: number;
  /** Liars that the aggregation of one key withstands. */
  readonly liars: number;
  /** By slot; undefined if all PoPs speak on all keys. */
  readonly #members: Int32Array | undefined;
  readonly #slots: ReadonlyMap<PopId, number>;

  /**
   * @param roster in slot order
   * @param seed chain hash, 64 hex digits
   * @param size k; 0 turns committees off
   */
  constructor(roster: readonly PopId[], seed: string, size: number = COMMITTEE_SIZE) {
    const limited = size > 0 && roster.length >= COMMITTEES_FROM && size < roster.length;
    this.size = limited ? size : roster.length;
    this.liars = quorumOf(Math.max(1, this.size)).liars;
    this.#slots = new Map(roster.map((pop, slot) => [pop, slot]));
    if (limited) this.#members = Int32Array.from(roster, (pop) => mixedCandidate(memberHash(seed, pop)));
  }

  /** Slots of a key's committee, first choice first; undefined if all PoPs speak on all keys. */
  speakers(key16: Key16): readonly number[] | undefined {
    const members = this.#members;
    if (members === undefined) return undefined;
    const key = mixedKey(hash32(key16));
    const slots: number[] = [];
    const weights: number[] = [];
    for (let slot = 0; slot < members.length; slot += 1) {
      const weight = weightOfMixed(key, members[slot]!);
      let at = slots.length;
      if (at === this.size && weight <= weights[at - 1]!) continue;
      if (at === this.size) at -= 1;
      while (at > 0 && weights[at - 1]! < weight) {
        slots[at] = slots[at - 1]!;
        weights[at] = weights[at - 1]!;
        at -= 1;
      }
      slots[at] = slot;
      weights[at] = weight;
    }
    return slots;
  }

  /** Whether a PoP speaks on a key. */
  includes(key16: Key16, pop: PopId): boolean {
    const slot = this.#slots.get(pop);
    if (slot === undefined) return false;
    const members = this.#members;
    if (members === undefined) return true;
    const key = mixedKey(hash32(key16));
    const own = weightOfMixed(key, members[slot]!);
    let before = 0;
    for (let other = 0; other < members.length; other += 1) {
      const weight = weightOfMixed(key, members[other]!);
      if (weight > own || (weight === own && other < slot)) before += 1;
      if (before >= this.size) return false;
    }
    return true;
  }
}

/** Unlike a plain 32-bit hash, not to be steered by choice of a key pair before the seed is known. */
function memberHash(seed: string, pop: PopId): number {
  return createHash('sha256').update(seed).update(pop).digest().readUInt32BE();
}
