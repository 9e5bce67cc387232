import type { ErrorCode } from './errors.ts';
import type { SignedPurge } from './purge.ts';

/** What is due once purges are on disk, and what if the disk refuses them. */
interface Due {
  readonly ids: Set<string>;
  readonly done: () => void;
  readonly refused: (code: ErrorCode) => void;
}

/** Which purges are on their way to disk, and what waits for them. */
export class PurgeWrites {
  readonly #writes = new Map<number, readonly SignedPurge[]>();
  /** Not on disk yet, by id. */
  readonly #volatile = new Map<string, SignedPurge>();
  /** Those of them that the disk has refused. */
  readonly #refused = new Map<string, SignedPurge>();
  #due: Due[] = [];

  isVolatile(id: string): boolean {
    return this.#volatile.has(id);
  }

  began(token: number, purges: readonly SignedPurge[]): void {
    this.#writes.set(token, purges);
    for (const purge of purges) this.#volatile.set(purge.id, purge);
  }

  /** Purges that are in force but were never written: they come with `takeRefused`. */
  owe(purges: readonly SignedPurge[]): void {
    for (const purge of purges) {
      this.#volatile.set(purge.id, purge);
      this.#refused.set(purge.id, purge);
    }
  }

  /** Runs `done` once nothing is volatile that is so now: at once if nothing is. */
  whenDurable(done: Due['done'], refused: Due['refused']): void {
    if (this.#volatile.size === 0) done();
    else this.#due.push({ ids: new Set(this.#volatile.keys()), done, refused });
  }

  /** Runs `done` once just these are on disk. */
  whenWritten(purges: readonly SignedPurge[], done: Due['done'], refused: Due['refused']): void {
    this.#due.push({ ids: new Set(purges.map((purge) => purge.id)), done, refused });
  }

  persisted(token: number): void {
    const written = this.#writes.get(token) ?? [];
    this.#writes.delete(token);
    this.forget(written);
    for (const due of this.#due) for (const { id } of written) due.ids.delete(id);
    const ready = this.#due.filter((due) => due.ids.size === 0);
    this.#due = this.#due.filter((due) => due.ids.size > 0);
    for (const due of ready) due.done();
  }

  /** What waited for a refused write is refused in turn; the purges stay to be written again. */
  notPersisted(token: number, code: ErrorCode): void {
    const lost = this.#writes.get(token) ?? [];
    this.#writes.delete(token);
    for (const purge of lost) this.#refused.set(purge.id, purge);
    const failed = this.#due.filter((due) => lost.some(({ id }) => due.ids.has(id)));
    this.#due = this.#due.filter((due) => !failed.includes(due));
    for (const due of failed) due.refused(code);
  }

  /** Purges that are not to be written after all, or are. */
  forget(purges: readonly SignedPurge[]): void {
    for (const { id } of purges) {
      this.#volatile.delete(id);
      this.#refused.delete(id);
    }
  }

  /** Purges to be tried again; the caller writes them. */
  takeRefused(): SignedPurge[] {
    const refused = [...this.#refused.values()];
    this.#refused.clear();
    return refused;
  }
}
