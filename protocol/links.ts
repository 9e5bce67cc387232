import { createHash } from 'node:crypto';
import type { PopId } from './ids.ts';

/** Up to here everybody connects to everybody. */
export const FULL_MESH = 64;
/**
 * Above it every PoP dials the peers that score lowest for it. The score of a pair is the same from both ends, so
 * that the links that a PoP gets beyond its own choice stay few: some 40 in all.
 */
const CHOSEN_LINKS = 36;

/** Of a pair of PoPs; the same from both ends. */
export function pairScore(one: PopId, other: PopId): number {
  const pair = one < other ? `${one} ${other}` : `${other} ${one}`;
  return createHash('sha256').update(pair).digest().readUIntBE(0, 6);
}

/** Whom of the PoPs that it knows, itself apart, a PoP keeps connections to of its own accord. */
export function linksChosen(self: PopId, known: readonly PopId[]): readonly PopId[] {
  if (known.length < FULL_MESH) return known;
  const scores = new Map(known.map((pop) => [pop, pairScore(self, pop)]));
  return known.toSorted((a, b) => scores.get(a)! - scores.get(b)!).slice(0, CHOSEN_LINKS);
}

/** The connections of a whole cluster, as every member of it can work them out. */
export class Links {
  readonly #of: ReadonlyMap<PopId, ReadonlySet<PopId>>;

  constructor(pops: readonly PopId[]) {
    const links = new Map(pops.map((pop) => [pop, new Set<PopId>()]));
    for (const pop of pops) {
      const others = pops.filter((other) => other !== pop);
      for (const other of linksChosen(pop, others)) {
        links.get(pop)!.add(other);
        links.get(other)!.add(pop);
      }
    }
    this.#of = links;
  }

  /** Worked out once for the same list. */
  static among(pops: readonly PopId[]): Links {
    const links = MADE.get(pops) ?? new Links(pops);
    MADE.set(pops, links);
    return links;
  }

  of(pop: PopId): ReadonlySet<PopId> {
    return this.#of.get(pop) ?? NONE;
  }
}

const MADE = new WeakMap<readonly PopId[], Links>();
const NONE: ReadonlySet<PopId> = new Set();
