import { Bandwidth } from '../protocol/bandwidth.ts';
import { type Site, siteAllows } from '../protocol/charter.ts';
import { codeOf } from '../protocol/errors.ts';
import type { ContentHash, Key16, PopId, RegionId, ResourceKey, SiteId } from '../protocol/ids.ts';
import {
  decodeLease,
  decodeNameReply,
  encodeLease,
  encodeNameRequest,
} from '../protocol/messages/replica.ts';
import { originDelayMs } from '../protocol/origin-ranking.ts';
import type { Events, Peers, Streams, Tier } from '../protocol/ports.ts';
import type { Fence, Replica, ReplicaIndex, ReplicaSource } from '../protocol/replica.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import { dropOldest } from './oldest.ts';
import type { Puller } from './puller.ts';

/** A resource that this PoP is to hold, by the plan or by a RISING report. */
export interface WantedReplica {
  readonly key16: Key16;
  readonly size: number;
  /** Worth per byte; the queue is worked off by it. */
  readonly value: number;
  readonly tier: Tier;
  /** The demand that the plan means it for; absent where no plan does. */
  readonly region?: RegionId;
}

export type MirrorMessage =
  /** This PoP's share of the newest plan; replaces what still waits of the one before. */
  | { readonly type: 'plan'; readonly wanted: readonly WantedReplica[] }
  /** Ordered by the operator: pulled besides what the plan lists. */
  | { readonly type: 'order'; readonly wanted: readonly WantedReplica[] }
  | { readonly type: 'speculate'; readonly wanted: WantedReplica; readonly holder: PopId }
  /** Share of the link that clients use, 0 … 1. */
  | { readonly type: 'client-load'; readonly share: number }
  | { readonly type: 'status'; readonly reply: Reply<MirrorStatus> }
  /** Private. */
  | { readonly type: 'advance' }
  | { readonly type: 'finished'; readonly job: Job; readonly outcome: PullOutcome }
  | { readonly type: 'leased'; readonly key16: Key16 };

/** How a pull ended; the codes that `explain` shows. */
export type PullOutcome =
  | 'no-room'
  | 'mirrored'
  /** The bytes were here, and a peer or the origin has said that they still hold. */
  | 'renewed'
  | 'no-holder'
  | 'left-to-others'
  | 'name-unknown'
  | 'not-storable'
  | 'failed';

export interface MirrorStatus {
  readonly waiting: number;
  readonly active: number;
  readonly mirrored: number;
  readonly speculative: number;
  readonly failed: number;
  readonly bytes: number;
  readonly outcomes: Readonly<Record<string, PullOutcome>>;
}

export interface MirrorDeps {
  readonly index: ReplicaIndex;
  readonly puller: Puller;
  readonly streams: Streams;
  readonly peers: Peers;
  readonly events: Events;
  /** This PoP's own name. */
  readonly name: string;
  /** Of the demand clock. */
  readonly speed: number;
  /** Fill rate, bytes a second. */
  readonly bytesPerSecond: number;
  holders(key16: Key16): readonly PopId[];
  site(id: SiteId): Site | undefined;
  nameOf(peer: PopId): string | undefined;
  keyOf(key16: Key16): { readonly key: ResourceKey; readonly site: SiteId } | undefined;
  /** The site and key that a name resolves to, if it is one of ours. */
  learnKey(key16: Key16, key: ResourceKey): { readonly key: ResourceKey; readonly site: SiteId } | undefined;
  /** Matching purges applied here, for the ranking. */
  fenceOf(key16: Key16): Fence;
  /** Makes room for a mirror among what is worth less; false if it will not fit. */
  roomFor(bytes: number, source: Job['source']): Promise<boolean>;
  /** Fetches from the origin into the store. */
  fetch(key: ResourceKey, key16: Key16, site: Site, source: ReplicaSource): Promise<Replica | undefined>;
  /** Told when a replica came by mirroring, and as what it was wanted. */
  mirrored(replica: Replica, source: ReplicaSource, wanted: WantedReplica): void;
  /** Told when the status of a resource's replication changes. */
  tag(key16: Key16, status: 'pulling' | 'none', priority: number): void;
}

