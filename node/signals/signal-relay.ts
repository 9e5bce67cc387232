import type { Signal } from '../../forecasting/signals.ts';
import { codeOf } from '../../protocol/errors.ts';
import type { Key16, PopId, RegionId } from '../../protocol/ids.ts';
import {
  decodeSignals,
  encodeSignals,
  SIGNAL_WAYS,
  SIGNALS_MAX,
  type SignalWay,
  type ToldSignal,
} from '../../protocol/messages/signal.ts';
import type { Clock, DemandClock, Gossip, Metrics, Verdict } from '../../protocol/ports.ts';

export interface SignalRelayDeps {
  readonly gossip: Gossip;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly metrics: Metrics;
  /** What the author of a message is called. */
  nameOf(pop: PopId): string;
  regions(): readonly RegionId[];
  horizonMs(): number;
  /** Whether a resource may be spoken of to other PoPs. */
  shareable(key16: Key16): boolean;
  deliver(signals: readonly Signal[]): void;
}

/** Signals of one author in a minute; what comes beyond is left out. */
const PER_MINUTE = 600;
const MINUTE_MS = 60_000;
/** Authors whose rate is kept; a cluster has fewer. */
const AUTHORS_MAX = 1_024;
/** How far ahead a signal may be dated, demand ms, for clocks differ. */
const AHEAD_MS = 300_000;

/**
 * Tells the other PoPs what this one was told by webhook or RPC: a forecast that one PoP alone makes counts for
 * nothing in a decision. What comes from feeds that every PoP can listen to itself is not repeated. Each author's
 * word has a gate of its own (`webhook@fra1`), and a rate.
 */
export class SignalRelay {
  readonly #deps: SignalRelayDeps;
  readonly #rates = new Map<PopId, { tokens: number; at: number }>();

  constructor(deps: SignalRelayDeps) {
    this.#deps = deps;
    deps.gossip.subscribe('signal', (author, bytes) => this.#heard(author, bytes));
  }

  /** Passes on those of these that were given to this PoP. Never fails. */
  async tell(signals: readonly Signal[]): Promise<void> {
    const { gossip, metrics, shareable } = this.#deps;
    const told = signals.flatMap(({ source, key16, strength, at, region }): ToldSignal[] => {
      const way = SIGNAL_WAYS.find((one) => one === source);
      return way === undefined || !shareable(key16) ? [] : [{ way, key16, strength, at, region }];
    });
    for (let from = 0; from < told.length; from += SIGNALS_MAX) {
      await gossip
        .publish('signal', encodeSignals(told.slice(from, from + SIGNALS_MAX)))
        .catch((error: unknown) =>
          metrics.count('gossip_failures_total', { topic: 'signal', code: codeOf(error) }),
        );
    }
  }

  #heard(author: PopId, bytes: Uint8Array): Verdict {
    const { demand, horizonMs, regions, nameOf, metrics, deliver } = this.#deps;
    let told: ToldSignal[];
    try {
      told = decodeSignals(bytes);
    } catch (error) {
      return { verdict: 'reject', code: codeOf(error, 'WIRE_SCHEMA') };
    }
    const now = demand.now();
    const name = nameOf(author);
    const source = (way: SignalWay) => `${way}@${name}`;
    const fresh = told.filter(
      ({ at, region }) =>
        at > now - horizonMs() &&
        at <= now + AHEAD_MS &&
        (region === undefined || regions().includes(region)),
    );
    const taken = fresh.slice(0, this.#allowed(author, fresh.length));
    metrics.count('signals_heard_total', { outcome: 'taken' }, taken.length);
    metrics.count('signals_heard_total', { outcome: 'refused' }, told.length - taken.length);
    if (taken.length > 0) {
      deliver(
        taken.map(({ way, key16, strength, at, region }) => ({
          ...{ source: source(way), key16, strength, at },
          ...(region !== undefined && { region }),
        })),
      );
    }
    return { verdict: 'accept' };
  }

  /** How many of an author's signals there is room for now. */
  #allowed(author: PopId, wanted: number): number {
    const now = this.#deps.clock.monotonic();
    const known = this.#rates.get(author);
    if (known === undefined && this.#rates.size >= AUTHORS_MAX) return 0;
    const { tokens, at } = known ?? { tokens: PER_MINUTE, at: now };
    const filled = Math.min(PER_MINUTE, tokens + ((now - at) / MINUTE_MS) * PER_MINUTE);
    const allowed = Math.min(wanted, Math.floor(filled));
    this.#rates.set(author, { tokens: filled - allowed, at: now });
    return allowed;
  }
}
