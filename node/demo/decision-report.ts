import type { AbsenceTrial } from './absence-trial.ts';
import type { DecisionComparison } from './decision-log.ts';
import type { LieAccount } from './lie.ts';

/** What a run brought to light about the agreement. */
export interface DecisionFindings {
  /** Whether the PoPs decide together; else each plans from its own forecasts. */
  readonly planning: 'agreed' | 'own';
  readonly decisions: DecisionComparison;
  readonly absence: AbsenceTrial | undefined;
  /** The PoP that lied, if one did, and what it came to. */
  readonly lies: (LieAccount & { readonly pop: string }) | undefined;
  /** What the forecasts of each PoP counted for at the end of the load, 0 … 1, by name. */
  readonly weights: Readonly<Record<string, number>>;
}

/** The PoPs' decisions, held against each other. */
export interface DecisionReport extends DecisionComparison {
  /** Heights that the others decided while one PoP stood still; `null` if none did. */
  readonly awayHeights: number | null;
  /** Real ms from its going on until it had their newest decision; `null` if it never got there. */
  readonly caughtUpMs: number | null;
  readonly away: AbsenceTrial | null;
  /** One PoP proposed nonsense throughout; `null` where there are too few PoPs to bear a liar. */
  readonly wild: WildReport | null;
}

export interface WildReport extends LieAccount {
  readonly pop: string;
  /** What its forecasts counted for in the end, 0 … 1, and what those of the others did at least. */
  readonly weight: number | null;
  readonly leastOtherWeight: number | null;
}

/** Fewer shared heights prove nothing. */
const SHARED_HEIGHTS_MIN = 30;
/** What counts as away for many heights. */
export const AWAY_HEIGHTS_MIN = 20;

/** `null` while the PoPs do not decide together, or have shared too few heights to tell. */
export function areIdentical({ planning, decisions }: DecisionFindings): boolean | null {
  if (decisions.differing.length > 0) return false;
  return planning === 'own' || !areEnough(decisions) ? null : true;
}

/** Whether there are heights enough to tell, with their plans. */
export const areEnough = ({ sharedHeights, sharedPlans }: DecisionComparison): boolean =>
  Math.min(sharedHeights, sharedPlans) >= SHARED_HEIGHTS_MIN;

export function decisionReport(findings: DecisionFindings): DecisionReport | null {
  const { planning, decisions, absence, lies, weights } = findings;
  if (planning === 'own') return null;
  const others = Object.entries(weights).filter(([pop]) => pop !== lies?.pop);
  return {
    ...decisions,
    awayHeights: absence?.awayHeights ?? null,
    caughtUpMs: absence?.caughtUpMs ?? null,
    away: absence ?? null,
    wild: lies
      ? {
          ...lies,
          weight: weights[lies.pop] ?? null,
          leastOtherWeight: others.length === 0 ? null : Math.min(...others.map(([, weight]) => weight)),
        }
      : null,
  };
}

/** One sentence for people. */
export function decisionNote(findings: DecisionFindings): string {
  const { heights, sharedHeights, sharedPlans, differing } = findings.decisions;
  if (findings.planning === 'own') {
    return 'Each PoP planned from its own forecasts, as it was told to, so that there is nothing to compare.';
  }
  if (differing.length > 0) {
    const places = differing.map(({ height, part }) => `${part} of height ${height}`);
    return `The PoPs differ: ${places.slice(0, 5).join(', ')}.`;
  }
  if (!areEnough(findings.decisions)) {
    return (
      `Only ${sharedHeights} heights were told of by two PoPs or more, and the plans of ${sharedPlans}; ` +
      `${SHARED_HEIGHTS_MIN} are needed to tell.`
    );
  }
  return (
    `${heights} heights; header and state are the same in all ${sharedHeights} that two PoPs or more told of, ` +
    `and so is the plan in the ${sharedPlans} of which two or more had made it before the next height came.`
  );
}
