import type { PopId } from '../../../protocol/ids.ts';
import type { Purgeable } from '../../../protocol/invalidation.ts';
import type { PurgeScope } from '../../../protocol/purge.ts';
import { popOf, prefix, resource, SITE, tag, url } from '../../unit/invalidation/pops.ts';
import { contentOf, type Defect, type Net, SimNode, type Witness } from './node.ts';
import { World } from './world.ts';

export interface Outcome {
  /** What the checker found; empty if every promise held. */
  readonly violations: readonly string[];
  readonly served: number;
  readonly purges: number;
  readonly acknowledgements: number;
  readonly crashes: number;
  readonly refusedStores: number;
}

/** A purge that was asked for, and the least version of each resource that may be served after it. */
interface Ordered {
  readonly scope: PurgeScope;
  readonly floors: ReadonlyMap<string, number>;
  /** Set when its issuer has settled it. */
  certain: boolean;
}

const RESOURCES: readonly Purgeable[] = Array.from({ length: 8 }, (_, i) =>
  resource(`a.example/${i % 2 ? 'odd' : 'even'}/${i}`, [`t${i % 3}`]),
);

const matches = (scope: PurgeScope, { key, tags }: Purgeable): boolean =>
  scope.kind === 'url'
    ? scope.key === key
    : scope.kind === 'tag'
      ? tags.includes(scope.tag)
      : key.startsWith(scope.prefix);

/**
 * N PoPs serve, fetch, hand on, purge, crash and restart over a network that loses, repeats, reorders and parts.
 * The checker knows the origin's true versions: a PoP that acknowledged a purge must not serve what was old when the
 * purge was asked for, not after a restart either; in the end, healed, all must know every purge.
 */
export class Scenario {
  readonly #world: World;
  readonly #nodes: SimNode[];
  readonly #byPop = new Map<PopId, SimNode>();
  readonly #origin = new Map<string, number>(RESOURCES.map(({ key }) => [key, 1]));
  readonly #byContent = new Map<string, number>();
  readonly #ordered: Ordered[] = [];
  readonly #byId = new Map<string, Ordered>();
  readonly #promises = new Map<PopId, Set<Ordered>>();
  readonly #parted = new Map<string, boolean>();
  readonly #violations: string[] = [];
  readonly #loss: number;
  readonly #counts = { served: 0, acknowledgements: 0, crashes: 0, refusedStores: 0 };
  #healed = false;

