import { createHash, createHmac } from 'node:crypto';
import { Catalogue } from '../../../protocol/catalogue.ts';
import type { CatalogueChange } from '../../../protocol/catalogue-change.ts';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { ContentHash, PopId } from '../../../protocol/ids.ts';
import { Invalidations, type Purgeable } from '../../../protocol/invalidation.ts';
import { INVALIDATOR_TICK_MS, Invalidator } from '../../../protocol/invalidator.ts';
import type { InvalidatorEffect, InvalidatorInput, PurgeOrder } from '../../../protocol/invalidator-steps.ts';
import { decodePurgeCall, decodePurgeReply } from '../../../protocol/messages/purge.ts';
import { readPurge } from '../../../protocol/purge.ts';
import type { PurgeResult } from '../../../protocol/purge-waiters.ts';
import type { FetchTicket, Replica } from '../../../protocol/replica.ts';
import type { Version } from '../../../protocol/versions.ts';
import { secretOf } from '../../unit/invalidation/pops.ts';
import { Disk, type World } from './world.ts';

/** A deliberate defect that the checker must notice. */
export type Defect =
  | 'none'
  /** Content counts as covered if its clock is past the purge's. */
  | 'clocks'
  /** The fence is taken when the response comes, not when the request goes. */
  | 'late fence'
  /** A purge is acknowledged while it is on its way to disk. */
  | 'ack before disk'
  /** Purges are not read back at the start. */
  | 'forgets'
  /** What a peer hands over is taken as it is. */
  | 'trusting'
  /** Nothing but gossip and pushes. */
  | 'no comparison';

/** Whatever the node is connected to. */
export interface Net {
  broadcast(from: PopId, bytes: Uint8Array): void;
  call(
    from: PopId,
    to: PopId,
    bytes: Uint8Array,
    answered: (bytes: Uint8Array) => void,
    failed: () => void,
  ): void;
}

/** Hears what a node promises. */
export interface Witness {
  /** The node has told someone that it holds these, by id. */
  acknowledged(node: SimNode, ids: readonly string[]): void;
  /** The node has begun to write purges: a good moment to crash it. */
  writing(node: SimNode): void;
}

const mac = (pop: PopId, bytes: Uint8Array) => createHmac('sha512', pop).update(bytes).digest();

export const contentOf = (key: string, version: number): ContentHash =>
  createHash('sha256').update(`${key} ${version}`).digest('hex') as ContentHash;

/** One PoP made of the real machines on a simulated disk, clock and network. */
export class SimNode {
  readonly pop: PopId;
  readonly disk: Disk;
  up = false;
  invalidations!: Invalidations;
  catalogue!: Catalogue;
  #machine!: Invalidator;
  readonly #world: World;
  readonly #net: Net;
  readonly #witness: Witness;
  readonly #defect: Defect;
  readonly #roster: () => readonly PopId[];
  readonly #skewMs: number;
  #life = 0;
  #token = 0;
  #issues = new Map<number, (result: PurgeResult | undefined) => void>();
  #replies = new Map<number, { answer: (bytes: Uint8Array) => void; fail: () => void }>();

  constructor(
    pop: PopId,
    world: World,
    net: Net,
    witness: Witness,
    options: { readonly defect: Defect; readonly skewMs: number; readonly roster: () => readonly PopId[] },
  ) {
    this.pop = pop;
    this.disk = new Disk(world);
    this.#world = world;
    this.#net = net;
    this.#witness = witness;
    this.#defect = options.defect;
    this.#skewMs = options.skewMs;
    this.#roster = options.roster;
  }

  /** The wall clock of this PoP, which may be wrong. */
  get clock(): number {
    return this.#world.now + this.#skewMs;
  }

