import { Catalogue } from '../protocol/catalogue.ts';
import type { CatalogueChange, Moment } from '../protocol/catalogue-change.ts';
import { PresageError } from '../protocol/errors.ts';
import type { HeldReplica } from '../protocol/held-replica.ts';
import type { Holder } from '../protocol/holdings.ts';
import type { HybridClock } from '../protocol/hybrid-clock.ts';
import {
  type ContentHash,
  isKey16,
  type Key16,
  type PopId,
  type ResourceKey,
  type SiteId,
} from '../protocol/ids.ts';
import type { Blobs, Clock, Database, DemandClock, Log, Metrics } from '../protocol/ports.ts';
import type {
  FetchedResponse,
  FetchTicket,
  Replica,
  ReplicaIndex,
  ReplicaSource,
  Standing,
} from '../protocol/replica.ts';
import { CatalogueTables } from './catalogue-tables.ts';
import { nextIncarnation, type PurgeLedger } from './purge-ledger.ts';

/** A content that nothing names is kept so long, real ms: one who reads it may finish, one who brings it again need not. */
const UNUSED_MS = 30_000;

export interface ReplicaIndexDeps {
  readonly self: PopId;
  readonly database: Database;
  readonly blobs: Blobs;
  readonly ledger: PurgeLedger;
  readonly hybrid: HybridClock;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Bytes of distinct contents; somewhat below what the blobs may take on disk. */
  readonly budgetBytes: number;
  readonly cutOff: (site: SiteId) => 'serve-stale' | 'revalidate';
}

/**
 * The replicas of this PoP: look-ups in memory, changes durable when they resolve. It outlives restarts of the
 * actors. Order of a change: content durable (the blobs), in memory, record durable, announced.
 */
export class LocalReplicas implements ReplicaIndex {
  readonly catalogue: Catalogue;
  readonly #deps: ReplicaIndexDeps;
  readonly #tables: CatalogueTables;
  /** Contents to be deleted, by the real time when they are due. */
  readonly #unused = new Map<ContentHash, number>();
  /** Something was numbered in the log; the catalogue actor listens. */
  onAnnounce: () => void = () => undefined;

  private constructor(deps: ReplicaIndexDeps, incarnation: number) {
    this.#deps = deps;
    this.#tables = new CatalogueTables(deps.database);
    this.catalogue = new Catalogue({
      self: deps.self,
      invalidations: deps.ledger.invalidations,
      clock: deps.hybrid,
      budgetBytes: deps.budgetBytes,
      reconciled: () => deps.ledger.reconciled,
      cutOff: deps.cutOff,
      incarnation,
    });
  }

  /** Reads everything back. The ledger must have been opened before. */
  static async open(deps: ReplicaIndexDeps): Promise<LocalReplicas> {
    const index = new LocalReplicas(deps, await nextIncarnation(deps.database, deps.clock.now()));
    await index.#load();
    return index;
  }

