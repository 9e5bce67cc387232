import { DEFAULT_PARAMETERS } from './adjustment.ts';
import { type DecidedState, type StateMember, sha256 } from './decided-state.ts';
import type { VectorResource } from './demand-vector.ts';
import { idBytes } from './ids.ts';
import type { Plan, PlanPop, PlanResource, PlanState } from './placement.ts';
import { sizeOfClass } from './size-class.ts';
import { tuningKey } from './tuning.ts';
import { encode } from './wire/codec.ts';

/** A PoP that was not included for so many heights takes no mirrors. */
const SILENT_HEIGHTS = 6;

/** What the plan is made of, of the decided state alone: every PoP plans alike. */
export function planStateOf(state: DecidedState): PlanState {
  return {
    pops: state.members.flatMap(popOf),
    resources: state.vector.map(resourceOf),
    parameters: DEFAULT_PARAMETERS,
    tuned: new Map(
      state.tunings.map(({ site, region, parameters }) => [tuningKey(site, region), parameters]),
    ),
  };
}

function popOf({ pop, name, region, cap, age }: StateMember): PlanPop[] {
  if (cap === undefined) return [];
  const { storageBudgetMiB, fillKiBps, load } = cap;
  const health = age > SILENT_HEIGHTS ? 'sick' : cap.state;
  // Free space swings as the plan fills it; the budget does not.
  const capacities = {
    storageBudgetMiB,
    storageFreeMiB: storageBudgetMiB,
    fillKiBps,
    load,
    state: health,
  } as const;
  return [{ id: pop, name, region, capacities }];
}

function resourceOf({ key16, site, sizeClass, cells }: VectorResource): PlanResource {
  const holders = cells.filter(({ holder }) => holder).map(({ region }) => region);
  return {
    key16,
    site,
    size: sizeOfClass(sizeClass),
    demand: cells
      .filter(({ expected, credit, held }) => credit > 0 || (held && expected > 0))
      .map(({ region, expected, chance, credit, held }) => ({ region, expected, chance, credit, held })),
    // Where holders have faded from the state, some PoP has the content all the same: none would make it dear.
    ...(holders.length > 0 && { holders }),
  };
}

/** SHA-256 of a plan's placements, 64 hex digits: for people to compare; nothing agreed depends on it. */
export function planHash({ placements }: Plan): string {
  return sha256(
    encode(
      placements.map(({ key16, pop, region, tier, purpose, value }) => [
        idBytes(key16),
        pop,
        region,
        tier === 'memory' ? 1 : 0,
        purpose === 'mirror' ? 1 : 0,
        value,
      ]),
    ),
  );
}
