import { type CatalogueChange, Draft, type Moment, overtaken, raised, renew } from './catalogue-change.ts';
import { HeldReplica, plainReplica } from './held-replica.ts';
import { type Holder, HoldingsLog, PeerHoldings } from './holdings.ts';
import type { HybridClock } from './hybrid-clock.ts';
import type { ContentHash, Key16, PopId, ResourceKey, SiteId } from './ids.ts';
import type { Invalidations } from './invalidation.ts';
import type { CatalogueRow } from './messages/catalogue.ts';
import { key16OfPurge, type SignedPurge } from './purge.ts';
import type { FetchedResponse, FetchTicket, Replica, ReplicaSource, Standing } from './replica.ts';
import { Shelf } from './shelf.ts';
import { type Note, Notes, type Tag } from './tags.ts';
import { type VariantId, type Version, Versions, validatorOf, variantHash, variantId } from './versions.ts';

export interface CatalogueOptions {
  readonly self: PopId;
  readonly invalidations: Invalidations;
  readonly clock: HybridClock;
  /** Bytes of distinct contents. */
  readonly budgetBytes: number;
  /** Whether purges are reconciled with the peers. */
  readonly reconciled: () => boolean;
  /** The site's rule while they are not. */
  readonly cutOff: (site: SiteId) => 'serve-stale' | 'revalidate';
  /** Rises with each start. */
  readonly incarnation: number;
  readonly maxVersions?: number;
}

/** Everything that this PoP knows of what is held, here and elsewhere, and in which version. */
export class Catalogue {
  readonly log: HoldingsLog;
  readonly peers = new PeerHoldings();
  readonly notes = new Notes();
  readonly versions: Versions;
  readonly #options: CatalogueOptions;
  readonly #invalidations: Invalidations;
  /** What is held here. */
  readonly shelf: Shelf;

