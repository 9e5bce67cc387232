import { compareStamps } from './hybrid-clock.ts';
import type { CatalogueRow } from './messages/catalogue.ts';
import type { VariantId } from './versions.ts';

/** Rows kept, some 300 bytes each; a PoP whose clock is wrong cannot have more remembered. */
const MAX_ROWS = 4_096;

/**
 * What peers have told of versions whose stamps lie too far ahead: the clock of who stamped them was wrong, or the own
 * is. Nobody tells of them again by themselves, so they are kept until time has caught up with them.
 */
export class EarlyRows {
  readonly #rows = new Map<VariantId, CatalogueRow>();

  get size(): number {
    return this.#rows.size;
  }

  /** Of each variant the newest version is kept; of too many, those that were told first go. */
  add(rows: readonly CatalogueRow[]): void {
    for (const row of rows) {
      const { id, version } = row;
      const known = this.#rows.get(id)?.version;
      if (!version || (known && compareStamps(known.stamp, version.stamp) >= 0)) continue;
      this.#rows.delete(id);
      this.#rows.set(id, row);
      if (this.#rows.size > MAX_ROWS) this.#rows.delete(this.#rows.keys().next().value!);
    }
  }

  /** All of them, to be tried again. */
  take(): CatalogueRow[] {
    const rows = [...this.#rows.values()];
    this.#rows.clear();
    return rows;
  }
}
