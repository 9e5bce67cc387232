import type { FeedEvent } from './event-feed.ts';

/** What the PoPs' epochs took, and what they planned from. */
export interface EpochAccount {
  /** Series that all PoPs together forecast in one epoch, on average. */
  readonly seriesForecast: number;
  /** Share of the epochs, 0 … 1, whose plan followed from a decision. */
  readonly agreed: number;
  /** Real ms from the end of the window to the plan: the median over all epochs of all PoPs. */
  readonly planMs: number;
}

interface Told {
  readonly forecasts: number;
  readonly agreed: boolean;
  readonly tookMs: number;
}

/** What every PoP told of its epochs, as their `epoch` events came in. */
export class EpochLog {
  readonly #told = new Map<string, Told[]>();

  /** Takes in an event; what is not an epoch is left out. */
  add(pop: string, { type, data }: FeedEvent): void {
    const { forecasts, basis, tookMs } = data;
    if (type !== 'epoch' || typeof forecasts !== 'number' || typeof tookMs !== 'number') return;
    const told = this.#told.get(pop) ?? [];
    this.#told.set(pop, told);
    told.push({ forecasts, agreed: basis === 'agreed', tookMs });
  }

  account(): EpochAccount {
    const all = [...this.#told.values()].flat();
    // An epoch that a PoP did not get to tell of is not an epoch in which it forecast nothing.
    const series = [...this.#told.values()].reduce(
      (sum, told) => sum + told.reduce((total, { forecasts }) => total + forecasts, 0) / told.length,
      0,
    );
    const times = all.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    return {
      seriesForecast: series,
      agreed: all.length === 0 ? 0 : all.filter(({ agreed }) => agreed).length / all.length,
      planMs: times[times.length >> 1] ?? 0,
    };
  }
}
