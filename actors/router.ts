import type { Certificate } from '../protocol/certificate.ts';
import type { Charter } from '../protocol/charter.ts';
import { Hysteresis } from '../protocol/hysteresis.ts';
import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import type { Peers } from '../protocol/ports.ts';
import { type RoutingPop, RoutingTable } from '../protocol/routing.ts';
import type { Capacities } from '../protocol/summary.ts';
import type { ActorContext, ActorSpec, Behaviour } from './kernel/actor.ts';

/** What routing needs to know of a PoP's certificate. */
export type PopCard = Pick<Certificate, 'pop' | 'name' | 'region' | 'addressesV4' | 'addressesV6'>;

export type RouterMessage =
  /** A PoP's newest word on its load and state. */
  | { readonly type: 'capacities'; readonly pop: PopId; readonly capacities: Capacities }
  | { readonly type: 'peer'; readonly pop: PopId; readonly up: boolean }
  /** One round of checks of the service addresses: whether each PoP answered, for those of which it could be told. */
  | { readonly type: 'checked'; readonly answered: ReadonlyMap<PopId, boolean> }
  /** For each site and region the PoP that holds the larger share of the predicted demand. */
  | { readonly type: 'preferred'; readonly preferred: ReadonlyMap<string, PopId> }
  | { readonly type: 'look' }
  | { readonly type: 'tick' }
  | { readonly type: 'rebuild' };

export interface RouterDeps {
  readonly charter: Charter;
  readonly self: PopCard;
  readonly peers: Peers;
  certificateOf(pop: PopId): PopCard | undefined;
  /** Must not allocate: it is called for every DNS answer about a single resource. */
  holders(key16: Key16): readonly PopId[] | undefined;
  /** Gives out each new table, whole. */
  swap(table: RoutingTable): void;
}

/** How often the table is rebuilt though nothing was heard, ms. */
const REBUILD_MS = 1_000;
/** What is heard within that time, ms, makes one new table: when a PoP starts, all its peers come at once. */
const GATHER_MS = 20;
/** How often connections are looked at, ms. Three looks in vain, the loss itself the first, and a PoP is passed over. */
const LOOK_MS = 400;
/** A PoP whose last word on itself is older counts with the middle load, ms. */
const WORD_VALID_MS = 5 * 60_000;
const MIDDLE_LOAD = 8;

export const preferredKey = (site: SiteId, region: RegionId): string => `${site}\0${region}`;

/** Keeps the table by which DNS answers: who is there, how near, how loaded, and who holds what. */
export function routerSpec(deps: RouterDeps): ActorSpec<RouterMessage> {
  return {
    name: 'router',
    mailbox: { capacity: 1_024, overflow: 'drop-oldest' },
    create: (context) => new Router(deps, context),
  };
}

class Router implements Behaviour<RouterMessage> {
  readonly #deps: RouterDeps;
  readonly #context: ActorContext<RouterMessage>;
  readonly #cards = new Map<PopId, PopCard>();
  /** Whether PoPs are connected, and whether they answered checks; one late packet changes neither. */
  readonly #connections = new Map<PopId, Hysteresis>();
  readonly #services = new Map<PopId, Hysteresis>();
  /** Nobody is sick for want of a check where nothing is checked. */
  #checked = false;
  readonly #words = new Map<PopId, { capacities: Capacities; at: number }>();
  #preferred: ReadonlyMap<string, PopId> = new Map();
  #previous: RoutingTable | undefined;
  #epoch = 0;
  #gathering = false;
  readonly #unwatch: () => void;

  constructor(deps: RouterDeps, context: ActorContext<RouterMessage>) {
    this.#deps = deps;
    this.#context = context;
    for (const pop of deps.peers.connected()) this.#learn(pop);
    this.#unwatch = deps.peers.watch((pop, up) => context.self.tell({ type: 'peer', pop, up }));
    context.every(LOOK_MS, { type: 'look' });
    context.every(REBUILD_MS, { type: 'tick' });
    this.#rebuild();
  }

