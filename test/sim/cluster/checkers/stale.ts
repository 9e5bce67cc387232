import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import { versionOf } from '../../../../node/simulator/virtual-origin.ts';
import { Broken, type Checker, type Ordered, type Scene, type Served } from '../facts.ts';
import { STRICT_HOST } from '../operator.ts';

/** A version that must not be served any more, and since when, virtual ms. */
interface Floor {
  readonly version: number;
  readonly since: number;
}

/**
 * A PoP never serves what it acknowledged as purged, through crashes too (guarantee 2); and one that has not reconciled
 * purges since its start serves of a site whose rule is `revalidate` only what it has asked the origin about.
 */
export class StaleChecker implements Checker {
  readonly name = 'stale';
  readonly #floors = new Map<SimulatedPop, Map<string, Floor[]>>();
  /** What was true when a PoP started. */
  readonly #atStart = new Map<SimulatedPop, ReadonlyMap<string, number>>();
  readonly #scene: () => Scene;

  constructor(scene: () => Scene) {
    this.#scene = scene;
  }

  started(pop: SimulatedPop): void {
    this.#atStart.set(pop, new Map(this.#scene().resources.map(({ key, version }) => [key, version])));
  }

  acknowledged(pop: SimulatedPop, { floors, soft }: Ordered): void {
    // What was purged softly may still stand in for a failing origin.
    if (soft) return;
    const own = this.#floors.get(pop) ?? new Map<string, Floor[]>();
    this.#floors.set(pop, own);
    const since = this.#scene().now;
    for (const [key, version] of floors) own.set(key, [...(own.get(key) ?? []), { version, since }]);
  }

  served({ pop, resource, startedAt, status, body, reconciled, cacheStatus }: Served): void {
    if (status !== 200) return;
    const version = versionOf(resource, body) ?? 0;
    const said = `PoP ${pop.index} served version ${version} of ${resource.key} (${cacheStatus})`;
    for (const floor of this.#floors.get(pop)?.get(resource.key) ?? [])
      if (floor.since <= startedAt && version < floor.version)
        throw new Broken(this.name, `${said}, though it had acknowledged a purge below ${floor.version}`);
    const { originFailed } = this.#scene();
    if (reconciled || originFailed || !resource.key.startsWith(STRICT_HOST)) return;
    const least = this.#atStart.get(pop)?.get(resource.key) ?? 0;
    if (version < least)
      throw new Broken(this.name, `${said}, not reconciled since it started, when ${least} was true`);
  }
}
