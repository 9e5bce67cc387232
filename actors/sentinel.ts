import type { BurstDetector } from '../forecasting/bursts.ts';
import { codeOf } from '../protocol/errors.ts';
import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import { decodeRising, encodeRising } from '../protocol/messages/rising.ts';
import type { DemandClock, Events, Gossip, Peers, Verdict } from '../protocol/ports.ts';
import type { Replica } from '../protocol/replica.ts';
import { type Rising, Speculation } from '../protocol/rising.ts';
import type { Capacities } from '../protocol/summary.ts';
import type { Observation } from '../protocol/window.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { WantedReplica } from './mirror.ts';
import { dropOldest } from './oldest.ts';

export type SentinelMessage =
  | { readonly type: 'seen'; readonly batch: readonly Observation[] }
  | { readonly type: 'second' }
  | { readonly type: 'heard'; readonly author: PopId; readonly reports: readonly Rising[] }
  /** A plan has been made: what it lists is no longer speculative, what is overdue is released. */
  | { readonly type: 'planned'; readonly epoch: number; readonly listed: ReadonlySet<Key16> }
  | { readonly type: 'status'; readonly reply: Reply<SentinelStatus> };

export interface SentinelStatus {
  readonly reported: number;
  readonly heard: number;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly speculativeBytes: number;
}

export interface SentinelDeps {
  readonly bursts: BurstDetector;
  readonly gossip: Gossip;
  readonly peers: Peers;
  readonly events: Events;
  readonly demand: DemandClock;
  capacities(): Capacities;
  /** What is held of a resource and may be served. */
  held(key16: Key16): Replica | undefined;
  speculate(wanted: WantedReplica, holder: PopId): void;
  /** Gives up a speculative replica that nobody asked for. */
  release(key16: Key16): void;
}

const SECOND_MS = 1_000;
/** (resource, region) pairs counted within a second; beyond it the second has no hot set worth the name. */
const PAIRS_MAX = 50_000;
/** A burst is told again while it lasts, but not more often than this, ms: a PoP may have joined since. */
const REPEAT_MS = 10_000;
const REPORTED_MAX = 4_096;
/** What is expected of a burst for the horizon, in seconds of its present rate: bursts that last, last minutes. */
const EXPECTED_SECONDS = 60;

const WEIGHT_FULL = 1_000;
/** A reporter that was always wrong may still win its weight back. */
const WEIGHT_LEAST = 50;

interface Hot {
  readonly key16: Key16;
  readonly region: RegionId;
  count: number;
}

/** The fast path: one-second counts of the hot set, RISING reports, and pulls on the reports of others. */
export function sentinelSpec(deps: SentinelDeps): ActorSpec<SentinelMessage> {
  return {
    name: 'sentinel',
    mailbox: { capacity: 1_024, overflow: 'drop-oldest' },
    create: (context) => new Sentinel(deps, context),
  };
}

class Sentinel implements Behaviour<SentinelMessage> {
  readonly #deps: SentinelDeps;
  readonly #context: ActorContext<SentinelMessage>;
  readonly #speculation = new Speculation();
  readonly #reportedAt = new Map<Key16, number>();
  readonly #totals = { reported: 0, heard: 0 };
  readonly #verdicts: Record<string, number> = {};
  /** Weight of each reporter by what its reports were worth here, `WEIGHT_LEAST` … `WEIGHT_FULL`. */
  readonly #weights = new Map<PopId, number>();
  #countedAt: number;
  #hot = new Map<string, Hot>();
  #epoch = 0;

