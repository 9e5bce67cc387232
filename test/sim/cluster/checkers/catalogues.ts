import type { Key16 } from '../../../../protocol/ids.ts';
import type { Checker, Scene } from '../facts.ts';

/** In the end PoPs that know a resource know the same version of it, and of its holders what is true. */
export class CatalogueChecker implements Checker {
  readonly name = 'catalogues';
  readonly #keys: ReadonlyMap<string, Key16>;

  constructor(keys: ReadonlyMap<string, Key16>) {
    this.#keys = keys;
  }

  restless({ members, comparable }: Scene): string | undefined {
    if (!comparable) return undefined;
    for (const [key, key16] of this.#keys) {
      const [contents, stamps] = [new Map<string, number>(), new Map<string, number>()];
      for (const { index, running } of members) {
        const version = running?.store.replicas.catalogue.versions.get(key16);
        if (!version) continue;
        contents.set(version.content, index);
        // A PoP tells of what it stamped by itself. Of one that has gone, the stamp of a content that all know may have
        // reached some alone; each would tell of another content as soon as it fetches it.
        const { time, pop } = version.stamp;
        if (members.some(({ id }) => id === pop)) stamps.set(`${time} ${pop}`, index);
      }
      for (const differing of [contents, stamps])
        if (differing.size > 1)
          return `PoPs ${[...differing.values()].join()} differ on the version of ${key}`;
      const holding = new Set(
        members.filter(({ running }) => {
          const own = running?.store.replicas;
          return own?.get(key16).some((replica) => own.standing(replica) === 'valid');
        }),
      );
      for (const pop of members) {
        const connected = pop.running?.peers.connected() ?? [];
        const said = new Set(pop.running?.store.replicas.holders(key16, connected).map(({ pop: id }) => id));
        for (const other of members) {
          if (other === pop || !connected.includes(other.id) || holding.has(other) === said.has(other.id))
            continue;
          return `PoP ${pop.index} is wrong about ${key} at PoP ${other.index}, which ${holding.has(other) ? 'holds it' : 'does not'}`;
        }
      }
    }
    return undefined;
  }
}
