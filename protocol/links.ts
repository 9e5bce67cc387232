import { createHash } from 'node:crypto';
import type { PopId } from './ids.ts';
import { mix32 } from './rendezvous.ts';

/** Up to here everybody connects to everybody. */
export const FULL_MESH = 64;
/**
 * Above it every PoP dials the peers that score lowest for it. The score of a pair is the same from both ends, so
 * that the links that a PoP gets beyond its own choice stay few: some 40 in all.
 */
const CHOSEN_LINKS = 36;

/** 32 bits of a PoP's id. */
const markOf = (pop: PopId): number => createHash('sha256').update(pop).digest().readUInt32BE();

/** Of a pair, from their marks; the same from both ends. */
const scoreOf = (one: number, other: number): number => mix32(one ^ other);

/** Whom of the PoPs that it knows, itself apart, a PoP keeps connections to of its own accord. */
export function linksChosen(self: PopId, known: readonly PopId[]): readonly PopId[] {
  if (known.length < FULL_MESH) return known;
  return chosenOf(
    markOf(self),
    known.map((pop) => ({ pop, mark: markOf(pop) })),
  );
}

function chosenOf(own: number, others: readonly { readonly pop: PopId; readonly mark: number }[]): PopId[] {
  if (others.length < FULL_MESH) return others.map(({ pop }) => pop);
  const scored = others.map(({ pop, mark }) => ({ pop, score: scoreOf(own, mark) }));
  scored.sort((a, b) => a.score - b.score || (a.pop < b.pop ? -1 : 1));
  return scored.slice(0, CHOSEN_LINKS).map(({ pop }) => pop);
}

/** The connections of a whole cluster, as every member of it can work them out. */
export class Links {
  readonly #of: ReadonlyMap<PopId, ReadonlySet<PopId>>;
  readonly #marks: ReadonlyMap<PopId, number>;

  constructor(pops: readonly PopId[]) {
    const links = new Map(pops.map((pop) => [pop, new Set<PopId>()]));
    const marked = pops.map((pop) => ({ pop, mark: markOf(pop) }));
    for (const { pop, mark } of marked) {
      const others = marked.filter((other) => other.pop !== pop);
      for (const other of chosenOf(mark, others)) {
        links.get(pop)!.add(other);
        links.get(other)!.add(pop);
      }
    }
    this.#of = links;
    this.#marks = new Map(marked.map(({ pop, mark }) => [pop, mark]));
  }

  /** Worked out once for the same list, and once for what was asked for last. */
  static among(pops: readonly PopId[]): Links {
    const links = MADE.get(pops) ?? (sameAs(pops, last.pops) ? last.links : new Links(pops));
    MADE.set(pops, links);
    last = { pops, links };
    return links;
  }

  of(pop: PopId): ReadonlySet<PopId> {
    return this.#of.get(pop) ?? NONE;
  }

  /** Orders the pairs of PoPs, the same from both ends; for PoPs of the list. */
  score(one: PopId, other: PopId): number {
    return scoreOf(this.#marks.get(one) ?? 0, this.#marks.get(other) ?? 0);
  }
}

const NONE: ReadonlySet<PopId> = new Set();
const MADE = new WeakMap<readonly PopId[], Links>();
let last = { pops: [] as readonly PopId[], links: new Links([]) };

/** Whether two lists name the same in the same order. */
export const sameAs = (a: readonly PopId[], b: readonly PopId[]): boolean =>
  a === b || (a.length === b.length && a.every((pop, index) => pop === b[index]));
