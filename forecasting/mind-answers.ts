import type { HistoryRow } from '../protocol/history.ts';
import type { Key16, PopId, RegionId, SiteId } from '../protocol/ids.ts';
import type { Placement } from '../protocol/placement.ts';
import type { Capacities, Worth } from '../protocol/summary.ts';
import type { AccuracyChanges, AccuracyRow, AccuracyTally } from './accuracy.ts';
import type { DecidedResource, Standing } from './agreed-forecast.ts';
import type { DemandForecast } from './demand.ts';
import type { Explanation, Foresight, ForesightSnapshot, Member } from './foresight.ts';
import type { SignalRow } from './signals.ts';

/** What the actors tell the mind at the end of an epoch, and what it answers. */

/** The end of a window, as the planning needs it. */
export interface Beat {
  readonly epoch: number;
  /** Demand time, Unix ms. */
  readonly now: number;
  /** Real time, Unix ms. */
  readonly at: number;
  /** Demand time at which the window that begins began, the same at every PoP, and its length. */
  readonly window: number;
  readonly windowMs: number;
  readonly capacities: Capacities;
  readonly members: readonly Member[];
}

/** A plan that came into force. */
export interface PlanInForce {
  /** `own` where there is no decision to plan from. */
  readonly basis: 'agreed' | 'own';
  /** The epoch whose windows the own proposal was made of; undefined if nothing was proposed here. */
  readonly epoch: number | undefined;
  /** Of the decision, 0 for none. */
  readonly height: number;
  readonly hash: string;
  readonly placements: number;
  /** This PoP's share that is to be pulled, by value. */
  readonly wanted: readonly {
    readonly key16: Key16;
    readonly size: number;
    readonly value: number;
    readonly tier: Placement['tier'];
    readonly region: RegionId;
  }[];
  /** Per site and region the PoP that is to hold most of the expected requests. */
  readonly preferred: readonly (readonly [site: SiteId, region: RegionId, pop: PopId])[];
  /** The decision was made under a charter that is not here. */
  readonly charterDiffers: boolean;
}

/** What an epoch came to before its decision. */
export interface Prepared {
  readonly resources: number;
  readonly forecasts: number;
  readonly trust: number;
  /** For this PoP's next summary. */
  readonly worth: Worth;
  /** The own plan, where there is no decision to plan from. */
  readonly plan: PlanInForce | undefined;
}

/** What was learned, as plain data. */
export interface Learned extends ForesightSnapshot {
  /** Of the sources of signals. */
  readonly signals: unknown;
}

/** What the database holds of a mind. */
export interface Kept {
  readonly rows: readonly HistoryRow[];
  readonly windows: readonly [PopId, number, number][];
  readonly accuracy: readonly AccuracyTally[];
  readonly learned: unknown;
}

/** Rows to be written; the learned state only if it was asked for. */
export interface Changes {
  readonly rows: readonly HistoryRow[];
  readonly gone: readonly Key16[];
  readonly windows: ReturnType<Foresight['history']['windows']>;
  readonly accuracy: AccuracyChanges;
  readonly learned: Learned | undefined;
}

export interface MindStatus {
  readonly resources: number;
  readonly series: number;
  /** Memory of the history, about. */
  readonly historyBytes: number;
  readonly parameters: Foresight['parameters'];
  readonly skill: Foresight['skill'];
  readonly mirrors: Foresight['mirrors'];
  readonly outcome: Foresight['outcome'];
  readonly forecastAccuracy: readonly AccuracyRow[];
  /** What the sources of signals have been worth. */
  readonly signals: readonly SignalRow[];
  /** Undefined where there are no founders to agree with. */
  readonly agreement: Standing | undefined;
}

export interface MindExplanation {
  readonly explanation: Explanation;
  readonly forecasts: readonly (DemandForecast & {
    readonly region: RegionId;
    readonly recent: readonly number[];
  })[];
  readonly decided: DecidedResource | undefined;
}
