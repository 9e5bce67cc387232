import { LRUCache } from 'lru-cache';

const one = (): number => 1;

/**
 * The entries used last, at most `entries` of them, for `ttlMs` if that is given. Unlike a cache made with `max`, it
 * takes no memory before there is something in it.
 */
export const boundedCache = <K extends object | string, V extends object | string | true>(
  entries: number,
  ttlMs?: number,
): LRUCache<K, V> =>
  new LRUCache({ maxSize: entries, sizeCalculation: one, ...(ttlMs !== undefined && { ttl: ttlMs }) });
