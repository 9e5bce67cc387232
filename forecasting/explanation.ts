import type { Parameters } from '../protocol/adjustment.ts';
import type { PopId, RegionId } from '../protocol/ids.ts';
import type { Placement, PlanDemand, Skip } from '../protocol/placement.ts';

/** What this PoP knows of a resource and what its last plan made of it. */
export interface Explanation {
  readonly known: boolean;
  readonly size: number;
  readonly requests: number;
  readonly clients: number;
  readonly regions: readonly {
    readonly region: RegionId;
    readonly requests: number;
    readonly first: number;
    readonly last: number;
  }[];
  readonly pops: readonly { readonly pop: PopId; readonly first: number; readonly last: number }[];
  readonly demand: readonly PlanDemand[];
  readonly placements: readonly Placement[];
  readonly skips: readonly Skip[];
  /** For each region that has not asked: the features, and by what factor each moves the rate from the base. */
  readonly reasons: readonly {
    readonly region: RegionId;
    readonly base: number;
    readonly expected: number;
    readonly factors: readonly { readonly feature: string; readonly factor: number }[];
  }[];
  /** What the plan in force was tuned by for the resource's site, by region; empty for what is not known here. */
  readonly parameters: readonly { readonly region: RegionId; readonly parameters: Parameters }[];
  /** Whether the plan in force was made of what the cluster decided. */
  readonly agreed: boolean;
}
