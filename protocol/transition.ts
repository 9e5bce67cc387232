import type { Outcome } from './adjustment.ts';
import { aggregate, agreedReading, type Voice } from './aggregation.ts';
import { ERA_HEIGHTS } from './committee.ts';
import {
  committeesOf,
  type DecidedState,
  RULES_KNOWN,
  type StateMember,
  turnAfter,
} from './decided-state.ts';
import { moveVector } from './demand-vector.ts';
import { PresageError } from './errors.ts';
import { scaled } from './exact.ts';
import type { PopId } from './ids.ts';
import { type Cap, type Proposal, VALUE_MAX } from './proposal.ts';
import { quorumOf } from './quorum.ts';
import { applyOperations, type ClusterTrust } from './roster-operations.ts';
import {
  drawSample,
  isFresh,
  isTimely,
  nextSamples,
  reweigh,
  scoresOf,
  seenOf,
  type WindowSpan,
} from './scoring.ts';
import { isDue, type Lot, tune, tuningKey } from './tuning.ts';
import { turnsAfter } from './turns.ts';

/** Heights in a row at which all must know the next rules before they come into force. */
const RULES_HEIGHTS = 10;
/** No PoP pulls faster, KiB per second; keeps the plan's products exact. */
const FILL_MAX_KIBPS = 1 << 24;
/** A PoP's account of one height is believed up to what it can pull in so many epochs. */
const LOT_EPOCHS = 20;

/** A proposal that counts; undefined stands for an empty body, which only shows that its PoP lives. */
export interface IncludedProposal {
  readonly slot: number;
  readonly proposal: Proposal | undefined;
}

interface MemberVoice extends Voice {
  readonly pop: PopId;
}

/**
 * The state after a height, from the one before and the proposals that were decided to count. Pure, of integers
 * alone, and independent of the order of `included`: every PoP gets the same bytes. What operations change in
 * roster, charter or rules holds from the next height on.
 *
 * @param chain hash of the header before, 64 hex digits
 */
export function transition(
  previous: DecidedState,
  chain: string,
  included: readonly IncludedProposal[],
  trust: ClusterTrust,
): DecidedState {
  if (previous.rules.version > RULES_KNOWN.max || previous.rules.version < RULES_KNOWN.min) {
    throw new PresageError('WIRE_SCHEMA', `state: rules ${previous.rules.version} are not known here`);
  }
  const height = previous.height + 1;
  const bySlot = new Map(included.map((one) => [one.slot, one.proposal]));
  const heard: MemberVoice[] = previous.members.flatMap((member, slot) => {
    const proposal = bySlot.get(slot);
    return proposal === undefined ? [] : [{ slot, pop: member.pop, weight: member.weight, proposal }];
  });
  const { liars } = quorumOf(previous.members.length);
  const now = windowOf(heard, liars);
  // What was forecast for another time counts least; so nobody escapes being scored by being late.
  const voices = heard.map((voice) =>
    now === undefined || isTimely(voice.proposal, now) ? voice : { ...voice, weight: 1 },
  );
  const committees = committeesOf(previous);
  const agreed = aggregate(voices, committees);

  const [asked] = previous.samples;
  const seen = now !== undefined && isFresh(asked, now) ? seenOf(asked, agreed) : [];
  const scores = scoresOf(asked, seen);
  const spoken = new Map(voices.map((voice) => [voice.pop, voice.proposal]));
  const members = previous.members.map((member, slot): StateMember => {
    const proposal = spoken.get(member.pop);
    const score = scores.get(member.pop);
    const punished = member.penaltyUntil > height;
    return {
      ...member,
      missed: bySlot.has(slot) ? 0 : member.missed + 1,
      weight: punished ? 1 : score === undefined ? member.weight : reweigh(member.weight, score),
      cap: proposal === undefined ? member.cap : capped(proposal.cap, member),
      age: proposal === undefined ? member.age + 1 : 0,
    };
  });

  const tuningOf = new Map(previous.tunings.map((one) => [tuningKey(one.site, one.region), one]));
  // Where too few spoke, silence on a resource says nothing.
  const known = turnAfter(previous, committees);
  const turn = now === undefined ? { ...known, end: known.first } : known;
  const vector = moveVector(previous.vector, agreed, turn, (site, region, inTurn) => {
    const tuning = tuningOf.get(tuningKey(site, region));
    return inTurn ? isDue(tuning, previous.turns.cycle, turn.heights) : isDue(tuning, height);
  });
  const sites = new Set(vector.map(({ site }) => site));
  const lots = lotsOf(voices, members, previous.charter.epochMs).filter(({ site }) => sites.has(site));
  const clock = {
    at: Math.max(previous.clock.at, agreedReading(voices, liars, ({ at }) => at) ?? 0),
    window: Math.max(previous.clock.window, now?.window ?? 0),
    windowMs: now?.windowMs ?? previous.clock.windowMs,
  };
  const standing = applyOperations(
    { members, banned: previous.banned, charter: previous.charter, clock, height },
    voices.flatMap(({ proposal }) => proposal.operations),
    trust,
  );
  return {
    rules: rulesAfter(previous.rules, voices),
    height,
    seeds: (height - 1) % ERA_HEIGHTS === 0 ? [previous.seeds[1], chain] : previous.seeds,
    clock,
    vector,
    turns: now === undefined ? previous.turns : turnsAfter(previous.vector, previous.turns, turn),
    tunings: tune(previous.tunings, lots, seen),
    samples:
      now === undefined
        ? previous.samples
        : nextSamples(previous.samples, now, () => drawSample(voices, agreed, committees, chain, now)),
    ...standing,
  };
}