interface Job {
  readonly wanted: WantedReplica;
  readonly source: 'plan' | 'speculative';
  readonly holder: PopId | undefined;
  /** Monotonic ms before which it does not start. */
  readonly notBefore: number;
}

/** Pulls under way at once: enough to hide round trips, few enough to leave the event loop to clients. */
const ACTIVE_MAX = 8;
/** Jobs that wait; the least valuable beyond it are forgotten, the next plan lists them again. */
const WAITING_MAX = 20_000;
/** A pull that failed is not tried again before this, ms of demand, but at least a second of real time. */
const RETRY_MS = 30_000;
/** How long a peer's lease on an origin fetch is believed, ms. */
const LEASE_MS = 30_000;
const LEASES_MAX = 10_000;
const OUTCOMES_MAX = 20_000;
/** Peers asked for a name before the pull is given up. */
const NAME_ASKS = 3;

/** Works off this PoP's share of the plan: from the nearest holders, else by rank from the origin. */
export function mirrorSpec(deps: MirrorDeps): ActorSpec<MirrorMessage> {
  return {
    name: 'mirror',
    mailbox: { capacity: 4_096, overflow: 'drop-oldest' },
    create: (context) => new Mirror(deps, context),
  };
}

class Mirror implements Behaviour<MirrorMessage> {
  readonly #deps: MirrorDeps;
  readonly #context: ActorContext<MirrorMessage>;
  readonly #bandwidth: Bandwidth;
  readonly #waiting = new Map<Key16, Job>();
  readonly #active = new Map<Key16, AbortController>();
  readonly #retryAt = new Map<Key16, number>();
  readonly #leases = new Map<Key16, number>();
  /** When this PoP's turn comes to ask the origin, monotonic ms. */
  readonly #dueAt = new Map<Key16, number>();
  readonly #outcomes = new Map<Key16, PullOutcome>();
  readonly #totals = { mirrored: 0, speculative: 0, failed: 0, bytes: 0 };
  #wake: (() => void) | undefined;

