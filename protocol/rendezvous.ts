/**
 * Highest random weight hashing (Thaler and Ravishankar 1998): every PoP ranks the candidates for a key alike,
 * with no table, and when one goes only its keys move. Integers only, so that all machines agree.
 */

/** 32 bits of a text: FNV-1a with the finaliser of MurmurHash3, so that near texts part. */
export function hash32(text: string, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix32(hash);
}

/** The finaliser of MurmurHash3: spreads 32 bits. */
export function mix32(word: number): number {
  let hash = word;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Weight of a candidate for a key, from their `hash32`; 0 … 2³²−1. */
export function rendezvousWeight(key: number, candidate: number): number {
  return weightOfMixed(mixedKey(key), mixedCandidate(candidate));
}

/** The same in parts, for many keys and candidates: `rendezvousWeight(key, c) = weightOfMixed(mixedKey(key), mixedCandidate(c))`. */
export const mixedKey = (key: number): number => mix32(key ^ 0x9e3779b9);
export const mixedCandidate = (candidate: number): number => Math.imul(candidate, 0x27d4eb2f);
export const weightOfMixed = (key: number, candidate: number): number => mix32(key ^ candidate);

/** The candidates for `key`, first choice first. Ties, which are rare, go to the lesser id. */
export function rendezvous<T extends string>(key: string, candidates: readonly T[]): T[] {
  const own = hash32(key);
  return candidates
    .map((id) => ({ id, weight: rendezvousWeight(own, hash32(id)) }))
    .sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
    .map(({ id }) => id);
}
