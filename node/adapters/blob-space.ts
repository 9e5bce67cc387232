import { PresageError } from '../../protocol/errors.ts';

/** Asks the owner of the contents to delete some until `bytes` more fit; it may free less, or nothing. */
export type MakeRoom = (bytes: number) => Promise<void>;

/** Bytes on disk against the budget. Space is reserved before it is written. */
export class BlobSpace {
  readonly #budget: number;
  readonly #makeRoom: MakeRoom | undefined;
  #used = 0;

  constructor(budget: number, makeRoom: MakeRoom | undefined) {
    this.#budget = budget;
    this.#makeRoom = makeRoom;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes note of what is on disk already. */
  add(bytes: number): void {
    this.#used += bytes;
  }

  release(bytes: number): void {
    this.#used -= bytes;
  }

  /** Reserves `bytes`, asking the owner to make room first if they do not fit. Fails with `STORE_FULL`. */
  async reserve(bytes: number): Promise<void> {
    if (this.#used + bytes > this.#budget) await this.makeRoom(this.#used + bytes - this.#budget);
    if (this.#used + bytes > this.#budget)
      throw new PresageError('STORE_FULL', `${bytes} bytes do not fit into the storage budget`, {
        used: this.#used,
        budget: this.#budget,
      });
    this.#used += bytes;
  }

  /** Asks the owner for room; a failing owner frees nothing. */
  async makeRoom(bytes: number): Promise<void> {
    await this.#makeRoom?.(bytes).catch(() => undefined);
  }
}
