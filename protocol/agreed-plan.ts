import { createHash } from 'node:crypto';
import { DEFAULT_PARAMETERS } from './adjustment.ts';
import type { DecidedState, StateMember } from './decided-state.ts';
import type { VectorResource } from './demand-vector.ts';
import type { Plan, PlanPop, PlanResource, PlanState } from './placement.ts';
import { sizeOfClass } from './size-class.ts';
import { tuningKey } from './tuning.ts';

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

/** Lines that are hashed at once. */
const LINES = 1024;

/**
 * SHA-256 of a plan's placements, 64 hex digits: for people to compare; nothing agreed depends on it. Hashed is a line
 * each: `key16 pop region tier purpose value`.
 */
export function planHash({ placements }: Plan): string {
  const hash = createHash('sha256');
  let lines = '';
  for (const [i, { key16, pop, region, tier, purpose, value }] of placements.entries()) {
    lines += `${key16} ${pop} ${region} ${tier} ${purpose} ${value}\n`;
    if (i % LINES !== LINES - 1) continue;
    hash.update(lines);
    lines = '';
  }
  return hash.update(lines).digest('hex');
}