  constructor(deps: MirrorDeps, context: ActorContext<MirrorMessage>) {
    this.#deps = deps;
    this.#context = context;
    this.#bandwidth = new Bandwidth({ bytesPerSecond: deps.bytesPerSecond }, context.clock.monotonic());
    deps.streams.handle('lease', async (from, input) => this.#heardLease(from, decodeLease(input)));
  }

  receive(message: MirrorMessage): void {
    switch (message.type) {
      case 'plan':
        for (const [key16, job] of this.#waiting) if (job.source === 'plan') this.#waiting.delete(key16);
        for (const wanted of message.wanted) this.#enqueue(wanted, 'plan', undefined);
        break;
      case 'order':
        for (const wanted of message.wanted) this.#enqueue(wanted, 'plan', undefined);
        break;
      case 'speculate':
        this.#enqueue(message.wanted, 'speculative', message.holder);
        break;
      case 'client-load':
        this.#bandwidth.yieldTo(message.share, this.#context.clock.monotonic());
        return;
      case 'leased':
        this.#leases.set(message.key16, this.#context.clock.monotonic() + LEASE_MS);
        dropOldest(this.#leases, LEASES_MAX);
        return;
      case 'finished':
        this.#finished(message.job, message.outcome);
        break;
      case 'status':
        message.reply.ok(this.#status());
        return;
      case 'advance':
        break;
    }
    this.#advance();
  }

  async stop(): Promise<void> {
    for (const controller of this.#active.values()) controller.abort();
  }

  #enqueue(wanted: WantedReplica, source: Job['source'], holder: PopId | undefined): void {
    const { key16 } = wanted;
    if (this.#active.has(key16) || this.#holdsValid(key16)) return;
    if ((this.#retryAt.get(key16) ?? 0) > this.#context.clock.monotonic()) return;
    if (this.#waiting.size >= WAITING_MAX && !this.#waiting.has(key16)) return;
    const due = this.#deps.holders(key16).length === 0 ? this.#dueAt.get(key16) : undefined;
    this.#waiting.set(key16, { wanted, source, holder, notBefore: due ?? 0 });
  }

  #holdsValid(key16: Key16): boolean {
    return this.#deps.index.get(key16).some((replica) => this.#deps.index.standing(replica) === 'valid');
  }

  #advance(): void {
    const now = this.#context.clock.monotonic();
    this.#wake?.();
    this.#wake = undefined;
    if (this.#active.size >= ACTIVE_MAX || this.#waiting.size === 0) return;
    for (let job = this.#best(now); job && this.#active.size < ACTIVE_MAX; job = this.#best(now))
      this.#begin(job);
    let next = Number.POSITIVE_INFINITY;
    for (const { notBefore } of this.#waiting.values())
      if (notBefore > now && notBefore < next) next = notBefore;
    if (Number.isFinite(next)) this.#wake = this.#context.schedule(next - now, { type: 'advance' });
  }

  /** The job to begin next; found in one pass, since thousands may wait and usually one place is free. */
  #best(now: number): Job | undefined {
    let best: Job | undefined;
    for (const job of this.#waiting.values()) {
      if (job.notBefore <= now && (!best || goesBefore(job, best))) best = job;
    }
    return best;
  }

  #begin(job: Job): void {
    const { key16, value } = job.wanted;
    this.#waiting.delete(key16);
    const controller = new AbortController();
    this.#active.set(key16, controller);
    this.#deps.tag(key16, 'pulling', value);
    void this.#pull(job, controller.signal)
      .catch((error: unknown): PullOutcome => {
        this.#context.metrics.count('pull_failures_total', { code: codeOf(error) });
        return 'failed';
      })
      .then((outcome) => this.#context.self.tell({ type: 'finished', job, outcome }));
  }

  async #pull(job: Job, signal: AbortSignal): Promise<PullOutcome> {
    const { puller, index } = this.#deps;
    const { key16, size } = job.wanted;
    // Asked before the first byte: what has been pulled already would push out what clients asked for.
    if (!(await this.#deps.roomFor(size, job.source))) return 'no-room';
    const known = this.#deps.holders(key16);
    const holders = job.holder && !known.includes(job.holder) ? [...known, job.holder] : known;
    const pace = (bytes: number) => this.#pace(bytes, signal);
    // What a soft purge has made stale is still here.
    const before = new Set(index.get(key16).map(({ content }) => content));
    const replica =
      holders.length > 0
        ? await puller.pull({ key16, source: job.source, pace, signal }, holders)
        : await this.#fromOrigin(job, before);
    if (typeof replica === 'string') return replica;
    if (!replica) return holders.length > 0 ? 'no-holder' : 'not-storable';
    if (index.get(key16).length === 0) return 'failed';
    if (before.has(replica.content)) return 'renewed';
    this.#deps.mirrored(replica, job.source, job.wanted);
    return 'mirrored';
  }

  async #fromOrigin(job: Job, before: ReadonlySet<ContentHash>): Promise<Replica | PullOutcome | undefined> {
    const { peers, streams } = this.#deps;
    const { key16 } = job.wanted;
    const now = this.#context.clock.monotonic();
    if ((this.#leases.get(key16) ?? 0) > now) return 'left-to-others';
    const entry = this.#deps.keyOf(key16) ?? (await this.#resolve(key16));
    const site = entry && this.#deps.site(entry.site);
    if (!entry || !site) return 'name-unknown';
    const candidates = [peers.self, ...peers.connected()].filter((pop) => {
      const name = pop === peers.self ? this.#deps.name : this.#deps.nameOf(pop);
      return name !== undefined && siteAllows(site, name);
    });
    const delay = originDelayMs(key16, this.#deps.fenceOf(key16), peers.self, candidates);
    if (delay === undefined) return 'left-to-others';
    // The wait counts from the first time that this PoP wanted it: later plans do not begin it anew.
    const due = this.#dueAt.get(key16) ?? now + delay;
    this.#dueAt.delete(key16);
    this.#dueAt.set(key16, due);
    dropOldest(this.#dueAt, LEASES_MAX);
    if (now < due) {
      this.#waiting.set(key16, { ...job, notBefore: due });
      return 'left-to-others';
    }
    this.#dueAt.delete(key16);
    const lease = encodeLease(key16);
    for (const pop of candidates) {
      if (pop !== peers.self)
        void streams.call(pop, 'lease', lease, { deadlineMs: 2_000 }).catch(() => undefined);
    }
    // Asked whether what is here still holds, the origin usually sends no bytes.
    const size = before.size > 0 ? 0 : job.wanted.size;
    if (size > 0) await this.#pace(size, undefined);
    const replica = await this.#deps.fetch(entry.key, key16, site, job.source);
    // What was announced has no size before it is here: what comes next makes up for it.
    if (replica && !before.has(replica.content) && replica.size > size)
      await this.#pace(replica.size - size, undefined);
    return replica;
  }

  async #resolve(key16: Key16) {
    const { peers, streams } = this.#deps;
    for (const pop of peers.connected().slice(0, NAME_ASKS)) {
      const reply = await streams
        .call(pop, 'name', encodeNameRequest([key16]), { deadlineMs: 2_000 })
        .then(decodeNameReply)
        .catch(() => []);
      for (const [answered, key] of reply) {
        const entry = answered === key16 ? this.#deps.learnKey(key16, key) : undefined;
        if (entry) return entry;
      }
    }
    return undefined;
  }

  async #heardLease(from: PopId, key16: Key16): Promise<Uint8Array> {
    if (this.#deps.nameOf(from) !== undefined) this.#context.self.tell({ type: 'leased', key16 });
    return encodeLease(key16);
  }

  async #pace(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const wait = this.#bandwidth.take(bytes, this.#context.clock.monotonic());
      if (wait === 0 || signal?.aborted) return;
      await new Promise<void>((resolve) => {
        this.#context.clock.after(wait, resolve);
      });
    }
  }

  #finished(job: Job, outcome: PullOutcome): void {
    const { key16, size, value } = job.wanted;
    this.#active.delete(key16);
    this.#outcomes.set(key16, outcome);
    dropOldest(this.#outcomes, OUTCOMES_MAX);
    this.#context.metrics.count('mirror_outcomes_total', { outcome, source: job.source });
    if (outcome === 'renewed') {
      this.#retryAt.delete(key16);
      return;
    }
    if (outcome === 'mirrored') {
      this.#totals[job.source === 'plan' ? 'mirrored' : 'speculative'] += 1;
      this.#totals.bytes += size;
      this.#retryAt.delete(key16);
      return;
    }
    this.#deps.tag(key16, 'none', value);
    if (outcome === 'left-to-others') return;
    this.#totals.failed += 1;
    this.#retryAt.set(key16, this.#context.clock.monotonic() + Math.max(1_000, RETRY_MS / this.#deps.speed));
    dropOldest(this.#retryAt, OUTCOMES_MAX);
    this.#deps.events.emit('mirror-failed', { key16, outcome, source: job.source });
  }

  #status(): MirrorStatus {
    return {
      waiting: this.#waiting.size,
      active: this.#active.size,
      ...this.#totals,
      outcomes: Object.fromEntries(this.#outcomes),
    };
  }
}

/** A report of a burst is worth more the sooner it is followed; else what is worth more per byte goes first. */
const goesBefore = (a: Job, b: Job): boolean =>
  a.source === b.source ? a.wanted.value > b.wanted.value : a.source === 'speculative';
