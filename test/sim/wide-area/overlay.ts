import type { PopId } from '../../../protocol/ids.ts';
import { Links } from '../../../protocol/links.ts';
import type { Random } from '../../../protocol/ports.ts';

/** Degrees of a gossip mesh that gossipsub strives for, accepts at least, and accepts at most: its defaults. */
const MESH = 6;
const MESH_LOW = 4;
const MESH_HIGH = 12;
/** Of a mesh so many at least are peers that the PoP has dialled itself. */
const MESH_DIALLED = 2;

/** Who is connected to whom, and along which of the connections gossip flows. */
export interface Overlay {
  /** Connections by PoP; grows where a PoP is dialled on demand. */
  readonly links: readonly Set<number>[];
  readonly mesh: readonly ReadonlySet<number>[];
}

/** Connections as the daemons' redialling makes them: to all up to 64 PoPs, above that to those that a PoP chooses. */
export function linksOf(pops: readonly PopId[]): Set<number>[] {
  const links = Links.among(pops);
  const indices = new Map(pops.map((pop, index) => [pop, index]));
  return pops.map((pop) => new Set([...links.of(pop)].map((other) => indices.get(other)!)));
}

/**
 * A mesh for one topic as gossipsub 1.2 forms it: whoever hears of a subscriber while its own mesh is low grafts it;
 * heartbeats then fill what is still low up to the degree aimed for, see to it that some in it were dialled from here,
 * and prune what is too high.
 */
export function meshOf(links: readonly ReadonlySet<number>[], random: Random): Set<number>[] {
  const mesh = links.map(() => new Set<number>());
  const join = (a: number, b: number) => {
    mesh[a]!.add(b);
    mesh[b]!.add(a);
  };
  const shuffled = <T>(list: readonly T[]): T[] =>
    list
      .map((one) => [random.float(), one] as const)
      .sort(([a], [b]) => a - b)
      .map(([, one]) => one);
  const pairs = links.flatMap((peers, from) => [...peers].map((to) => [from, to] as const));
  for (const [from, to] of shuffled(pairs)) if (mesh[from]!.size < MESH_LOW) join(from, to);
  for (let changed = true; changed; ) {
    changed = false;
    for (const from of shuffled([...links.keys()])) {
      const own = mesh[from]!;
      if (own.size < MESH_LOW) {
        const more = shuffled([...links[from]!].filter((to) => !own.has(to))).slice(0, MESH - own.size);
        for (const to of more) join(from, to);
        changed ||= more.length > 0;
      }
      // Of a pair that meets, the one with the lesser id dials.
      const dialled = [...own].filter((to) => from < to).length;
      const candidates = [...links[from]!].filter((to) => from < to && !own.has(to));
      const lacking = shuffled(candidates).slice(0, Math.max(0, MESH_DIALLED - dialled));
      for (const to of lacking) join(from, to);
      changed ||= lacking.length > 0;
      if (own.size <= MESH_HIGH) continue;
      for (const to of shuffled([...own]).slice(MESH)) {
        own.delete(to);
        mesh[to]!.delete(from);
      }
      changed = true;
    }
  }
  return mesh;
}

/** Of some sets, how many members they have on average. */
export const meanSize = (sets: readonly ReadonlySet<number>[]): number =>
  sets.reduce((sum, { size }) => sum + size, 0) / sets.length;