  start(): void {
    this.up = true;
    this.#life += 1;
    const options = { self: this.pop, secretOf, sign: (bytes: Uint8Array) => mac(this.pop, bytes) };
    const hybrid = new HybridClock(this.pop);
    this.invalidations =
      this.#defect === 'clocks'
        ? new ByClock(options, () => this.clock)
        : this.#defect === 'late fence'
          ? new LateFence(options)
          : new Invalidations(options);
    if (this.#defect !== 'forgets') {
      for (const [, row] of this.disk.entries<[Uint8Array, Uint8Array]>('purge/')) {
        this.invalidations.apply(readPurge(row[0], row[1]));
      }
    }
    this.#machine = new Invalidator({
      invalidations: this.invalidations,
      clock: hybrid,
      verify: (pop, bytes, signature) => mac(pop, bytes).equals(signature),
      alone: false,
      roster: this.#roster,
    });
    this.catalogue = new Catalogue({
      self: this.pop,
      invalidations: this.invalidations,
      clock: hybrid,
      budgetBytes: 1_000_000,
      reconciled: () => true,
      cutOff: () => 'serve-stale',
      incarnation: this.#life,
    });
    for (const [id, version] of this.disk.entries<Version>('versions/')) {
      this.catalogue.restoreVersion(id, version);
    }
    for (const [, replica] of this.disk.entries<Replica>('replicas/')) {
      this.catalogue.restoreReplica(replica, this.clock);
    }
    this.#tickOn(this.#life);
  }

  /** kill -9: memory is gone, and of the writes under way all but some beginning. */
  crash(): void {
    this.up = false;
    this.#life += 1;
    this.disk.crash();
    this.#issues = new Map();
    for (const { fail } of this.#replies.values()) fail();
    this.#replies = new Map();
  }

  /** Runs `work` later unless this PoP has crashed by then. */
  later(delayMs: number, work: () => void): void {
    const life = this.#life;
    this.#world.after(delayMs, () => {
      if (life === this.#life) work();
    });
  }

  #tickOn(life: number): void {
    this.#world.after(INVALIDATOR_TICK_MS, () => {
      if (life !== this.#life) return;
      this.#step({ type: 'tick' });
      this.#tickOn(life);
    });
  }

  connection(peer: PopId, up: boolean): void {
    if (this.up) this.#step({ type: 'peer', peer, up });
  }

  /** `made` hears the ids of the purges before they are on disk. */
  issue(
    order: PurgeOrder,
    made: (ids: readonly string[]) => void,
    done: (result: PurgeResult | undefined) => void,
  ): void {
    const token = ++this.#token;
    this.#issues.set(token, done);
    const effects = this.#machine.step({ type: 'issue', token, order }, this.clock);
    for (const effect of effects) if (effect.type === 'persist') made(effect.puts.map(({ id }) => id));
    this.#run(effects);
  }

  heard(author: PopId, bytes: Uint8Array): void {
    if (this.up) this.#run(this.#machine.heard(author, bytes, this.clock).effects);
  }

  request(from: PopId, bytes: Uint8Array, answer: (bytes: Uint8Array) => void, fail: () => void): void {
    if (!this.up) {
      fail();
      return;
    }
    const token = ++this.#token;
    const call = decodePurgeCall(bytes);
    if (this.#defect === 'no comparison' && call.kind !== 'push') {
      fail();
      return;
    }
    this.#replies.set(token, { answer, fail });
    this.#step({ type: 'request', token, from, bytes });
  }

  #step(input: InvalidatorInput): void {
    this.#run(this.#machine.step(input, this.clock));
  }

  #run(effects: readonly InvalidatorEffect[]): void {
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: InvalidatorEffect): void {
    switch (effect.type) {
      case 'persist': {
        const puts = new Map<string, unknown>();
        for (const purge of effect.removes) puts.set(`purge/${purge.id}`, undefined);
        for (const purge of effect.puts) puts.set(`purge/${purge.id}`, [purge.bytes, purge.signature]);
        this.#witness.writing(this);
        const early = this.#defect === 'ack before disk';
        const done = () => this.#step({ type: 'persisted', token: effect.token });
        this.disk.write(puts, early ? () => undefined : done);
        if (early) this.later(0, done);
        return;
      }
      case 'publish':
        this.#net.broadcast(this.pop, effect.bytes);
        return;
      case 'call': {
        const life = this.#life;
        const alive = (input: InvalidatorInput) => life === this.#life && this.#step(input);
        this.#net.call(
          this.pop,
          effect.peer,
          effect.bytes,
          (bytes) => alive({ type: 'answered', token: effect.token, bytes }),
          () => alive({ type: 'failed', token: effect.token }),
        );
        return;
      }
      case 'reply': {
        const reply = this.#replies.get(effect.token);
        this.#replies.delete(effect.token);
        const ids = promised(effect.bytes);
        if (ids.length > 0) this.#witness.acknowledged(this, ids);
        reply?.answer(effect.bytes);
        return;
      }
      case 'settled':
        this.#issues.get(effect.token)?.(effect.result);
        this.#issues.delete(effect.token);
        return;
      case 'refused':
        this.#replies.get(effect.token)?.fail();
        this.#replies.delete(effect.token);
        this.#issues.get(effect.token)?.(undefined);
        this.#issues.delete(effect.token);
        return;
      case 'applied':
        this.#commit(this.catalogue.purged(effect.purges));
        return;
      case 'reconciled':
      case 'fault':
    }
  }

  #commit(change: CatalogueChange): void {
    const puts = new Map(change.writes.map(({ table, key, value }) => [`${table}/${key}`, value as unknown]));
    this.disk.write(puts, () => undefined);
  }

  /** Stores what the origin served for a ticket; whether a purge has overtaken it. */
  store(ticket: FetchTicket, resource: Purgeable, version: number): boolean {
    const change = this.catalogue.store(
      ticket,
      {
        variant: '',
        status: 200,
        headers: [['etag', `"${version}"`]],
        content: contentOf(resource.key, version),
        size: 100,
        requestedAt: this.clock,
        receivedAt: this.clock,
        tags: resource.tags,
        source: 'client',
      },
      { real: this.clock, demand: this.clock },
    );
    if (change) this.#commit(change);
    return change !== undefined;
  }

  adopt(replica: Replica): void {
    const fence =
      this.#defect === 'trusting'
        ? this.invalidations.fenceAt(this.invalidations.ordinal, this.invalidations.handle(replica))
        : replica.fence;
    const change = this.catalogue.adopt({ ...replica, fence }, { real: this.clock, demand: this.clock });
    if (change) this.#commit(change);
  }
}