  receive(message: RouterMessage): void {
    switch (message.type) {
      case 'capacities':
        this.#words.set(message.pop, { capacities: message.capacities, at: this.#context.clock.monotonic() });
        // Overload control moves once a window of ours, when most PoPs have spoken.
        if (message.pop === this.#deps.self.pop) this.#epoch += 1;
        return;
      case 'peer':
        if (message.up) this.#learn(message.pop);
        if (!this.#cards.has(message.pop)) return;
        this.#record(this.#connections, message.pop, message.up);
        this.#rebuildSoon();
        return;
      case 'preferred':
        this.#preferred = message.preferred;
        return;
      case 'checked':
        this.#checked = true;
        for (const [pop, ok] of message.answered) this.#record(this.#services, pop, ok);
        this.#rebuildSoon();
        return;
      case 'look':
        if (this.#look()) this.#rebuildSoon();
        return;
      case 'tick':
        for (const pop of this.#cards.keys()) if (!this.#deps.certificateOf(pop)) this.#forget(pop);
        this.#rebuildSoon();
        return;
      case 'rebuild':
        this.#gathering = false;
        this.#rebuild();
    }
  }

  #rebuildSoon(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#context.schedule(GATHER_MS, { type: 'rebuild' });
  }

  stop(): void {
    this.#unwatch();
  }

  #learn(pop: PopId): void {
    const card = this.#deps.certificateOf(pop);
    if (!card) return;
    this.#cards.set(pop, card);
    // The first look of all decides at once: it is connected.
    if (!this.#connections.has(pop)) this.#record(this.#connections, pop, true);
  }

  /** Whether the health of any PoP has changed. */
  #look(): boolean {
    const connected = new Set(this.#deps.peers.connected());
    let changed = false;
    for (const pop of this.#cards.keys())
      changed = this.#record(this.#connections, pop, connected.has(pop)) || changed;
    return changed;
  }

  /** It has left the cluster: its clients are no longer anybody's to take over. */
  #forget(pop: PopId): void {
    this.#cards.delete(pop);
    this.#connections.delete(pop);
    this.#services.delete(pop);
    this.#words.delete(pop);
  }

  #record(states: Map<PopId, Hysteresis>, pop: PopId, ok: boolean): boolean {
    const state = states.get(pop) ?? new Hysteresis();
    states.set(pop, state);
    const before = state.health;
    if (state.record(ok) === before) return false;
    const what = states === this.#services ? 'service' : 'connection';
    this.#context.metrics.count('routing_health_changes_total', { what, to: state.health });
    this.#context.log.info('the health of a PoP has changed', { peer: pop, what, health: state.health });
    return true;
  }

  #rebuild(): void {
    const { charter, self, holders } = this.#deps;
    const others = [...this.#cards.values()].filter(({ pop }) => pop !== self.pop);
    const pops = [self, ...others].map((card) =>
      this.#pop(card, card === self || this.#connections.get(card.pop)?.health === 'up'),
    );
    this.#previous = RoutingTable.build(
      {
        charter,
        pops,
        holders,
        preferred: (site, region) => this.#preferred.get(preferredKey(site, region)),
        epoch: this.#epoch,
      },
      this.#previous,
    );
    this.#deps.swap(this.#previous);
    this.#context.metrics.gauge('routing_pops', pops.filter((pop) => pop.reachable).length);
  }

  #pop(card: PopCard, reachable: boolean): RoutingPop {
    const word = this.#words.get(card.pop);
    const fresh = word !== undefined && this.#context.clock.monotonic() - word.at < WORD_VALID_MS;
    const sick = this.#checked && this.#services.get(card.pop)?.health !== 'up';
    return {
      id: card.pop,
      name: card.name,
      region: card.region,
      addresses: { v4: card.addressesV4, v6: card.addressesV6 },
      load: fresh ? word.capacities.load : MIDDLE_LOAD,
      state: sick ? 'sick' : fresh ? word.capacities.state : 'up',
      reachable,
    };
  }
}
