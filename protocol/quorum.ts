/**
 * How many PoPs make a quorum, of a roster of `size`. Two quorums share at least `liars + 1` PoPs, so at least one
 * honest one; and the honest PoPs alone make a quorum as long as no more than `crashes` of them are away.
 */
export interface Quorum {
  /** Members of the roster, n. */
  readonly size: number;
  /** Byzantine members that do no harm, b = ⌊(n−1)/3⌋. */
  readonly liars: number;
  /** Members that decide, q = ⌊(n+b)/2⌋ + 1; not 2b+1, which is too few unless n = 3b+1. */
  readonly quorum: number;
  /** Crashed members beside the liars with which the cluster still decides, c = n − b − q. */
  readonly crashes: number;
}

export function quorumOf(size: number): Quorum {
  const liars = Math.floor((size - 1) / 3);
  const quorum = Math.floor((size + liars) / 2) + 1;
  return { size, liars, quorum, crashes: size - liars - quorum };
}
