import { codeOf, PresageError } from '../protocol/errors.ts';
import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import {
  ANNOUNCEMENTS_MAX,
  type Announcement,
  decodeAnnouncements,
  encodeAnnouncements,
} from '../protocol/messages/announcement.ts';
import type { DemandClock, Gossip, Table, Verdict } from '../protocol/ports.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { WantedReplica } from './mirror.ts';
import type { Name, Names } from './names.ts';

/** An announcement that was made here; the name is what the others ask for when they are to fetch it. */
export interface OwnAnnouncement {
  readonly announcement: Announcement;
  readonly name: Name;
}

export type AnnouncerMessage =
  /** An operator's announcement; answered when it is durable. */
  | { readonly type: 'announce'; readonly own: OwnAnnouncement; readonly reply: Reply<void> }
  | { readonly type: 'heard'; readonly author: PopId; readonly list: readonly Announcement[] }
  | { readonly type: 'tick' };

export interface AnnouncerDeps {
  readonly gossip: Gossip;
  readonly demand: DemandClock;
  readonly table: Table<OwnAnnouncement>;
  readonly names: Names;
  /** How long before and after its time an announced resource is held, demand ms. */
  readonly horizonMs: () => number;
  /** Whether this PoP serves clients of a region. */
  serves(region: RegionId): boolean;
  held(key16: Key16): boolean;
  mirror(wanted: readonly WantedReplica[]): void;
}

const TICK_MS = 5_000;
/** Told again so often, real ms: a PoP may have joined since, and gossip forgets. */
const REPEAT_MS = 60_000;
/** Above every planned mirror: the operator has said so. */
const VALUE = Number.MAX_SAFE_INTEGER;

/** Announced resources are mirrored in time, whatever has been forecast for them. */
export function announcerSpec(deps: AnnouncerDeps): ActorSpec<AnnouncerMessage> {
  return {
    name: 'announcer',
    mailbox: { capacity: 256, overflow: 'refuse' },
    create: async (context) => {
      const known = new Map<Key16, Announcement>();
      for await (const [, { announcement, name }] of deps.table.entries()) {
        known.set(announcement.key16, announcement);
        deps.names.learn(announcement.key16, name);
      }
      return new Announcer(deps, context, known);
    },
  };
}

class Announcer implements Behaviour<AnnouncerMessage> {
  readonly #deps: AnnouncerDeps;
  readonly #context: ActorContext<AnnouncerMessage>;
  readonly #known: Map<Key16, Announcement>;
  /** Those that were made here: it is for this PoP to repeat them. */
  readonly #own = new Set<Key16>();
  #toldAt = 0;

  constructor(deps: AnnouncerDeps, context: ActorContext<AnnouncerMessage>, known: Map<Key16, Announcement>) {
    this.#deps = deps;
    this.#context = context;
    this.#known = known;
    for (const key16 of known.keys()) this.#own.add(key16);
    deps.gossip.subscribe('announcement', (author, bytes) => this.#receive(author, bytes));
    context.every(TICK_MS, { type: 'tick' });
  }

  receive(message: AnnouncerMessage): void | Promise<void> {
    switch (message.type) {
      case 'announce':
        return this.#announce(message.own, message.reply);
      case 'heard':
        for (const announcement of message.list) this.#learn(announcement);
        return this.#mirror();
      case 'tick':
        return this.#tick();
    }
  }

  async #announce(own: OwnAnnouncement, reply: Reply<void>): Promise<void> {
    const { announcement, name } = own;
    if (this.#known.size >= ANNOUNCEMENTS_MAX && !this.#known.has(announcement.key16)) {
      reply.fail(new PresageError('MAILBOX_FULL', `${ANNOUNCEMENTS_MAX} announcements are open already`));
      return;
    }
    await this.#deps.table.put(announcement.key16, own, { sync: true });
    this.#deps.names.learn(announcement.key16, name);
    this.#own.add(announcement.key16);
    this.#known.set(announcement.key16, announcement);
    reply.ok();
    await this.#tell();
    this.#mirror();
  }

  /** Not kept on disk: who made it repeats it. */
  #learn(announcement: Announcement): void {
    if (this.#over(announcement) || this.#own.has(announcement.key16)) return;
    if (this.#known.size < ANNOUNCEMENTS_MAX || this.#known.has(announcement.key16)) {
      this.#known.set(announcement.key16, announcement);
    }
  }

  async #tick(): Promise<void> {
    for (const [key16, announcement] of this.#known) {
      if (!this.#over(announcement)) continue;
      this.#known.delete(key16);
      if (this.#own.delete(key16)) await this.#deps.table.del(key16);
    }
    if (this.#context.clock.monotonic() - this.#toldAt >= REPEAT_MS) await this.#tell();
    this.#mirror();
  }

  async #tell(): Promise<void> {
    this.#toldAt = this.#context.clock.monotonic();
    const own = [...this.#known.values()].filter(({ key16 }) => this.#own.has(key16));
    if (own.length === 0) return;
    await this.#deps.gossip.publish('announcement', encodeAnnouncements(own)).catch((error: unknown) => {
      this.#context.metrics.count('gossip_failures_total', { topic: 'announcement', code: codeOf(error) });
    });
  }

  #mirror(): void {
    const { demand, serves, held } = this.#deps;
    const horizonMs = this.#deps.horizonMs();
    const now = demand.now();
    const due = [...this.#known.values()].filter(
      ({ key16, at, region }) =>
        now >= at - horizonMs && (region === undefined || serves(region)) && !held(key16),
    );
    if (due.length > 0) {
      this.#deps.mirror(due.map(({ key16 }) => ({ key16, size: 0, value: VALUE, tier: 'memory' })));
    }
  }

  #over({ at }: Announcement): boolean {
    return this.#deps.demand.now() > at + this.#deps.horizonMs();
  }

  #receive(author: PopId, bytes: Uint8Array): Verdict {
    try {
      const list = decodeAnnouncements(bytes);
      const told = this.#context.self.tell({ type: 'heard', author, list });
      return told ? { verdict: 'accept' } : { verdict: 'ignore', code: 'MAILBOX_FULL' };
    } catch (error) {
      return { verdict: 'reject', code: codeOf(error, 'WIRE_SCHEMA') };
    }
  }
}