  constructor(seed: number, nodes: number, defect: Defect) {
    const world = new World(seed);
    this.#world = world;
    this.#loss = world.random.float() * 0.4;
    const net: Net = {
      broadcast: (from, bytes) => this.#broadcast(from, bytes),
      call: (from, to, bytes, answered, failed) => this.#call(from, to, bytes, answered, failed),
    };
    const witness: Witness = {
      acknowledged: (node, ids) => this.#promise(node, ids),
      writing: (node) => this.#crashSoon(node, 0.03),
    };
    const pops = Array.from({ length: nodes }, (_, i) => popOf(i));
    this.#nodes = pops.map((pop) => {
      const skewMs = world.chance(0.5) ? world.between(-30_000, 30_000) : 0;
      return new SimNode(pop, world, net, witness, { defect, skewMs, roster: () => pops });
    });
    for (const node of this.#nodes) {
      this.#byPop.set(node.pop, node);
      this.#promises.set(node.pop, new Set());
    }
  }

  run(ms = 90_000): Outcome {
    for (const node of this.#nodes) this.#start(node);
    const end = this.#world.now + ms;
    while (this.#world.now < end) {
      this.#act();
      this.#world.run(this.#world.between(5, 250));
    }
    this.#heal();
    this.#world.run(60_000);
    this.#judge();
    return { violations: this.#violations, purges: this.#ordered.length, ...this.#counts };
  }

  #act(): void {
    const world = this.#world;
    const dice = world.random.float();
    const node = world.pick(this.#nodes);
    const wanted = world.pick(RESOURCES);
    if (dice < 0.62) this.#client(node, wanted);
    else if (dice < 0.72) this.#handOver(node, world.pick(this.#nodes), wanted);
    else if (dice < 0.9) this.#updateAndPurge(node, wanted);
    else if (dice < 0.95) this.#crash(node);
    else this.#part();
  }

  /** A request: from the store if that may be served, else from the origin, and then it must have been stored. */
  #client(node: SimNode, wanted: Purgeable): void {
    if (!node.up) return;
    const held = node.catalogue.get(wanted.key16)[0];
    if (held && node.catalogue.standing(held) === 'valid') {
      this.#served(node, wanted, this.#byContent.get(held.content) ?? 0);
      return;
    }
    const ticket = node.catalogue.begin(wanted.key, wanted.key16, wanted.site);
    node.later(this.#world.between(1, 800), () => {
      const version = this.#origin.get(wanted.key)!;
      this.#byContent.set(contentOf(wanted.key, version), version);
      node.later(this.#world.between(1, 800), () => {
        if (!node.store(ticket, wanted, version)) this.#counts.refusedStores += 1;
      });
    });
  }

  #handOver(from: SimNode, to: SimNode, wanted: Purgeable): void {
    const held = from.up && from !== to && to.up ? from.catalogue.get(wanted.key16)[0] : undefined;
    if (held) to.later(this.#world.between(1, 500), () => to.adopt(held));
  }

  #updateAndPurge(node: SimNode, wanted: Purgeable): void {
    if (!node.up) return;
    const world = this.#world;
    const scope = world.pick([
      url(wanted.key),
      url(wanted.key),
      tag(wanted.tags[0]!),
      prefix(wanted.key.slice(0, world.between(4, wanted.key.length))),
    ]);
    const affected = RESOURCES.filter((one) => matches(scope, one));
    for (const { key } of affected) this.#origin.set(key, this.#origin.get(key)! + 1);
    const floors = new Map(affected.map(({ key }) => [key as string, this.#origin.get(key)!]));
    const ordered: Ordered = { scope, floors, certain: false };
    this.#ordered.push(ordered);
    const order = { site: SITE, scope, soft: world.chance(0.3), wait: world.chance(0.5) };
    node.issue(
      order,
      (ids) => {
        for (const id of ids) if (!this.#byId.has(id)) this.#byId.set(id, ordered);
      },
      (result) => {
        if (!result) return;
        ordered.certain = true;
        this.#promises.get(node.pop)!.add(ordered);
        for (const peer of result.acknowledged) this.#promises.get(peer)!.add(ordered);
      },
    );
  }

  #promise(node: SimNode, ids: readonly string[]): void {
    for (const id of ids) {
      const ordered = this.#byId.get(id);
      if (!ordered) continue;
      this.#counts.acknowledgements += 1;
      this.#promises.get(node.pop)!.add(ordered);
      this.#crashSoon(node, 0.05);
    }
  }

  /** Crashes strike between a write and its end, or right after a promise, more often than chance would have it. */
  #crashSoon(node: SimNode, probability: number): void {
    if (this.#healed || !this.#world.chance(probability)) return;
    this.#world.after(this.#world.between(0, 60), () => this.#crash(node));
  }

  #served(node: SimNode, { key }: Purgeable, version: number): void {
    this.#counts.served += 1;
    for (const { floors } of this.#promises.get(node.pop)!) {
      const floor = floors.get(key) ?? 0;
      if (version >= floor) continue;
      this.#violate(
        `${node.pop.slice(-4)} served version ${version} of ${key} after it acknowledged ${floor}`,
      );
    }
  }

  #crash(node: SimNode): void {
    if (!node.up || this.#healed) return;
    this.#counts.crashes += 1;
    node.crash();
    for (const other of this.#nodes) if (other !== node) this.#connection(other, node, false);
    this.#world.after(this.#world.between(100, 4_000), () => this.#start(node));
  }

  #start(node: SimNode): void {
    if (node.up) return;
    node.start();
    for (const ordered of this.#promises.get(node.pop)!) this.#mustKnow(node, ordered, 'after a restart');
    for (const other of this.#nodes) if (other !== node && other.up) this.#connection(other, node, true);
  }

  #mustKnow(node: SimNode, { scope, floors }: Ordered, when: string): void {
    for (const one of RESOURCES) {
      if (!floors.has(one.key) || node.invalidations.covers(new Map(), one) !== 'valid') continue;
      this.#violate(`${node.pop.slice(-4)} does not know a purge by ${scope.kind} ${when}`);
    }
  }

  #connection(a: SimNode, b: SimNode, up: boolean): void {
    if (up && this.#isParted(a.pop, b.pop)) return;
    a.connection(b.pop, up);
    b.connection(a.pop, up);
  }

  /** Some links fall silent; half of the time the connections notice. */
  #part(): void {
    if (this.#healed) return;
    const side = new Set(this.#nodes.filter(() => this.#world.chance(0.5)));
    const noticed = this.#world.chance(0.5);
    const links = this.#nodes.flatMap((a) =>
      this.#nodes
        .filter((b) => side.has(a) && !side.has(b))
        .map((b) => ({ a, b, oneWay: this.#world.chance(0.2) })),
    );
    for (const { a, b, oneWay } of links) {
      this.#parted.set(`${a.pop} ${b.pop}`, true);
      if (!oneWay) this.#parted.set(`${b.pop} ${a.pop}`, true);
      if (noticed) this.#connection(a, b, false);
    }
    this.#world.after(this.#world.between(500, 20_000), () => {
      for (const { a, b } of links) {
        this.#parted.delete(`${a.pop} ${b.pop}`);
        this.#parted.delete(`${b.pop} ${a.pop}`);
        if (a.up && b.up) this.#connection(a, b, true);
      }
    });
  }

  #isParted(from: PopId, to: PopId): boolean {
    return this.#parted.has(`${from} ${to}`);
  }

  /** One way; lost in silence. */
  #deliver(from: PopId, to: PopId, run: () => void): void {
    if (!this.#healed && (this.#world.chance(this.#loss) || this.#isParted(from, to))) return;
    this.#world.after(this.#world.between(1, 400), run);
  }

  #broadcast(from: PopId, bytes: Uint8Array): void {
    for (const node of this.#nodes) {
      if (node.pop === from) continue;
      const copies = this.#world.chance(0.2) ? 2 : 1;
      for (let i = 0; i < copies; i += 1) this.#deliver(from, node.pop, () => node.heard(from, bytes));
    }
  }

  #call(
    from: PopId,
    to: PopId,
    bytes: Uint8Array,
    answered: (bytes: Uint8Array) => void,
    failed: () => void,
  ): void {
    let open = true;
    const once = (run: () => void) => {
      if (open) run();
      open = false;
    };
    this.#deliver(from, to, () =>
      this.#byPop.get(to)!.request(
        from,
        bytes,
        (reply) => this.#deliver(to, from, () => once(() => answered(reply))),
        () => this.#deliver(to, from, () => once(failed)),
      ),
    );
    this.#world.after(2_000, () => once(failed));
  }

  #heal(): void {
    this.#healed = true;
    this.#parted.clear();
    for (const node of this.#nodes) this.#start(node);
    for (const a of this.#nodes) for (const b of this.#nodes) if (a !== b) this.#connection(a, b, true);
  }

  /** Healed and quiet, all know all. */
  #judge(): void {
    for (const node of this.#nodes) {
      for (const ordered of this.#ordered) {
        if (ordered.certain) this.#mustKnow(node, ordered, 'in the end');
      }
    }
    const digests = new Set(
      this.#nodes.map((node) =>
        JSON.stringify(node.invalidations.digest().sort((a, b) => (a.issuer < b.issuer ? -1 : 1))),
      ),
    );
    if (digests.size > 1) this.#violate('the PoPs know different purges in the end');
    for (const node of this.#nodes) for (const wanted of RESOURCES) this.#checkHeld(node, wanted);
  }

  #checkHeld(node: SimNode, wanted: Purgeable): void {
    const held = node.catalogue.get(wanted.key16)[0];
    if (!held || node.catalogue.standing(held) !== 'valid') return;
    for (const { certain, floors } of this.#ordered) {
      const version = this.#byContent.get(held.content) ?? 0;
      if (certain && version < (floors.get(wanted.key) ?? 0)) {
        this.#violate(`${node.pop.slice(-4)} would serve version ${version} of ${wanted.key} in the end`);
      }
    }
  }

  #violate(what: string): void {
    if (this.#violations.length < 20) this.#violations.push(what);
  }
}
