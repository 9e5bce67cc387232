import type { Key16, PopId, ResourceKey, SiteId } from '../protocol/ids.ts';
import type { FetchedResponse, FetchTicket, Replica, ReplicaIndex, Standing } from '../protocol/replica.ts';

/**
 * A replica index in memory with the rules of the real one: a numbered log of purges, tickets that fix a position in
 * it, and stores that are refused when a purge has overtaken their request.
 */
export class MemoryIndex implements ReplicaIndex {
  readonly replicas = new Map<Key16, Replica[]>();
  readonly touched: Replica[] = [];
  readonly #pop = 'pop-under-test' as PopId;
  readonly #purges: { key16: Key16; soft: boolean }[] = [];
  readonly #standings = new WeakMap<Replica, Standing>();
  #counter = 0;

  get(key16: Key16): readonly Replica[] {
    return this.replicas.get(key16) ?? [];
  }

  standing(replica: Replica): Standing {
    const known = this.#standings.get(replica);
    if (known || this.get(replica.key16).includes(replica)) return known ?? 'valid';
    // One that is not held is judged by its fence alone.
    const since = replica.fence.get(this.#pop) ?? 0;
    return this.#purges.slice(since).some(({ key16 }) => key16 === replica.key16) ? 'gone' : 'valid';
  }

  begin(key: ResourceKey, key16: Key16, site: SiteId): FetchTicket {
    return { key, key16, site, ordinal: this.#purges.length };
  }

  async store(ticket: FetchTicket, response: FetchedResponse): Promise<Replica | undefined> {
    if (this.#overtaken(ticket)) return undefined;
    return this.#put({
      ...response,
      key: ticket.key,
      key16: ticket.key16,
      site: ticket.site,
      fence: new Map([[this.#pop, ticket.ordinal]]),
      version: { time: response.receivedAt, counter: this.#counter++, pop: this.#pop },
      group: 0,
      rules: 0,
    });
  }

  async adopt(replica: Replica): Promise<Replica | undefined> {
    return this.#put(replica);
  }

  async refresh(
    ticket: FetchTicket,
    replica: Replica,
    headers: FetchedResponse['headers'],
    requestedAt: number,
    receivedAt: number,
  ): Promise<Replica | undefined> {
    if (this.#overtaken(ticket) || !this.get(replica.key16).includes(replica)) return undefined;
    return this.#put({ ...replica, headers, requestedAt, receivedAt });
  }

  async drop(key16: Key16, variant: string): Promise<void> {
    const rest = this.get(key16).filter((replica) => replica.variant !== variant);
    if (rest.length === 0) this.replicas.delete(key16);
    else this.replicas.set(key16, rest);
  }

  touch(replica: Replica): void {
    if (this.touched.length < 1000) this.touched.push(replica);
  }

  /** Applies a purge; a soft one leaves the replicas stale until they are revalidated. */
  purge(key16: Key16, soft = false): void {
    this.#purges.push({ key16, soft });
    for (const replica of this.get(key16)) this.#standings.set(replica, soft ? 'stale' : 'gone');
  }

  #overtaken(ticket: FetchTicket): boolean {
    return this.#purges.slice(ticket.ordinal).some((purge) => purge.key16 === ticket.key16);
  }

  #put(replica: Replica): Replica {
    const others = this.get(replica.key16).filter((other) => other.variant !== replica.variant);
    this.replicas.set(replica.key16, [...others, replica]);
    return replica;
  }
}
