import { createHash } from 'node:crypto';

export type Bit = 0 | 1;
export const not = (bit: Bit): Bit => (bit === 0 ? 1 : 0);

/** Slots that share a digest. */
const SLOTS = 256;

/**
 * The common coin of one height. All correct PoPs toss the same; safety does not need it to be unpredictable. The
 * first toss favours what is likely (a PoP that was included last time is included again), the second is its
 * contrary, so that two rounds settle a unanimous slot whatever its value; later ones are bits of
 * SHA-256(chain(h−1) ‖ h ‖ r ‖ j div 256).
 */
export class Coin {
  readonly #chain: Uint8Array;
  readonly #height: number;
  readonly #favoured: readonly boolean[];
  readonly #digests = new Map<string, Uint8Array>();

  /** `chain`: hash of the header before; `favoured[j]`: that PoP was included at h−1 or is new. */
  constructor(chain: Uint8Array, height: number, favoured: readonly boolean[]) {
    this.#chain = chain;
    this.#height = height;
    this.#favoured = favoured;
  }

  toss(round: number, slot: number): Bit {
    if (round < 2) return (this.#favoured[slot] === true) === (round === 0) ? 1 : 0;
    const digest = this.#digest(round, Math.floor(slot / SLOTS));
    const bit = slot % SLOTS;
    return ((digest[bit >> 3]! >> (bit & 7)) & 1) as Bit;
  }

  #digest(round: number, block: number): Uint8Array {
    const key = `${round}/${block}`;
    const known = this.#digests.get(key);
    if (known) return known;
    const numbers = Buffer.alloc(16);
    numbers.writeBigUInt64BE(BigInt(this.#height));
    numbers.writeUInt32BE(round, 8);
    numbers.writeUInt32BE(block, 12);
    const digest = createHash('sha256').update(this.#chain).update(numbers).digest();
    this.#digests.set(key, digest);
    return digest;
  }
}
