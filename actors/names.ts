import type { Key16, ResourceKey, SiteId } from '../protocol/ids.ts';
import { dropOldest } from './oldest.ts';

/** Names remembered; at some 200 bytes each this is 20 MB at the most. */
const NAMES_MAX = 100_000;

export interface Name {
  readonly key: ResourceKey;
  readonly site: SiteId;
}

/**
 * Canonical keys by key16, as the edge saw them and peers told them: so that people are shown names and the origin
 * can be asked. The least recently used name goes first.
 */
export class Names {
  readonly #names = new Map<Key16, Name>();

  learn(key16: Key16, name: Name): void {
    // Setting anew keeps the map in the order of last use.
    this.#names.delete(key16);
    this.#names.set(key16, name);
    dropOldest(this.#names, NAMES_MAX);
  }

  get(key16: Key16): Name | undefined {
    return this.#names.get(key16);
  }
}
