import type { PopId } from './ids.ts';
import { FULL_MESH, Links, sameAs } from './links.ts';
import type { SignedPurge } from './purge.ts';

/** PoPs that hand a purge on to one that is not connected to its issuer. */
const RELAYS = 2;
/** So long after it was issued a purge is on its way to all, ms; what comes later was missed by others too. */
const ON_ITS_WAY_MS = 10_000;
/** Issuers whose relays are remembered. */
const ISSUERS = 1_024;

/**
 * Whom a PoP tells of a purge beyond those that gossip reaches at once. Up to 64 PoPs all are connected to all, and
 * nothing is left to do. Above that, whoever is connected to the issuer hands it on over streams, so that everybody
 * has it after two hops: for each PoP that is not, two of those that are connected to both, chosen alike everywhere.
 * Gossip alone takes a third hop to some, which in a worldwide cluster is felt.
 */
export class PurgeAudience {
  readonly #self: PopId;
  readonly #roster: () => readonly PopId[];
  #known: readonly PopId[] = [];
  #links: Links | undefined;
  readonly #relayed = new Map<PopId, readonly PopId[]>();

  constructor(self: PopId, roster: () => readonly PopId[]) {
    this.#self = self;
    this.#roster = roster;
  }

  /** Whoever is to acknowledge an own purge: where not all are connected, and proof is asked for, the others too. */
  ofOwn(connected: Iterable<PopId>, proven: boolean): Iterable<PopId> {
    const roster = this.#roster();
    if (!proven || roster.length <= FULL_MESH) return connected;
    return new Set([...connected, ...roster.filter((pop) => pop !== this.#self)]);
  }

  /** Whether those who are connected are all that the cluster knows: nobody needs to hear of a purge from another. */
  isAll(connected: readonly PopId[]): boolean {
    const roster = this.#roster();
    if (roster.length === 0 || roster.length > FULL_MESH) return false;
    const told = new Set(connected);
    return roster.every((pop) => pop === this.#self || told.has(pop));
  }

  /** To whom this PoP hands on what an issuer has told it. */
  relayed(issuer: PopId): readonly PopId[] {
    const links = this.#current();
    if (!links) return [];
    const known = this.#relayed.get(issuer) ?? this.#relayedBy(links, issuer);
    if (this.#relayed.size < ISSUERS) this.#relayed.set(issuer, known);
    return known;
  }

  /** Whether a purge that came over a stream need not be told to the other peers: gossip and relays are at it. */
  isOnItsWay({ stamp }: SignedPurge, now: number): boolean {
    return this.#roster().length > FULL_MESH && now - stamp.time < ON_ITS_WAY_MS;
  }

  #relayedBy(links: Links, issuer: PopId): readonly PopId[] {
    const told = links.of(issuer);
    if (!told.has(this.#self)) return [];
    return [...links.of(this.#self)].filter((pop) => {
      if (pop === issuer || told.has(pop)) return false;
      const relays = [...links.of(pop)].filter((one) => told.has(one));
      const own = links.score(this.#self, pop);
      return relays.filter((one) => links.score(one, pop) < own).length < RELAYS;
    });
  }

  /** Undefined where all are connected to all. */
  #current(): Links | undefined {
    const roster = this.#roster();
    if (roster.length <= FULL_MESH) return undefined;
    if (this.#links && sameAs(roster, this.#known)) return this.#links;
    this.#known = roster;
    this.#relayed.clear();
    this.#links = Links.among(roster.includes(this.#self) ? roster : [this.#self, ...roster]);
    return this.#links;
  }
}
