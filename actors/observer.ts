import { codeOf } from '../protocol/errors.ts';
import type { PopId } from '../protocol/ids.ts';
import { decodeSummary, encodeSummary } from '../protocol/messages/summary.ts';
import type { DemandClock, Gossip, Peers, Verdict } from '../protocol/ports.ts';
import { type Capacities, judgeSummary, type Summary, type Worth } from '../protocol/summary.ts';
import { DemandWindow, type Observation } from '../protocol/window.ts';
import type { Intake } from './intake.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';

export type ObserverMessage =
  | { readonly type: 'flush' }
  /** The epoch ends: the window is closed and shared. */
  | { readonly type: 'epoch' }
  | { readonly type: 'status'; readonly reply: Reply<ObserverStatus> };

export interface ObserverStatus {
  /** Since the start. */
  readonly requests: number;
  readonly windows: number;
  readonly summaryBytes: number;
  readonly heard: number;
}

export interface ObserverDeps {
  readonly intake: Intake;
  readonly gossip: Gossip;
  readonly peers: Peers;
  readonly demand: DemandClock;
  readonly epochMs: number;
  /** Number of the first window: above all that this PoP has sent before. */
  readonly sequence: number;
  capacities(): Capacities;
  /** What mirroring was worth here since the last call. */
  takeWorth(): Worth;
  /** Each batch of requests as they were seen here. */
  seen(batch: readonly Observation[]): void;
  /** Every summary accepted, the own one among them. */
  shared(summary: Summary): void;
  /** After the own window has been shared. */
  closed(epoch: number): void;
}

const FLUSH_MS = 100;

/** Makes windows of what the edge and the log feeds saw, shares them, and hears those of the others. */
export function observerSpec(deps: ObserverDeps): ActorSpec<ObserverMessage> {
  return {
    name: 'observer',
    mailbox: { capacity: 256, overflow: 'drop-oldest' },
    create: (context) => new Observer(deps, context),
  };
}

class Observer implements Behaviour<ObserverMessage> {
  readonly #deps: ObserverDeps;
  readonly #context: ActorContext<ObserverMessage>;
  readonly #window: DemandWindow;
  /** Newest window accepted by PoP; gossip repeats and reorders. */
  readonly #newest = new Map<PopId, { sequence: number; to: number }>();
  readonly #totals = { requests: 0, windows: 0, summaryBytes: 0, heard: 0 };

  constructor(deps: ObserverDeps, context: ActorContext<ObserverMessage>) {
    this.#deps = deps;
    this.#context = context;
    this.#window = new DemandWindow(deps.peers.self, deps.demand.now(), deps.sequence);
    deps.gossip.subscribe('summary', (author, bytes) => this.#heard(author, bytes));
    context.every(FLUSH_MS, { type: 'flush' });
    this.#scheduleEpoch();
  }

  receive(message: ObserverMessage): void | Promise<void> {
    switch (message.type) {
      case 'flush':
        this.#flush();
        return;
      case 'epoch':
        this.#scheduleEpoch();
        return this.#close();
      case 'status':
        message.reply.ok({ ...this.#totals });
    }
  }

  /** All PoPs end their windows at the same multiples of the epoch, as far as their clocks agree. */
  #scheduleEpoch(): void {
    const { epochMs } = this.#deps;
    const left = epochMs - (this.#context.clock.now() % epochMs);
    // A timer may fire a little early, and must not then fire again for the same beat.
    this.#context.schedule(left < epochMs / 10 ? left + epochMs : left, { type: 'epoch' });
  }

  #flush(): void {
    const batch = this.#deps.intake.take();
    if (batch.length === 0) return;
    for (const observation of batch) this.#window.observe(observation);
    this.#totals.requests += batch.length;
    this.#deps.seen(batch);
  }

  async #close(): Promise<void> {
    const epoch = Math.round(this.#context.clock.now() / this.#deps.epochMs);
    this.#flush();
    const { demand, gossip, peers, capacities, takeWorth } = this.#deps;
    const summary = this.#window.close(demand.now(), capacities(), takeWorth());
    const bytes = encodeSummary(summary, peers.connected().length + 1);
    this.#totals.windows += 1;
    this.#totals.summaryBytes += bytes.length;
    this.#context.metrics.count('summary_bytes_total', { direction: 'out' }, bytes.length);
    this.#deps.shared(summary);
    await gossip.publish('summary', bytes).catch((error: unknown) => {
      this.#context.metrics.count('gossip_failures_total', { topic: 'summary', code: codeOf(error) });
    });
    this.#deps.closed(epoch);
  }

  #heard(author: PopId, bytes: Uint8Array): Verdict {
    let summary: Summary;
    try {
      summary = decodeSummary(bytes);
    } catch (error) {
      return { verdict: 'reject', code: codeOf(error, 'WIRE_SCHEMA') };
    }
    const { demand } = this.#deps;
    const broken = judgeSummary(summary, author, this.#newest.get(author), demand.now(), demand.speed);
    // A summary that is late or ahead says more of clocks than of intent: it is left out, not held against anybody.
    if (broken) {
      const lie = broken === 'WIRE_ORIGIN' || broken === 'WIRE_SCHEMA';
      return { verdict: lie ? 'reject' : 'ignore', code: broken };
    }
    this.#newest.set(author, { sequence: summary.sequence, to: summary.to });
    this.#totals.heard += 1;
    this.#context.metrics.count('summary_bytes_total', { direction: 'in' }, bytes.length);
    this.#deps.shared(summary);
    return { verdict: 'accept' };
  }
}
