import type { Key16, PopId, RegionId } from '../protocol/ids.ts';
import type { Placement, Plan } from '../protocol/placement.ts';

/** One replica of this PoP's share of the plan. */
export interface Share {
  readonly key16: Key16;
  readonly size: number;
  readonly value: number;
  readonly tier: Placement['tier'];
  /** The demand that it is for. */
  readonly region: RegionId;
  /** `mirror`: to be pulled if it is not here. `keep`: clients asked for it; worth keeping, never pulled. */
  readonly purpose: Placement['purpose'];
  /** In words, for `explain`. */
  readonly reason: string;
}

/** What a plan asks of one PoP, by value, greatest first. */
export function shareOf(plan: Plan, pop: PopId): Share[] {
  const share: Share[] = [];
  for (const placement of plan.placements) {
    if (placement.pop !== pop) continue;
    const { key16, size, value, tier, purpose, chance, expected, region } = placement;
    const reason =
      purpose === 'mirror'
        ? `chance ${(chance / 10).toFixed(1)} % of a first request from ${region} within the horizon`
        : `${(expected / 1000).toFixed(1)} requests expected from ${region} within the horizon`;
    share.push({ key16, size, value, tier, region, purpose, reason });
  }
  return share;
}