/** The window that most forecast; undefined where too few speak to tell. */
function windowOf(voices: readonly Voice[], liars: number): WindowSpan | undefined {
  const window = agreedReading(voices, liars, (proposal) => proposal.window);
  const windowMs = agreedReading(voices, liars, (proposal) => proposal.windowMs);
  return window === undefined || windowMs === undefined || windowMs < 1 ? undefined : { window, windowMs };
}

/** What a PoP says of itself, within its certificate; a ceiling of 0 is none. */
function capped(cap: Cap, { storageCeilingMiB, fillCeilingKiBps }: StateMember): Cap {
  const within = (value: number, ceiling: number) => (ceiling > 0 ? Math.min(value, ceiling) : value);
  return {
    ...cap,
    storageBudgetMiB: within(cap.storageBudgetMiB, storageCeilingMiB),
    fillKiBps: Math.min(FILL_MAX_KIBPS, within(cap.fillKiBps, fillCeilingKiBps)),
  };
}

/**
 * What proposers say that their mirrors came to. It cannot be checked; so it moves only the proposer's own region,
 * and counts at most as what the PoP could have pulled.
 */
function lotsOf(voices: readonly MemberVoice[], members: readonly StateMember[], epochMs: number): Lot[] {
  return voices.flatMap(({ slot, proposal }): Lot[] => {
    const member = members[slot]!;
    const most = Math.min(VALUE_MAX, scaled((member.cap?.fillKiBps ?? 0) * LOT_EPOCHS, epochMs, 1000));
    return proposal.uses.map(({ site, usedKiB, unusedKiB, promisedKiB }): Lot => {
      const used = Math.min(usedKiB, most);
      const unused = Math.min(unusedKiB, most);
      const promised = Math.min(promisedKiB, used + unused);
      const outcome: Outcome = {
        usedKiB: used,
        unusedKiB: unused,
        promisedKiB: promised,
        keptKiB: promised > 0 ? used : 0,
      };
      return { site, region: member.region, outcome };
    });
  });
}

/** The next rules come into force once everybody who is included has known them for long enough. */
function rulesAfter(
  { version, streak }: DecidedState['rules'],
  voices: readonly Voice[],
): DecidedState['rules'] {
  const next = version + 1;
  const all =
    voices.length > 0 && voices.every(({ proposal: p }) => p.rulesMin <= next && next <= p.rulesMax);
  if (!all) return { version, streak: 0 };
  return streak + 1 >= RULES_HEIGHTS ? { version: next, streak: 0 } : { version, streak: streak + 1 };
}
