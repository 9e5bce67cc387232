import { PresageError } from './errors.ts';
import type { PopId, SiteId } from './ids.ts';
import {
  type Purge,
  type PurgeScope,
  type PurgeTarget,
  type Sign,
  type SignedPurge,
  SiteScopes,
  signPurge,
} from './purge.ts';
import { dominated, entriesOf, isWide, type PurgeEntry, type PurgeSlot, supersedes } from './purge-slot.ts';
import type { Purgeable, PurgeHandle } from './purgeable.ts';
import type { Fence, Stamp, Standing } from './replica.ts';

export type { Purgeable, PurgeHandle } from './purgeable.ts';

/**
 * Purges of one issuer that are kept at once, some 10 MB in memory; fewer where many PoPs issue. An issuer that would
 * exceed it purges a whole site instead, which supersedes all its purges of that site.
 */
export const MAX_PURGES_PER_ISSUER = 16_384;
/** Purges of all issuers together that each one's share follows from, some 150 MB in memory. */
const MAX_PURGES = 262_144;
const MIN_PURGES_PER_ISSUER = 1_024;
/** What is taken from an issuer before it counts as broken: twice what a correct one keeps. */
const MAX_PURGES_ACCEPTED = 2 * MAX_PURGES_PER_ISSUER;
/** Issuers known at once; far above the few hundred PoPs of a cluster. */
export const MAX_ISSUERS = 4096;

/** What one PoP knows of one issuer, for comparison: equal digests mean equal sets of purges. */
export interface IssuerDigest {
  readonly issuer: PopId;
  readonly count: number;
  readonly maxSeq: number;
  /** Exclusive or of the ids, 16 hex digits. */
  readonly sum: string;
}

export type Applied =
  | { readonly outcome: 'known' | 'superseded' }
  | { readonly outcome: 'applied'; readonly removed: readonly SignedPurge[] };

interface Issuer {
  readonly pop: PopId;
  readonly live: Map<string, PurgeEntry>;
  /** Purges of whole sites, by site. */
  readonly wide: Map<string, PurgeSlot>;
  maxSeq: number;
  sumHigh: number;
  sumLow: number;
}

export interface InvalidationsOptions {
  readonly self: PopId;
  /** Secret of a site of the charter. */
  readonly secretOf: (site: SiteId) => Uint8Array | undefined;
  readonly sign: Sign;
  readonly maxPurgesPerIssuer?: number;
}

/**
 * All purges that this PoP has applied. The set is a join-semilattice: per issuer and scope only what no later
 * purge covers is kept, so any two PoPs that have heard the same purges, in any order and any number of times,
 * hold the same set. Nothing here compares clocks.
 */
export class Invalidations {
  readonly self: PopId;
  readonly #options: InvalidationsOptions;
  readonly #max: number;
  readonly #issuers = new Map<PopId, Issuer>();
  readonly #scopes = new Map<string, Map<PopId, PurgeSlot>>();
  /** By site: how many live purges there are of each prefix length, and where the last one was applied. */
  readonly #prefixes = new Map<string, { readonly lengths: Map<number, number>; lastOrdinal: number }>();
  /** By site: position of the last purge by tag. */
  readonly #tagged = new Map<string, number>();
  readonly #sites = new Map<SiteId, SiteScopes>();
  #ordinal = 0;
  #lastOwnSeq = 0;

  constructor(options: InvalidationsOptions) {
    this.self = options.self;
    this.#options = options;
    this.#max = options.maxPurgesPerIssuer ?? MAX_PURGES_PER_ISSUER;
  }

  /** Position of the purge that was applied last. */
  get ordinal(): number {
    return this.#ordinal;
  }