  constructor(deps: SentinelDeps, context: ActorContext<SentinelMessage>) {
    this.#deps = deps;
    this.#context = context;
    this.#countedAt = deps.demand.now();
    deps.gossip.subscribe('rising', (author, bytes) => this.#receive(author, bytes));
    context.every(SECOND_MS, { type: 'second' });
  }

  receive(message: SentinelMessage): void | Promise<void> {
    switch (message.type) {
      case 'seen':
        for (const { key16, region, shareable, query } of message.batch) {
          if (shareable && query !== true) this.#count(key16, region);
          this.#used(key16);
        }
        return;
      case 'second':
        return this.#second();
      case 'heard':
        for (const report of message.reports) this.#judge(message.author, report);
        return;
      case 'planned':
        this.#planned(message.epoch, message.listed);
        return;
      case 'status':
        message.reply.ok({
          ...this.#totals,
          verdicts: { ...this.#verdicts },
          speculativeBytes: this.#speculation.bytes,
        });
    }
  }

  #count(key16: Key16, region: RegionId): void {
    const id = key16 + region;
    const hot = this.#hot.get(id);
    if (hot) hot.count += 1;
    else if (this.#hot.size < PAIRS_MAX) this.#hot.set(id, { key16, region, count: 1 });
  }

  async #second(): Promise<void> {
    const now = this.#context.clock.monotonic();
    // Rates are of demand; only what is said and pulled because of them is bound to real time.
    const since = this.#countedAt;
    const at = this.#deps.demand.now();
    this.#countedAt = at;
    const hot = this.#hot;
    this.#hot = new Map();
    const reports: Rising[] = [];
    for (const [id, { key16, region, count }] of hot) {
      const turn = this.#deps.bursts.step(id, at, count, undefined, at - since);
      if (turn !== 'rise' && !this.#deps.bursts.active(id)) continue;
      if (now - (this.#reportedAt.get(key16) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) continue;
      const replica = this.#deps.held(key16);
      // Nothing to offer yet: the burst is told once the content is here.
      if (!replica) continue;
      this.#reportedAt.delete(key16);
      this.#reportedAt.set(key16, now);
      const { content, fence, size } = replica;
      const expected = Math.min(0x7fff_ffff, count * EXPECTED_SECONDS * 1000);
      reports.push({ key16, content, fence, size, region, count, expected });
      this.#deps.events.emit('rising', { key16, region, count, reporter: this.#deps.peers.self });
    }
    dropOldest(this.#reportedAt, REPORTED_MAX);
    if (reports.length === 0) return;
    this.#totals.reported += reports.length;
    await this.#deps.gossip.publish('rising', encodeRising(reports)).catch((error: unknown) => {
      this.#context.metrics.count('gossip_failures_total', { topic: 'rising', code: codeOf(error) });
    });
  }

  #receive(author: PopId, bytes: Uint8Array): Verdict {
    try {
      this.#context.self.tell({ type: 'heard', author, reports: decodeRising(bytes) });
      return { verdict: 'accept' };
    } catch (error) {
      return { verdict: 'reject', code: codeOf(error, 'WIRE_SCHEMA') };
    }
  }

  #judge(author: PopId, report: Rising): void {
    const { fillKiBps, storageBudgetMiB, state } = this.#deps.capacities();
    if (state !== 'up') return;
    this.#totals.heard += 1;
    const verdict = this.#speculation.judge(report, author, {
      now: this.#context.clock.monotonic(),
      epoch: this.#epoch,
      fillKiBps,
      storageBudgetMiB,
      weight: this.#weights.get(author) ?? WEIGHT_FULL,
      pops: this.#deps.peers.connected().length + 1,
      held: this.#deps.held(report.key16) !== undefined,
    });
    this.#verdicts[verdict] = (this.#verdicts[verdict] ?? 0) + 1;
    this.#context.metrics.count('rising_verdicts_total', { verdict });
    if (verdict !== 'pull') return;
    const value = report.expected / Math.max(1, report.size);
    this.#deps.speculate({ key16: report.key16, size: report.size, value, tier: 'memory' }, author);
  }

  /** A client asked for it: what was held on report alone has been worth it. */
  #used(key16: Key16): void {
    const reporter = this.#speculation.confirmed(key16);
    if (reporter === undefined) return;
    const weight = this.#weights.get(reporter) ?? WEIGHT_FULL;
    this.#weights.set(reporter, Math.min(WEIGHT_FULL, weight + ((WEIGHT_FULL - weight) >> 3) + 1));
    this.#context.metrics.count('speculative_used_total');
  }

  #planned(epoch: number, listed: ReadonlySet<Key16>): void {
    this.#epoch = epoch;
    for (const { key16, reporter } of this.#speculation.expired(epoch, (key) => listed.has(key))) {
      const weight = this.#weights.get(reporter) ?? WEIGHT_FULL;
      this.#weights.set(reporter, Math.max(WEIGHT_LEAST, weight - (weight >> 3)));
      this.#deps.release(key16);
    }
  }
}
