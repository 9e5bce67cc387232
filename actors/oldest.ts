/** Forgets the entries that have been in a map longest, beyond `max`. Setting a key anew makes it the youngest only after a delete. */
export function dropOldest<K, V>(map: Map<K, V>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