  async #load(): Promise<void> {
    const { blobs, demand, clock, hybrid, log, metrics } = this.#deps;
    const { catalogue } = this;
    for await (const [id, version] of this.#tables.versions.entries()) {
      catalogue.restoreVersion(id, version);
      if (!hybrid.tooFarAhead(version.stamp, clock.now())) hybrid.observe(version.stamp, clock.now());
    }
    for await (const [key, note] of this.#tables.tags.entries()) {
      if (isKey16(key)) catalogue.notes.restore(key, note);
    }
    const lost: string[] = [];
    for await (const [id, replica] of this.#tables.replicas.entries()) {
      if (blobs.has(replica.content)) catalogue.restoreReplica(replica, demand.now());
      else lost.push(id);
    }
    if (lost.length > 0) {
      metrics.count('replicas_lost_total', {}, lost.length);
      log.warn('contents of some replicas are gone; they are fetched again when wanted', {
        replicas: lost.length,
      });
      await this.#tables.write(lost.map((key) => ({ table: 'replicas', key, value: undefined })));
    }
    // A crash between content and record leaves a content that nothing names.
    const nameless = [...blobs.list()].filter(({ hash }) => catalogue.shelf.references(hash) === 0);
    for (const { hash } of nameless) this.#discard(hash);
    if (nameless.length > 0) {
      metrics.count('contents_nameless_total', {}, nameless.length);
      log.warn('some contents have lost their records, by a crash or a damaged database; they are deleted', {
        contents: nameless.length,
      });
    }
    await this.commit(catalogue.fit(demand.now()));
  }

  get(key16: Key16): readonly HeldReplica[] {
    return this.catalogue.get(key16);
  }

  standing(replica: Replica): Standing {
    return this.catalogue.standing(replica);
  }

  begin(key: ResourceKey, key16: Key16, site: SiteId): FetchTicket {
    return this.catalogue.begin(key, key16, site);
  }

  overtaken(ticket: FetchTicket, tags?: readonly string[]): boolean {
    return this.catalogue.overtaken(ticket, tags);
  }

  async store(ticket: FetchTicket, response: FetchedResponse): Promise<Replica | undefined> {
    this.#needContent(response.content);
    return this.#finish(this.catalogue.store(ticket, response, this.#moment()), response.content);
  }

  async adopt(replica: Replica): Promise<Replica | undefined> {
    this.#needContent(replica.content);
    return this.#finish(this.catalogue.adopt(replica, this.#moment()), replica.content);
  }

  async refresh(
    ticket: FetchTicket,
    replica: Replica,
    headers: FetchedResponse['headers'],
    requestedAt: number,
    receivedAt: number,
  ): Promise<Replica | undefined> {
    return this.#finish(
      this.catalogue.refresh(ticket, replica, headers, requestedAt, receivedAt, this.#moment()),
      undefined,
    );
  }

  async drop(key16: Key16, variant: string): Promise<void> {
    await this.commit(this.catalogue.drop(key16, variant));
  }

  touch(replica: Replica): void {
    this.catalogue.touch(replica, this.#deps.demand.now());
  }

  /** Connected peers whose copy is, for all that is known, of the newest version and covered by its fence. */
  holders(key16: Key16, connected: readonly PopId[]): readonly Holder[] {
    const holders = this.catalogue.holders(key16);
    return holders.length === 0 ? holders : holders.filter(({ pop }) => connected.includes(pop));
  }

  /** Evicts what may give way to `bytes` more that come by `source`; false if they will not fit. To be asked before a pull. */
  async roomFor(bytes: number, source: ReplicaSource): Promise<boolean> {
    const { change, fits } = this.catalogue.roomFor(bytes, source, this.#deps.demand.now());
    await this.commit(change);
    return fits;
  }

  /** For the blobs, which are about to fail for want of `bytes`: deletes what nothing names, then what is worth least. */
  async makeRoom(bytes: number): Promise<void> {
    const wanted = bytes - (await this.deleteUnused(Number.POSITIVE_INFINITY));
    if (wanted <= 0) return;
    const budget = Math.max(0, this.catalogue.shelf.bytes - wanted);
    await this.commit(this.catalogue.fit(this.#deps.demand.now(), budget));
    await this.deleteUnused(Number.POSITIVE_INFINITY);
  }

  /** For the blobs, which found a content damaged or gone. */
  async lost(content: ContentHash): Promise<void> {
    await this.commit(this.catalogue.lost(content));
  }

  /**
   * Makes a change durable, then numbers it to be announced. Fails with `STORE_*`; memory keeps the change, and peers
   * hear of it all the same.
   */
  async commit(change: CatalogueChange): Promise<void> {
    for (const content of change.unused) this.#discard(content);
    try {
      await this.#tables.write(change.writes);
    } finally {
      for (const id of change.announce) this.catalogue.log.append(id);
      if (change.announce.length > 0) this.onAnnounce();
    }
  }

  /** Deletes contents that nothing has named since before `until` (real ms); the bytes that this freed. */
  async deleteUnused(until = this.#deps.clock.now()): Promise<number> {
    const { blobs, log } = this.#deps;
    let freed = 0;
    for (const [content, due] of [...this.#unused]) {
      if (due > until) continue;
      this.#unused.delete(content);
      if (this.catalogue.shelf.references(content) > 0) continue;
      const size = blobs.size(content) ?? 0;
      try {
        await blobs.delete(content);
        freed += size;
      } catch (error) {
        log.warn('a content could not be deleted', { content, reason: String(error) });
        this.#discard(content);
      }
    }
    return freed;
  }

  async flush(): Promise<void> {
    await this.#tables.flush();
  }

  #discard(content: ContentHash): void {
    this.#unused.set(content, this.#deps.clock.now() + UNUSED_MS);
  }

  #moment(): Moment {
    return { real: this.#deps.clock.now(), demand: this.#deps.demand.now() };
  }

  #needContent(content: ContentHash): void {
    if (!this.#deps.blobs.has(content)) throw new PresageError('CONTENT_MISSING', undefined, { content });
  }

  async #finish(
    change: CatalogueChange | undefined,
    content: ContentHash | undefined,
  ): Promise<Replica | undefined> {
    if (!change) this.#deps.metrics.count('replicas_refused_total');
    // A content that was brought here for nothing is nobody's.
    if (!change?.replica && content && this.catalogue.shelf.references(content) === 0) this.#discard(content);
    if (!change) return undefined;
    await this.commit(change);
    return change.replica;
  }
}
