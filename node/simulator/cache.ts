import type { Key16 } from '../../protocol/ids.ts';

/**
 * A PoP's storage: least recently used gives way, mirrors that nobody asked for yet before anything that clients
 * did, so that a poor forecast cannot push out good content.
 */
export class SimulatedCache {
  readonly budget: number;
  readonly #asked = new Map<Key16, number>();
  readonly #mirrored = new Map<Key16, number>();
  readonly #evicted: (key16: Key16, size: number) => void;
  #bytes = 0;

  /** @param evicted hears of every mirror that went unused */
  constructor(budget: number, evicted: (key16: Key16, size: number) => void) {
    this.budget = budget;
    this.#evicted = evicted;
  }

  has(key16: Key16): boolean {
    return this.#asked.has(key16) || this.#mirrored.has(key16);
  }

  /** A request: `mirror` if this is the first use of a mirror, `hit`, or `miss`. */
  request(key16: Key16): 'mirror' | 'hit' | 'miss' {
    const mirrored = this.#mirrored.get(key16);
    if (mirrored !== undefined) {
      this.#mirrored.delete(key16);
      this.#asked.set(key16, mirrored);
      return 'mirror';
    }
    const size = this.#asked.get(key16);
    if (size === undefined) return 'miss';
    this.#asked.delete(key16);
    this.#asked.set(key16, size);
    return 'hit';
  }

  /** Stores what a client asked for. */
  store(key16: Key16, size: number): void {
    if (size > this.budget || this.has(key16)) return;
    this.#asked.set(key16, size);
    this.#bytes += size;
    while (this.#bytes > this.budget && this.#evictMirror());
    while (this.#bytes > this.budget) this.#evictAsked();
  }

  /** Stores a mirror if there is room among the mirrors; what clients asked for is never pushed out for it. */
  mirror(key16: Key16, size: number): boolean {
    if (this.has(key16)) return false;
    while (this.#bytes + size > this.budget && this.#evictMirror());
    if (this.#bytes + size > this.budget) return false;
    this.#mirrored.set(key16, size);
    this.#bytes += size;
    return true;
  }

  /** Mirrors not asked for yet. */
  unused(): ReadonlyMap<Key16, number> {
    return this.#mirrored;
  }

  #evictMirror(): boolean {
    const oldest = this.#mirrored.entries().next().value;
    if (oldest === undefined) return false;
    this.#mirrored.delete(oldest[0]);
    this.#bytes -= oldest[1];
    this.#evicted(oldest[0], oldest[1]);
    return true;
  }

  #evictAsked(): void {
    const oldest = this.#asked.entries().next().value;
    if (oldest === undefined) return;
    this.#asked.delete(oldest[0]);
    this.#bytes -= oldest[1];
  }
}
