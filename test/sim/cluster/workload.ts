import type { Dice } from '../../../node/simulator/dice.ts';
import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import type { VirtualClock } from '../../../node/simulator/virtual-clock.ts';
import type { OriginResource } from '../../../node/simulator/virtual-origin.ts';
import { key16Of, type PopId, type ResourceKey, type SiteId } from '../../../protocol/ids.ts';
import type { PurgeScope } from '../../../protocol/purge.ts';
import type { PurgeResult } from '../../../protocol/purge-waiters.ts';
import type { Draw } from './draw.ts';
import type { Ordered } from './facts.ts';
import { addressIn, REGIONS, STRICT_HOST } from './operator.ts';
import type { Watch } from './watch.ts';

const WAIT_MS = 4_000;
/** Requests of a flash crowd, and the time that they come in, ms. */
const CROWD = 25;
const CROWD_MS = 1_500;

export interface WorkloadDeps {
  readonly drawn: Draw;
  readonly dice: Dice;
  readonly clock: VirtualClock;
  readonly watch: Watch;
  /** Who may be asked now. */
  readonly pops: () => readonly SimulatedPop[];
}

/** Clients that ask, an origin that changes, and an operator who purges. */
export class Workload {
  readonly #deps: WorkloadDeps;
  #begunAt = 0;
  #stopped = false;
  #ended = false;

  constructor(deps: WorkloadDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { drawn, dice } = this.#deps;
    this.#begunAt = this.#deps.clock.now;
    this.#every(drawn.requestMs, () => this.#request());
    this.#every(drawn.purgeMs, () => this.#purge());
    this.#every(5_000, () => dice.chance(0.5) && this.#crowd());
    this.#every(4_000, () => this.#announce());
  }

  /** Nobody changes or purges anything any more; clients ask on. */
  quieten(): void {
    this.#stopped = true;
  }

  /** Nobody asks for anything any more. */
  end(): void {
    this.#ended = true;
  }

  /** One client's request at a PoP. */
  async ask(pop: SimulatedPop | undefined, resource: OriginResource): Promise<void> {
    if (!pop?.running) return;
    const { clock, dice, watch, drawn } = this.#deps;
    const startedAt = clock.now;
    const { reconciled } = pop.running.store.ledger;
    const slash = resource.key.indexOf('/');
    const response = await pop.request({
      ...{ host: resource.key.slice(0, slash), path: resource.key.slice(slash) },
      address: addressIn(dice.chance(0.8) ? pop.index : dice.between(0, drawn.pops), dice.between(0, 200)),
    });
    if (!response?.whole) return;
    const { status, body, headers } = response;
    watch.served({
      ...{ pop, resource, startedAt, status, body, reconciled },
      cacheStatus: headers.get('cache-status'),
    });
  }

  #every(meanMs: number, act: () => unknown): void {
    const { clock, dice } = this.#deps;
    clock.after(-meanMs * Math.log(1 - dice.random.float()), () => {
      if (this.#ended) return;
      this.#every(meanMs, act);
      act();
    });
  }

  #somebody(): SimulatedPop | undefined {
    const pops = this.#deps.pops();
    return pops.length > 0 ? this.#deps.dice.pick(pops) : undefined;
  }

  /** What is known in a PoP's region is asked for there, some of it far more than the rest. */
  #request(): void {
    const { drawn, clock, dice } = this.#deps;
    const pop = this.#somebody();
    if (!pop) return;
    const now = clock.now - this.#begunAt;
    const { region } = pop.certificate;
    const known = drawn.resources.filter(({ askedFrom }) => askedFrom[region]! <= now);
    const popular = known[Math.floor(dice.random.float() ** 2 * known.length)];
    if (popular) void this.ask(pop, popular);
  }

  #crowd(): void {
    const { dice, clock, drawn } = this.#deps;
    const pop = this.#somebody();
    const resource = dice.pick(drawn.resources);
    for (let one = 0; one < CROWD; one += 1)
      clock.after(dice.between(0, CROWD_MS), () => this.ask(pop, resource));
  }

  /** The operator says that something will be asked for soon: its region is to have it before. */
  #announce(): void {
    const { dice, drawn, watch } = this.#deps;
    const pop = this.#somebody();
    if (this.#stopped || !pop?.running) return;
    const resource = dice.pick(drawn.resources);
    const key = resource.key as ResourceKey;
    const site = pop.running.sites.ofKey(key);
    if (!site) return;
    const region = dice.chance(0.5) ? undefined : dice.pick(REGIONS);
    const announcement = {
      ...{ key16: key16Of(key, site.secret), expect: 0, region },
      at: pop.demandNow + dice.between(0, 4 * drawn.epochMs * drawn.speed),
    };
    watch.tell('announced');
    pop.running.actors.announcer
      .ask<void>(
        (reply) => ({ type: 'announce', own: { announcement, name: { key, site: site.id } }, reply }),
        WAIT_MS,
      )
      // Who is gone, or has a full disk, has announced nothing.
      .catch(() => undefined);
  }

  #purge(): void {
    if (this.#stopped) return;
    const { dice, drawn, clock, watch } = this.#deps;
    const pop = this.#somebody();
    const resource = dice.pick(drawn.resources);
    const strict = resource.key.startsWith(STRICT_HOST);
    const scope = this.#scopeOf(resource);
    const hit = drawn.resources.filter(
      (one) => one.key.startsWith(STRICT_HOST) === strict && matches(scope, one),
    );
    if (dice.chance(0.85)) for (const one of hit) if (dice.chance(0.8)) one.version += 1;
    if (!pop?.running || dice.chance(0.1)) return;
    const ordered: Ordered = {
      ...{ scope, soft: dice.chance(0.15), at: clock.now },
      floors: new Map(hit.map(({ key, version }) => [key, version])),
    };
    const { ledger } = pop.running.store;
    const { invalidator } = pop.running.actors;
    watch.tell('ordered', ordered);
    const site = (strict ? 'strict' : 'files') as SiteId;
    const order = { site, scope, soft: ordered.soft, wait: dice.chance(0.5), waitMs: WAIT_MS };
    invalidator
      .ask<PurgeResult>((reply) => ({ type: 'issue', order, reply }), 3 * WAIT_MS)
      .then(
        ({ issuer, seq }) => {
          const purge = [...ledger.invalidations.list()].find((one) => isThat(one, issuer, seq));
          if (!purge) return;
          watch.issued(purge.id, ordered);
          watch.settled(pop, purge.id);
        },
        // A full disk refuses it, or the PoP is gone: then nothing was promised.
        () => undefined,
      );
  }

  #scopeOf({ key, tags }: OriginResource): PurgeScope {
    const { dice } = this.#deps;
    const kind = dice.pick(['url', 'url', 'tag', 'prefix'] as const);
    if (kind === 'url') return { kind, key: key as ResourceKey };
    if (kind === 'tag') return { kind, tag: dice.pick(tags) };
    return { kind, prefix: key.slice(0, key.lastIndexOf('/') + 1) };
  }
}

const isThat = (one: { readonly issuer: PopId; readonly seq: number }, issuer: PopId, seq: number): boolean =>
  one.issuer === issuer && one.seq === seq;

const matches = (scope: PurgeScope, { key, tags }: OriginResource): boolean =>
  scope.kind === 'url'
    ? scope.key === key
    : scope.kind === 'tag'
      ? tags.includes(scope.tag)
      : key.startsWith(scope.prefix);