  get size(): number {
    let size = 0;
    for (const issuer of this.#issuers.values()) size += issuer.live.size;
    return size;
  }

  get lastOwnSeq(): number {
    return this.#lastOwnSeq;
  }

  /** Takes over a sequence number that was persisted apart from the purges. */
  restoreOwnSeq(seq: number): void {
    this.#lastOwnSeq = Math.max(this.#lastOwnSeq, seq);
  }

  /**
   * Makes the next purges of this PoP: one, or two when a whole site is purged to make room. They are not applied:
   * the caller makes them durable, applies them, then sends them. A number applied before it is durable could be
   * given out again after a crash, and content fenced by the first would pass the second.
   *
   * Numbers follow the stamp's ms, so that a PoP that lost its disk does not issue numbers that its peers have
   * seen. Fails with `RPC_PARAMS` for a site that is not in the charter.
   */
  prepare(scope: PurgeScope, site: SiteId, soft: boolean, stamp: Stamp): SignedPurge[] {
    const scopes = this.scopesOf(site);
    if (!scopes) throw new PresageError('RPC_PARAMS', `no site ${site} in the charter`);
    const target = scopes.target(scope);
    const own = this.#issuers.get(this.self);
    const made: SignedPurge[] = [this.#make(target, soft, stamp)];
    if (own && own.live.size >= this.#share() && !this.#slotOf(own, target)) {
      const wide = this.#widest(own);
      if (wide) made.push(this.#make(wide, false, stamp));
    }
    return made;
  }

  #share(): number {
    const share = Math.floor(MAX_PURGES / this.#issuers.size);
    return Math.min(this.#max, Math.max(MIN_PURGES_PER_ISSUER, share));
  }

  #make(target: PurgeTarget, soft: boolean, stamp: Stamp): SignedPurge {
    const seq = Math.max(this.#lastOwnSeq + 1, stamp.time);
    this.#lastOwnSeq = seq;
    const purge: Purge = { issuer: this.self, seq, target, soft, stamp };
    return signPurge(purge, this.#options.sign);
  }

  /** The whole of the site that holds most purges of this issuer, as far as its name is known here. */
  #widest(own: Issuer): PurgeTarget | undefined {
    const counts = new Map<string, number>();
    for (const { purge } of own.live.values()) {
      counts.set(purge.target.site, (counts.get(purge.target.site) ?? 0) + 1);
    }
    let best: PurgeTarget | undefined;
    let most = 1;
    for (const scopes of this.#sites.values()) {
      const count = counts.get(scopes.site) ?? 0;
      if (count > most) {
        most = count;
        best = scopes.target({ kind: 'prefix', prefix: '' });
      }
    }
    return best;
  }

  /** Idempotent and commutative. Fails with `MAILBOX_FULL` when an issuer exceeds what a correct one keeps. */
  apply(purge: SignedPurge): Applied {
    const issuer = this.#issuerOf(purge.issuer);
    if (purge.issuer === this.self) this.restoreOwnSeq(purge.seq);
    issuer.maxSeq = Math.max(issuer.maxSeq, purge.seq);
    if (issuer.live.has(purge.id)) return { outcome: 'known' };
    const slot = this.#slotOf(issuer, purge.target);
    if (dominated(purge, slot) || dominated(purge, issuer.wide.get(purge.target.site))) {
      return { outcome: 'superseded' };
    }
    if (issuer.live.size >= MAX_PURGES_ACCEPTED) {
      throw new PresageError('MAILBOX_FULL', `${purge.issuer} keeps too many purges`);
    }
    const removed = this.#removeDominated(issuer, purge);
    this.#insert(issuer, purge);
    return { outcome: 'applied', removed };
  }

  #removeDominated(issuer: Issuer, purge: SignedPurge): SignedPurge[] {
    const removed: SignedPurge[] = [];
    const candidates = isWide(purge.target)
      ? issuer.live.values()
      : entriesOf(this.#slotOf(issuer, purge.target));
    for (const entry of [...candidates]) {
      const inside = isWide(purge.target)
        ? entry.purge.target.site === purge.target.site
        : entry.purge.target.scope === purge.target.scope;
      if (inside && supersedes(purge, entry.purge)) {
        this.#remove(issuer, entry.purge);
        removed.push(entry.purge);
      }
    }
    return removed;
  }

  #insert(issuer: Issuer, purge: SignedPurge): void {
    this.#ordinal += 1;
    const entry: PurgeEntry = { purge, ordinal: this.#ordinal };
    issuer.live.set(purge.id, entry);
    fold(issuer, purge.id);
    const { target } = purge;
    let slots = this.#scopes.get(target.scope);
    if (!slots) {
      slots = new Map();
      this.#scopes.set(target.scope, slots);
    }
    let slot = slots.get(purge.issuer);
    if (!slot) {
      slot = {};
      slots.set(purge.issuer, slot);
    }
    slot[purge.soft ? 'soft' : 'hard'] = entry;
    if (isWide(target)) issuer.wide.set(target.site, slot);
    if (target.kind === 'tag') this.#tagged.set(target.site, this.#ordinal);
    if (target.kind === 'prefix') {
      let site = this.#prefixes.get(target.site);
      if (!site) {
        site = { lengths: new Map(), lastOrdinal: 0 };
        this.#prefixes.set(target.site, site);
      }
      site.lengths.set(target.length, (site.lengths.get(target.length) ?? 0) + 1);
      site.lastOrdinal = this.#ordinal;
    }
  }

  #remove(issuer: Issuer, purge: SignedPurge): void {
    issuer.live.delete(purge.id);
    fold(issuer, purge.id);
    const { target } = purge;
    const slots = this.#scopes.get(target.scope);
    const slot = slots?.get(purge.issuer);
    if (slots && slot) {
      delete slot[purge.soft ? 'soft' : 'hard'];
      if (!slot.hard && !slot.soft) {
        slots.delete(purge.issuer);
        if (slots.size === 0) this.#scopes.delete(target.scope);
        if (isWide(target)) issuer.wide.delete(target.site);
      }
    }
    const lengths = this.#prefixes.get(target.site)?.lengths;
    if (target.kind === 'prefix' && lengths) {
      const left = (lengths.get(target.length) ?? 1) - 1;
      if (left > 0) lengths.set(target.length, left);
      else lengths.delete(target.length);
    }
  }

  #issuerOf(pop: PopId): Issuer {
    let issuer = this.#issuers.get(pop);
    if (!issuer) {
      if (this.#issuers.size >= MAX_ISSUERS)
        throw new PresageError('MAILBOX_FULL', 'too many issuers of purges');
      issuer = { pop, live: new Map(), wide: new Map(), maxSeq: 0, sumHigh: 0, sumLow: 0 };
      this.#issuers.set(pop, issuer);
    }
    return issuer;
  }

  #slotOf(issuer: Issuer, target: PurgeTarget): PurgeSlot | undefined {
    return this.#scopes.get(target.scope)?.get(issuer.pop);
  }

  /** The hashed scopes of a site, or `undefined` if the charter does not hold it. */
  scopesOf(site: SiteId): SiteScopes | undefined {
    const secret = this.#options.secretOf(site);
    if (!secret) return undefined;
    let scopes = this.#sites.get(site);
    if (!scopes || scopes.secret !== secret) {
      scopes = new SiteScopes(secret);
      this.#sites.set(site, scopes);
    }
    return scopes;
  }

  handle(resource: Purgeable): PurgeHandle {
    const site = this.scopesOf(resource.site);
    return {
      key: resource.key,
      site,
      scopes: [resource.key16, ...(site ? resource.tags.map((tag) => site.tag(tag)) : [])],
    };
  }

  /**
   * What purges applied after the position `since` say of content with this fence: `gone` if a hard one is not
   * covered, `stale` if a soft one is not. With `since` 0, all purges.
   */
  check(fence: Fence, handle: PurgeHandle, since = 0): Standing {
    let standing: Standing = handle.site ? 'valid' : 'stale';
    if (since >= this.#ordinal) return standing;
    for (const [issuer, slot] of this.#slotsFor(handle, since)) {
      const covered = fence.get(issuer) ?? -1;
      if (slot.hard && slot.hard.ordinal > since && slot.hard.purge.seq > covered) return 'gone';
      if (slot.soft && slot.soft.ordinal > since && slot.soft.purge.seq > covered) standing = 'stale';
    }
    return standing;
  }

  /**
   * Whether a purge applied after `since` matches: what was asked for before must then not be given to those who ask
   * now. While the tags are not known, any purge by tag on the site counts.
   */
  overtaken(since: number, handle: PurgeHandle, tagsKnown: boolean): boolean {
    if (since >= this.#ordinal) return false;
    const tagged = handle.site && this.#tagged.get(handle.site.site);
    if (!tagsKnown && tagged !== undefined && tagged > since) return true;
    return this.check(NO_FENCE, handle, since) !== 'valid';
  }

  /** Whether a fence covers every purge that matches, hard or soft, as far as a handle tells without its site too. */
  covered(fence: Fence, handle: PurgeHandle): boolean {
    for (const [issuer, { hard, soft }] of this.#slotsFor(handle, 0)) {
      const newest = Math.max(hard?.purge.seq ?? -1, soft?.purge.seq ?? -1);
      if (newest > (fence.get(issuer) ?? -1)) return false;
    }
    return true;
  }

  /** `check` of a resource that is looked at once. */
  covers(fence: Fence, resource: Purgeable): Standing {
    return this.check(fence, this.handle(resource));
  }

  /**
   * The fence of content whose request was sent when the purge at `ordinal` was the last applied. A purge that
   * came later does not raise it, whatever its number or stamp.
   */
  fenceAt(ordinal: number, handle: PurgeHandle): Fence {
    const fence = new Map<PopId, number>();
    for (const [issuer, slot] of this.#slotsFor(handle, 0)) {
      for (const entry of entriesOf(slot)) {
        if (entry.ordinal > ordinal) continue;
        fence.set(issuer, Math.max(fence.get(issuer) ?? 0, entry.purge.seq));
      }
    }
    return fence;
  }

  *#slotsFor(handle: PurgeHandle, since: number): Iterable<[PopId, PurgeSlot]> {
    for (const scope of handle.scopes) {
      const slots = this.#scopes.get(scope);
      if (slots) yield* slots;
    }
    const site = handle.site && this.#prefixes.get(handle.site.site);
    if (!handle.site || !site || site.lastOrdinal <= since) return;
    for (const length of site.lengths.keys()) {
      if (length > handle.key.length) continue;
      const slots = this.#scopes.get(handle.site.prefix(handle.key.slice(0, length)));
      if (slots) yield* slots;
    }
  }

  digest(): IssuerDigest[] {
    const digest: IssuerDigest[] = [];
    for (const [issuer, { live, maxSeq, sumHigh, sumLow }] of this.#issuers) {
      if (live.size === 0) continue;
      digest.push({ issuer, count: live.size, maxSeq, sum: hex32(sumHigh) + hex32(sumLow) });
    }
    return digest;
  }

  /** Issuers of which this PoP knows something else than a digest says. */
  differing(digest: readonly IssuerDigest[]): PopId[] {
    const theirs = new Map(digest.map((row) => [row.issuer, row]));
    const differing: PopId[] = [];
    for (const row of this.digest()) {
      const other = theirs.get(row.issuer);
      if (!other || other.count !== row.count || other.sum !== row.sum) differing.push(row.issuer);
    }
    for (const row of digest) if (!this.#issuers.get(row.issuer)?.live.size) differing.push(row.issuer);
    return differing;
  }

  /** Ids of the live purges of one issuer. */
  ids(issuer: PopId): Iterable<string> {
    return this.#issuers.get(issuer)?.live.keys() ?? [];
  }

  get(issuer: PopId, id: string): SignedPurge | undefined {
    return this.#issuers.get(issuer)?.live.get(id)?.purge;
  }

  /** Live purges of one issuer that are not among `known`. */
  missing(issuer: PopId, known: ReadonlySet<string>): SignedPurge[] {
    const missing: SignedPurge[] = [];
    for (const [id, entry] of this.#issuers.get(issuer)?.live ?? [])
      if (!known.has(id)) missing.push(entry.purge);
    return missing;
  }

  *list(): Iterable<SignedPurge> {
    for (const issuer of this.#issuers.values()) for (const entry of issuer.live.values()) yield entry.purge;
  }
}

const NO_FENCE: Fence = new Map();

function fold(issuer: Issuer, id: string): void {
  issuer.sumHigh = (issuer.sumHigh ^ Number.parseInt(id.slice(0, 8), 16)) >>> 0;
  issuer.sumLow = (issuer.sumLow ^ Number.parseInt(id.slice(8), 16)) >>> 0;
}

const hex32 = (value: number): string => value.toString(16).padStart(8, '0');