/** The ids that a reply promises to hold. */
function promised(bytes: Uint8Array): string[] {
  try {
    return [...decodePurgeReply(bytes, 'push').acknowledged];
  } catch {
    return [];
  }
}

/** Defect: whoever's clock is ahead stamps old content above a later purge. */
class ByClock extends Invalidations {
  readonly #clock: () => number;

  constructor(options: ConstructorParameters<typeof Invalidations>[0], clock: () => number) {
    super(options);
    this.#clock = clock;
  }

  override fenceAt(): Map<PopId, number> {
    return new Map([['clock' as PopId, this.#clock()]]);
  }

  override check(
    fence: ReadonlyMap<PopId, number>,
    handle: Parameters<Invalidations['check']>[1],
    since?: number,
  ) {
    const clock = fence.get('clock' as PopId) ?? 0;
    const covered = new Map<PopId, number>();
    for (const purge of this.list()) {
      if (purge.stamp.time <= clock) {
        covered.set(purge.issuer, Math.max(purge.seq, covered.get(purge.issuer) ?? 0));
      }
    }
    return super.check(covered, handle, since);
  }
}

/** Defect: a purge that came while the request was under way counts as applied before it. */
class LateFence extends Invalidations {
  override fenceAt(_ordinal: number, handle: Parameters<Invalidations['fenceAt']>[1]) {
    return super.fenceAt(this.ordinal, handle);
  }
}
