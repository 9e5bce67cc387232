import type { Outcome } from './adjustment.ts';
import { aggregate, agreedReading, type Voice } from './aggregation.ts';
import { ERA_HEIGHTS } from './committee.ts';
import { committeesOf, type DecidedState, RULES_KNOWN, type StateMember } from './decided-state.ts';
import { moveVector } from './demand-vector.ts';
import { PresageError } from './errors.ts';
import { scaled } from './exact.ts';
import type { PopId } from './ids.ts';
import { type Cap, type Proposal, VALUE_MAX } from './proposal.ts';
import { quorumOf } from './quorum.ts';
import { applyOperations, type ClusterTrust } from './roster-operations.ts';
import { drawSample, reweigh, scoresOf } from './scoring.ts';
import { isDue, type Lot, tune, tuningKey } from './tuning.ts';

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
  const voices: MemberVoice[] = previous.members.flatMap((member, slot) => {
    const proposal = bySlot.get(slot);
    return proposal === undefined ? [] : [{ slot, pop: member.pop, weight: member.weight, proposal }];
  });
  const { liars } = quorumOf(previous.members.length);
  const committees = committeesOf(previous);
  const agreed = aggregate(voices, committees);

  const [scored, newer] = previous.samples;
  const scores = scoresOf(scored, agreed);
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
  const vector = moveVector(previous.vector, agreed, (site, region) =>
    isDue(tuningOf.get(tuningKey(site, region)), height),
  );
  const sites = new Set(vector.map(({ site }) => site));
  const lots = lotsOf(voices, members, previous.charter.epochMs).filter(({ site }) => sites.has(site));
  const clock = {
    at: Math.max(previous.clock.at, agreedReading(voices, liars, ({ at }) => at) ?? 0),
    window: Math.max(previous.clock.window, agreedReading(voices, liars, ({ window }) => window) ?? 0),
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
    tunings: tune(previous.tunings, lots, scored, agreed),
    samples: [newer, drawSample(voices, agreed, committees, chain)],
    ...standing,
  };
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