  constructor(options: CatalogueOptions) {
    this.#options = options;
    this.#invalidations = options.invalidations;
    this.shelf = new Shelf(options.budgetBytes);
    this.versions = new Versions((id) => this.shelf.find(id) !== undefined, options.maxVersions);
    this.log = new HoldingsLog(options.incarnation, (id) => this.#row(id));
  }

  /** Variants of a resource held here. */
  get(key16: Key16): readonly HeldReplica[] {
    return this.shelf.get(key16);
  }

  standing(replica: Replica): Standing {
    const held = replica instanceof HeldReplica ? replica : undefined;
    if (held?.dropped) return 'gone';
    const purged = held ? this.#purged(held) : this.#invalidations.covers(replica.fence, replica);
    if (purged === 'gone') return 'gone';
    if (purged === 'stale' || (held ? held.outdated : this.#outdated(replica))) return 'stale';
    if (!this.#options.reconciled() && this.#options.cutOff(replica.site) === 'revalidate') return 'stale';
    return 'valid';
  }

  /** What purges say of a replica; those that it was checked against before are not looked at again. */
  #purged(held: HeldReplica): Standing {
    const { ordinal } = this.#invalidations;
    if (held.checkedAt !== ordinal) {
      const since = Math.max(0, held.checkedAt);
      const found = this.#invalidations.check(held.fence, held.handle, since);
      if (held.purged !== 'gone' && found !== 'valid') held.purged = found;
      held.checkedAt = ordinal;
    }
    return held.purged;
  }

  #outdated(replica: Replica): boolean {
    const id = variantId(replica.key16, variantHash(replica.variant));
    return overtaken(replica, this.versions.get(id));
  }

  begin(key: ResourceKey, key16: Key16, site: SiteId): FetchTicket {
    return { key, key16, site, ordinal: this.#invalidations.ordinal };
  }

  /** Whether what a ticket's request brings may not be given to those who ask now. */
  overtaken({ key, key16, site, ordinal }: FetchTicket, tags: readonly string[] | undefined): boolean {
    if (ordinal >= this.#invalidations.ordinal) return false;
    const handle = this.#invalidations.handle({ key, key16, site, tags: tags ?? [] });
    return this.#invalidations.overtaken(ordinal, handle, tags !== undefined);
  }

  /** Stores what came from the origin. `undefined` if a purge has overtaken the request, or there is no room. */
  store(ticket: FetchTicket, response: FetchedResponse, now: Moment): CatalogueChange | undefined {
    const { key, key16, site } = ticket;
    const handle = this.#invalidations.handle({ key, key16, site, tags: response.tags });
    const fence = this.#invalidations.fenceAt(ticket.ordinal, handle);
    if (this.#invalidations.check(fence, handle) !== 'valid') return undefined;
    const { variant, status, headers, content, size, requestedAt, receivedAt, tags, source } = response;
    const draft = new Draft();
    const id = variantId(key16, variantHash(variant));
    if (!this.#makeRoom(response, id, now, draft)) return draft;
    const version = this.#note(id, { content, size, validator: validatorOf(headers) }, now, draft);
    const replica: Replica = {
      ...{ key, key16, site, variant, status, headers, content, size, requestedAt, receivedAt },
      ...{ fence, tags, version: version.stamp, source, group: 0, rules: 0 },
    };
    this.#put(new HeldReplica(replica, handle, now.demand), draft);
    this.#trim(2, draft);
    return draft;
  }

  /** Takes a replica from a peer. `undefined` if a purge or a newer version is known, or there is no room. */
  adopt(replica: Replica, now: Moment): CatalogueChange | undefined {
    const handle = this.#invalidations.handle(replica);
    if (this.#invalidations.check(replica.fence, handle) !== 'valid') return undefined;
    if (this.#options.clock.tooFarAhead(replica.version, now.real)) return undefined;
    const id = variantId(replica.key16, variantHash(replica.variant));
    if (overtaken(replica, this.versions.get(id))) return undefined;
    const draft = new Draft();
    const existing = this.shelf.find(id);
    if (existing && existing.content === replica.content && existing.receivedAt >= replica.receivedAt) {
      if (this.standing(existing) === 'valid') {
        draft.replica = existing;
        return draft;
      }
    }
    if (!this.#makeRoom(replica, id, now, draft)) return draft;
    const { content, size, version: stamp } = replica;
    this.#merge(id, { content, size, validator: validatorOf(replica.headers), stamp }, draft);
    this.#put(new HeldReplica(replica, handle, now.demand), draft);
    return draft;
  }

  /** Renews a replica after 304. `undefined` if it is gone, or a purge has overtaken the request. */
  refresh(
    ticket: FetchTicket,
    replica: Replica,
    headers: FetchedResponse['headers'],
    requestedAt: number,
    receivedAt: number,
    now: Moment,
  ): CatalogueChange | undefined {
    const id = variantId(replica.key16, variantHash(replica.variant));
    const existing = this.shelf.find(id);
    if (!existing || existing.content !== replica.content || this.standing(existing) === 'gone')
      return undefined;
    const { handle } = existing;
    const fence = raised(existing.fence, this.#invalidations.fenceAt(ticket.ordinal, handle));
    if (this.#invalidations.check(fence, handle) !== 'valid') return undefined;
    const draft = new Draft();
    const renewed = renew(existing.headers, headers);
    const { content, size } = existing;
    const version = this.#note(id, { content, size, validator: validatorOf(renewed) }, now, draft);
    const next = new HeldReplica(
      {
        ...plainReplica(existing),
        ...{ headers: renewed, fence, requestedAt, receivedAt, version: version.stamp },
      },
      handle,
      existing.usedAt,
    );
    next.uses = existing.uses;
    this.#put(next, draft);
    return draft;
  }

  drop(key16: Key16, variant: string): CatalogueChange {
    const draft = new Draft();
    const held = this.shelf.find(variantId(key16, variantHash(variant)));
    if (held) this.#remove(held, draft);
    return draft;
  }

  touch(replica: Replica, demandNow: number): void {
    if (replica instanceof HeldReplica && !replica.dropped) this.shelf.used(replica, demandNow);
  }

  /**
   * Drops what these purges have made unusable, and withdraws what they have made stale, as far as their key16 tells;
   * `sweep` finds the rest.
   */
  purged(purges: readonly SignedPurge[]): CatalogueChange {
    const draft = new Draft();
    for (const purge of purges) {
      const key16 = key16OfPurge(purge);
      if (key16) for (const held of [...this.get(key16)]) this.#heed(held, draft);
    }
    return draft;
  }

  /** Checks the next `count` replicas of an iteration over the shelf; `done` when there are no more. */
  sweep(replicas: Iterator<HeldReplica>, count: number): { change: CatalogueChange; done: boolean } {
    const draft = new Draft();
    for (let i = 0; i < count; i += 1) {
      const next = replicas.next();
      if (next.done) return { change: draft, done: true };
      this.#heed(next.value, draft);
    }
    return { change: draft, done: false };
  }

  #heed(held: HeldReplica, draft: Draft): void {
    if (held.dropped) return;
    const standing = this.#purged(held);
    if (standing === 'gone') this.#remove(held, draft);
    // It is given to nobody until the origin has confirmed it: peers that do not know its tags have to be told.
    else if (standing === 'stale' && !held.withdrawn) {
      held.withdrawn = true;
      draft.tell(held.id);
    }
  }

  /** What peers have told: versions that are news here. `early`: what was left aside, as one of the clocks is wrong. */
  learn(rows: readonly CatalogueRow[], now: Moment): { change: CatalogueChange; early: CatalogueRow[] } {
    const draft = new Draft();
    const early: CatalogueRow[] = [];
    for (const row of rows) {
      const { id, version } = row;
      if (!version) continue;
      if (this.#options.clock.tooFarAhead(version.stamp, now.real)) {
        early.push(row);
        continue;
      }
      this.#options.clock.observe(version.stamp, now.real);
      this.#merge(id, version, draft);
    }
    this.#trim(2 * rows.length, draft);
    return { change: draft, early };
  }

  /** Peers whose copy of a variant is, for all that is known, the newest version and covered by its fence. */
  holders(key16: Key16): readonly Holder[] {
    return this.peers.holders(key16).filter(({ variant, content, fence }) => {
      const id = variantId(key16, variant);
      const newest = this.versions.get(id);
      if (newest && newest.content !== content) return false;
      const held = this.shelf.find(id);
      const handle = held?.handle ?? { key: '' as ResourceKey, site: undefined, scopes: [key16] };
      return this.#invalidations.covered(fence, handle);
    });
  }

  tagOf(key16: Key16): Tag {
    const note = this.notes.get(key16);
    const held = this.get(key16).find((replica) => !replica.dropped);
    const newest = this.versions.get(held?.id ?? key16);
    const status = held
      ? held.source === 'client' || held.uses > 0
        ? 'client'
        : held.source === 'plan'
          ? 'mirrored'
          : 'speculative'
      : 'none';
    return {
      key16,
      key: held?.key ?? note.key,
      site: held?.site ?? note.site,
      status: note.pulling && status === 'none' ? 'pulling' : status,
      priority: note.priority,
      tier: held ? (note.tier ?? 'disk') : undefined,
      updatedAt: Math.max(note.updatedAt, held?.receivedAt ?? 0),
      version: newest?.stamp,
      content: held?.content ?? newest?.content,
      size: held?.size ?? newest?.size,
      holders: [...new Set(this.peers.holders(key16).map(({ pop }) => pop))],
      labels: [...new Set([...(held?.tags ?? []), ...note.labels])],
    };
  }

  /** Changes what is noted of a resource; only lasting notes are written. */
  note(key16: Key16, change: Partial<Omit<Note, 'updatedAt'>>, demandNow: number): CatalogueChange {
    const draft = new Draft();
    const { note, dropped } = this.notes.change(key16, change, demandNow);
    const lasting = 'priority' in change || 'labels' in change;
    if (lasting) draft.writes.push({ table: 'tags', key: key16, value: note });
    if (dropped !== undefined) draft.writes.push({ table: 'tags', key: dropped, value: undefined });
    return draft;
  }

  restoreVersion(id: VariantId, version: Version): void {
    this.versions.merge(id, version);
    this.log.include(id);
  }

  /** Takes back a stored replica; versions and purges are restored before. */
  restoreReplica(replica: Replica, demandNow: number): void {
    const held = new HeldReplica(replica, this.#invalidations.handle(replica), demandNow);
    const { content, size, version: stamp } = replica;
    if (!this.versions.get(held.id)) {
      this.versions.merge(held.id, { content, size, validator: validatorOf(replica.headers), stamp });
    }
    this.#put(held, new Draft());
  }

  /** Evicts what exceeds a budget, by default the configured one, as after the operator has lowered it. */
  fit(demandNow: number, budgetBytes = this.shelf.budgetBytes): CatalogueChange {
    const draft = new Draft();
    const excess = this.shelf.budgetBytes - budgetBytes;
    this.shelf.makeRoom(excess, 'client', undefined, demandNow, (victim) => this.#remove(victim, draft));
    return draft;
  }

  /** Evicts what may give way to `bytes` that come by `source`. */
  roomFor(
    bytes: number,
    source: ReplicaSource,
    demandNow: number,
  ): { readonly change: CatalogueChange; readonly fits: boolean } {
    const draft = new Draft();
    const fits = this.shelf.makeRoom(bytes, source, undefined, demandNow, (victim) =>
      this.#remove(victim, draft),
    );
    return { change: draft, fits };
  }

  /** Drops every replica of a content that is damaged or gone. */
  lost(content: ContentHash): CatalogueChange {
    const draft = new Draft();
    for (const held of this.shelf) if (held.content === content) this.#remove(held, draft);
    return draft;
  }

  #row(id: VariantId): CatalogueRow {
    const held = this.shelf.find(id);
    const version = this.versions.get(id);
    const tell = held && this.#purged(held) === 'valid';
    return {
      id,
      ...(tell && { held: { content: held.content, size: held.size, fence: held.fence } }),
      ...(version && { version }),
    };
  }

  #note(id: VariantId, seen: Omit<Version, 'stamp'>, now: Moment, draft: Draft): Version {
    const { noted, version } = this.versions.note(id, seen, () => this.#options.clock.next(now.real));
    if (noted === 'first' || noted === 'new') this.#versionChanged(id, version, draft);
    return version;
  }

  #merge(id: VariantId, version: Version, draft: Draft): void {
    if (this.versions.merge(id, version)) this.#versionChanged(id, version, draft, false);
  }

  #versionChanged(id: VariantId, version: Version, draft: Draft, announce = true): void {
    this.log.include(id);
    draft.writes.push({ table: 'versions', key: id, value: version });
    if (announce) draft.tell(id);
    const held = this.shelf.find(id);
    if (held) held.outdated = overtaken(held, version);
  }

  #put(held: HeldReplica, draft: Draft): void {
    const previous = this.shelf.find(held.id);
    if (previous) {
      // One who still holds the previous object may serve it, as long as it names the same content.
      previous.dropped = previous.content !== held.content;
      if (this.shelf.remove(previous)) draft.unused.push(previous.content);
    } else {
      const crowded = this.shelf.crowded(held.key16);
      if (crowded) this.#remove(crowded, draft);
    }
    held.outdated = overtaken(held, this.versions.get(held.id));
    this.shelf.add(held);
    this.log.include(held.id);
    draft.reclaim(held.content);
    draft.replica = held;
    draft.writes.push({ table: 'replicas', key: held.id, value: plainReplica(held) });
    draft.tell(held.id);
  }

  #remove(held: HeldReplica, draft: Draft): void {
    held.dropped = true;
    if (this.shelf.remove(held)) draft.unused.push(held.content);
    if (!this.versions.get(held.id)) this.log.exclude(held.id);
    draft.writes.push({ table: 'replicas', key: held.id, value: undefined });
    draft.tell(held.id);
  }

  /** Evicts until the content fits. False if it does not, or nothing should give way to it. */
  #makeRoom(
    response: Pick<Replica, 'content' | 'size' | 'source'>,
    id: VariantId,
    now: Moment,
    draft: Draft,
  ) {
    if (this.shelf.references(response.content) > 0) return true;
    const previous = this.shelf.find(id);
    return this.shelf.makeRoom(response.size, response.source, previous, now.demand, (victim) =>
      this.#remove(victim, draft),
    );
  }

  #trim(scan: number, draft: Draft): void {
    for (const id of this.versions.trim(scan)) {
      draft.writes.push({ table: 'versions', key: id, value: undefined });
      this.log.exclude(id);
    }
  }
}
