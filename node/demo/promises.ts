import { AWAY_HEIGHTS_MIN } from './decision-report.ts';
import type { Findings, Report } from './report.ts';

/** One thing that the demo promises, and whether it held. */
export interface HeldPromise {
  readonly name: string;
  readonly held: boolean;
  /** The figures behind the verdict. */
  readonly why: string;
}

/** On the null load, mirrored bytes stay below this share of the bytes served. */
const NULL_MIRRORED_SHARE = 0.05;
/** On a log, at most this share of the mirrored bytes may go unused. */
const LOG_UNUSED_SHARE = 0.6;

type Facts = Omit<Report, 'promises' | 'held'>;
type Judge = (facts: Facts, findings: Findings) => HeldPromise;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

const ALWAYS: readonly Judge[] = [
  ({ requests, failedRequests }) => ({
    name: 'every request was answered',
    held: requests > 0 && failedRequests === 0,
    why: `${requests} requests, ${failedRequests} without an answer or with a server error`,
  }),
  ({ requests }, { wrongAnswers }) => ({
    name: 'every answer had the bytes of the origin for its version',
    held: requests > 0 && wrongAnswers.length === 0,
    why: wrongAnswers.length === 0 ? 'all hashes agree' : wrongAnswers.slice(0, 3).join('; '),
  }),
  ({ purges }) => ({
    name: 'every purge was acknowledged by every PoP, and none served the old bytes after it',
    held: purges.length > 0 && purges.every((purge) => purge.acknowledged && purge.fresh === purge.asked),
    why: purges
      .map(
        (purge) =>
          `${purge.kind}: ${purge.acknowledged ? `all in ${purge.ms.toFixed(0)} ms` : `not by ${purge.missing.join(', ')}`}, ${purge.fresh} of ${purge.asked} answers new`,
      )
      .join('; '),
  }),
  ({ restart }) => ({
    name: 'the killed PoP caught up: purges, versions and history, and no purged bytes from it',
    held: restart?.caughtUp === true && restart.staleAnswers === 0 && restart.restored,
    why:
      restart === null
        ? 'not tried'
        : `back after ${restart.readyMs.toFixed(0)} ms, ${restart.caughtUp ? `caught up ${restart.caughtUpMs.toFixed(0)} ms later` : 'not caught up'}, ${restart.staleAnswers} purged answers of ${restart.askedAfter}, ${restart.seriesBefore} series and ${restart.replicasBefore} replicas before, ${restart.seriesAfter} and ${restart.replicasAfter} after; ${restart.servedMeanwhile} of ${restart.askedMeanwhile} requests answered while it was down`,
  }),
  (_facts, { crashes, pops }) => ({
    name: 'no daemon ended on its own',
    held: crashes.length === 0,
    why: crashes.length === 0 ? `${pops.length} daemons ran to the end` : crashes.join('; '),
  }),
  (_facts, { exits, pops }) => ({
    name: 'every daemon ended with 0 on SIGTERM',
    held: Object.keys(exits).length === pops.length && Object.values(exits).every((code) => code === 0),
    why: Object.entries(exits)
      .map(([pop, code]) => `${pop}: ${code ?? 'killed'}`)
      .join(', '),
  }),
];

/** What is promised where the PoPs decide together. */
const AGREED: readonly Judge[] = [
  ({ decisionsIdentical, decisionsNote }) => ({
    name: 'decisions: all PoPs decided the same header, state and plan at every height',
    held: decisionsIdentical === true,
    why: decisionsNote,
  }),
  ({ decisions }, { pops }) => {
    const away = decisions?.away;
    return {
      name: 'a PoP that stood still for many heights had the newest decision again, and decided on',
      held: away
        ? away.awayHeights >= AWAY_HEIGHTS_MIN && away.caughtUpMs !== null && away.rejoined
        : pops.length < 3,
      why: away
        ? `${away.pop}: ${away.awayHeights} heights away, ${away.caughtUpMs === null ? 'never current again' : `current again in ${away.caughtUpMs.toFixed(0)} ms`}, ${away.rejoined ? 'decided on with the others' : 'decided no further height'}`
        : 'not tried: the others would be too few to decide',
    };
  },
  ({ decisions }, { pops }) => {
    const wild = decisions?.wild;
    return {
      name: 'a PoP that proposed nonsense throughout moved nothing beyond what others proposed',
      held: wild
        ? wild.heights > 0 && wild.wild > 0 && wild.followed === 0 && wild.inventedDecided === 0
        : pops.length < 4,
      why: wild
        ? `${wild.pop}: in ${wild.heights} heights ${wild.wild} of its ${wild.values} forecasts exceeded all others tenfold; ${wild.followed} decided values exceed what others proposed; ${wild.inventedDecided} of ${wild.invented} invented keys were decided; its forecasts count ${wild.weight ?? 'nothing known'}, the others' ${wild.leastOtherWeight ?? 'nothing known'} at least`
        : 'not tried: so few PoPs bear no liar',
    };
  },
];

const mirroredPairs: Judge = ({ mirroredBeforeFirstRequest, pairsRequested }) => ({
  name: 'content was mirrored before it was asked for',
  held: mirroredBeforeFirstRequest > 0,
  why: `${mirroredBeforeFirstRequest} of ${pairsRequested} pairs`,
});

const hitRatio: Judge = (facts) => ({
  name: 'the hit ratio is above that of caches that only react',
  held: facts.hitRatio > facts.reactiveHitRatio,
  why: `${percent(facts.hitRatio)} against ${percent(facts.reactiveHitRatio)}`,
});

const nullLoad: Judge = ({ mirroredBytes, bytesServed }) => ({
  name: 'where there is nothing to learn, next to nothing is mirrored',
  held: bytesServed > 0 && mirroredBytes < NULL_MIRRORED_SHARE * bytesServed,
  why: `${percent(share(mirroredBytes, bytesServed))} of the bytes served, promised below ${percent(NULL_MIRRORED_SHARE)}`,
});

const threshold: Judge = ({ mirroredBeforeFirstRequest, baselines }) => ({
  name: 'more pairs than the best plain rule "mirror everywhere after k requests" at equal bytes',
  held: mirroredBeforeFirstRequest > baselines.threshold.pairs,
  why: `${mirroredBeforeFirstRequest} against ${baselines.threshold.pairs} (k = ${baselines.threshold.k}); with a size limit ${baselines.thresholdSizeLimited.pairs}`,
});

const unused: Judge = ({ unusedMirroredBytes, mirroredBytes }) => ({
  name: 'most of what was mirrored was asked for',
  held: mirroredBytes > 0 && unusedMirroredBytes <= LOG_UNUSED_SHARE * mirroredBytes,
  why: `${percent(share(unusedMirroredBytes, mirroredBytes))} unused, promised at most ${percent(LOG_UNUSED_SHARE)}`,
});

const BY_LOAD: Readonly<Record<string, readonly Judge[]>> = {
  zipf: [mirroredPairs, hitRatio],
  null: [nullLoad],
  log: [mirroredPairs, hitRatio, threshold, unused],
};

/** What the demo promises for the load of this run, judged. */
export function promises(facts: Facts, findings: Findings): readonly HeldPromise[] {
  const agreed = facts.planning === 'agreed' ? AGREED : [];
  return [...(BY_LOAD[facts.load] ?? []), ...agreed, ...ALWAYS].map((judge) => judge(facts, findings));
}
