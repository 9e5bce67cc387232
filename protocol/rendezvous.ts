import { createHash } from 'node:crypto';

/**
 * Highest-random-weight order of `candidates` for `key` (Thaler and Ravishankar 1998): every PoP computes the same
 * order from the same roster, and a PoP that leaves moves only the keys that it was first for.
 */
export function rendezvous<Candidate extends string>(
  key: string,
  candidates: readonly Candidate[],
): Candidate[] {
  return candidates
    .map((candidate) => ({
      candidate,
      weight: createHash('sha256').update(`${key}\0${candidate}`).digest('hex'),
    }))
    .sort((a, b) => (a.weight < b.weight ? 1 : a.weight > b.weight ? -1 : 0))
    .map(({ candidate }) => candidate);
}
