import type { ReactiveOutcome, RuleOutcome } from './baselines.ts';
import { bestSizeLimited, bestThreshold, reactive } from './baselines.ts';
import type { Observation } from './clients.ts';
import {
  areIdentical,
  type DecisionFindings,
  type DecisionReport,
  decisionNote,
  decisionReport,
} from './decision-report.ts';
import type { EpochAccount } from './epoch-log.ts';
import type { Load } from './load.ts';
import { type DuplicateAccount, type MirrorAccount, type MirrorLog, pairOf } from './mirror-log.ts';
import type { Lateness } from './player.ts';
import type { HeldPromise } from './promises.ts';
import type { PurgeTrial } from './purge-trial.ts';
import type { RestartTrial } from './restart-trial.ts';

/** Everything that a run of the demo brought to light, before it is judged. */
export interface Findings extends DecisionFindings {
  readonly load: Load;
  readonly seed: number;
  readonly speed: number;
  readonly epochMs: number;
  /** Addresses of the PoPs. */
  readonly pops: readonly string[];
  readonly observations: readonly Observation[];
  /** Real ms on the clock of `Observation` at which the load had ended. */
  readonly loadEndMs: number;
  readonly lateness: Lateness;
  readonly mirrors: MirrorLog;
  /** Answers whose bytes were not the origin's for the version they named. */
  readonly wrongAnswers: readonly string[];
  readonly originBytes: number;
  readonly originRequests: number;
  readonly originRepeats: OriginRepeats;
  readonly epochAccount: EpochAccount;
  /** Bytes that PoPs took from each other, mirrors and misses together; `null` if they could not say. */
  readonly peerBytes: number | null;
  readonly rising: RisingAccount;
  readonly epochs: number;
  readonly purges: readonly PurgeTrial[];
  readonly restart: RestartTrial | undefined;
  /** PoPs that ended without having been asked to. */
  readonly crashes: readonly string[];
  /** Exit codes on SIGTERM, by PoP; `null` where a signal ended it. */
  readonly exits: Readonly<Record<string, number | null>>;
  readonly realSeconds: number;
}

/** Bodies that the origin sent although it had sent the same version before. */
export interface OriginRepeats {
  readonly requests: number;
  readonly bytes: number;
}

/** The fast path: bursts that PoPs told each other of at once (RISING), and what the others made of it. */
export interface RisingAccount {
  readonly reports: number;
  /** PoPs that heard, by verdict: `pull`, or why not. */
  readonly verdicts: Readonly<Record<string, number>>;
}

/** Spread of real times, ms. */
export interface Spread {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** The report: the object that `presage demo --json` prints. Ratios are 0 … 1, bytes are bodies. */
export interface Report {
  readonly load: string;
  readonly description: string;
  readonly skippedLines: Readonly<Record<string, number>>;
  readonly seed: number;
  readonly speed: number;
  readonly pops: number;
  readonly epochMs: number;
  readonly demandHours: number;
  readonly realSeconds: number;
  readonly requests: number;
  readonly failedRequests: number;
  readonly pairsRequested: number;
  readonly mirroredBeforeFirstRequest: number;
  /** Pairs whose first request found a copy that the PoP held as the key's home, having fetched it for another PoP. */
  readonly homeBeforeFirstRequest: number;
  readonly hitRatio: number;
  readonly reactiveHitRatio: number;
  readonly bytesServed: number;
  readonly originBytes: number;
  readonly originRequests: number;
  readonly originRepeats: OriginRepeats;
  readonly peerBytes: number | null;
  readonly mirroredBytes: number;
  readonly unusedMirroredBytes: number;
  /** First requests that found a mirror, per million bytes mirrored; 0 where nothing was mirrored. */
  readonly pairsPerMirroredMB: number;
  readonly duplicateMirrors: DuplicateAccount;
  readonly rising: RisingAccount;
  readonly mirrored: Readonly<Record<'plan' | 'speculative' | 'all', MirrorAccount>>;
  readonly baselines: {
    readonly reactive: ReactiveOutcome;
    readonly threshold: RuleOutcome;
    readonly thresholdSizeLimited: RuleOutcome;
  };
  /** Real ms to the first byte. */
  readonly firstByteMs: { readonly all: Spread; readonly hits: Spread; readonly misses: Spread };
  readonly purgeMs: number | null;
  readonly purges: readonly PurgeTrial[];
  readonly restart: RestartTrial | null;
  readonly epochs: number;
  /** `own`: every PoP planned from its own forecasts. */
  readonly planning: 'agreed' | 'own';
  /** Share of the epochs, 0 … 1, whose plan followed from a decision. */
  readonly epochsAgreed: number;
  /** Series that all PoPs together forecast in one epoch. */
  readonly seriesForecastPerEpoch: number;
  /** Real ms from the end of a window to the plan, median. */
  readonly planMs: number;
  /** Whether all PoPs decided the same; `null` while they do not decide together, or too seldom to tell. */
  readonly decisionsIdentical: boolean | null;
  readonly decisionsNote: string;
  readonly decisions: DecisionReport | null;
  readonly wrongAnswers: number;
  readonly distortion: { readonly lateMeanMs: number; readonly lateMostMs: number; readonly note: string };
  readonly promises: readonly HeldPromise[];
  readonly held: boolean;
}

/** The report of a run; `promises` judges it and is part of it. Pure. */
export function report(
  findings: Findings,
  promises: (report: Omit<Report, 'promises' | 'held'>, findings: Findings) => readonly HeldPromise[],
): Report {
  const { load, observations } = findings;
  const answered = [...observations]
    .filter((observation) => observation.status !== 0)
    .sort((a, b) => a.sentMs - b.sentMs);
  const served = answered.map(({ path, pop }) => ({
    key: path,
    pop,
    size: load.files.get(path)?.size ?? 0,
  }));
  const mirrored = findings.mirrors.account(observations, findings.loadEndMs);
  const baseline = reactive(served);
  const hits = answered.filter(({ cacheStatus }) => cacheStatus.hit);
  const misses = answered.filter(({ cacheStatus }) => !cacheStatus.hit);
  const budget = mirrored.all.bytes;
  const facts: Omit<Report, 'promises' | 'held'> = {
    load: load.name,
    description: load.description,
    skippedLines: load.skipped,
    seed: findings.seed,
    speed: findings.speed,
    pops: findings.pops.length,
    epochMs: findings.epochMs,
    demandHours: round((load.end - load.start) / 3_600_000, 2),
    realSeconds: round(findings.realSeconds, 1),
    requests: observations.length,
    failedRequests: observations.filter(({ status }) => status === 0 || status >= 500).length,
    pairsRequested: baseline.pairs,
    mirroredBeforeFirstRequest: mirrored.all.beforeFirstRequest,
    homeBeforeFirstRequest: firstHits(answered) - mirrored.all.beforeFirstRequest,
    hitRatio: answered.length === 0 ? 0 : round(hits.length / answered.length, 4),
    reactiveHitRatio: round(baseline.hitRatio, 4),
    bytesServed: answered.reduce((sum, { bytes }) => sum + bytes, 0),
    originBytes: findings.originBytes,
    originRequests: findings.originRequests,
    originRepeats: findings.originRepeats,
    peerBytes: findings.peerBytes,
    mirroredBytes: mirrored.all.bytes,
    unusedMirroredBytes: mirrored.all.unusedBytes,
    pairsPerMirroredMB:
      mirrored.all.bytes === 0 ? 0 : round((1e6 * mirrored.all.beforeFirstRequest) / mirrored.all.bytes, 2),
    duplicateMirrors: findings.mirrors.duplicates(findings.loadEndMs, findings.epochMs),
    rising: findings.rising,
    mirrored,
    baselines: {
      reactive: { ...baseline, hitRatio: round(baseline.hitRatio, 4) },
      threshold: bestThreshold(served, findings.pops, budget),
      thresholdSizeLimited: bestSizeLimited(served, findings.pops, budget),
    },
    firstByteMs: { all: spread(answered), hits: spread(hits), misses: spread(misses) },
    purgeMs: slowestPurge(findings.purges),
    purges: findings.purges,
    restart: findings.restart ?? null,
    epochs: findings.epochs,
    planning: findings.planning,
    epochsAgreed: round(findings.epochAccount.agreed, 3),
    seriesForecastPerEpoch: round(findings.epochAccount.seriesForecast, 1),
    planMs: round(findings.epochAccount.planMs, 1),
    decisionsIdentical: areIdentical(findings),
    decisionsNote: decisionNote(findings),
    decisions: decisionReport(findings),
    wrongAnswers: findings.wrongAnswers.length,
    distortion: {
      lateMeanMs: round(findings.lateness.meanMs, 1),
      lateMostMs: round(findings.lateness.mostMs, 1),
      note: distortionNote(findings.speed, findings.epochMs),
    },
  };
  const judged = promises(facts, findings);
  return { ...facts, promises: judged, held: judged.every(({ held }) => held) };
}

/** Pairs whose first request was a hit; `answered` in the order in which it was sent. */
function firstHits(answered: readonly Observation[]): number {
  const pairs = new Set<string>();
  let hits = 0;
  for (const { pop, path, cacheStatus } of answered) {
    const pair = pairOf(pop, path);
    if (!pairs.has(pair) && cacheStatus.hit) hits += 1;
    pairs.add(pair);
  }
  return hits;
}

/** The slowest purge that was acknowledged by all; `null` if one was not, or none was tried. */
function slowestPurge(purges: readonly PurgeTrial[]): number | null {
  if (purges.length === 0 || purges.some(({ acknowledged }) => !acknowledged)) return null;
  return round(Math.max(...purges.map(({ ms }) => ms)), 1);
}

function distortionNote(speed: number, epochMs: number): string {
  const epoch = Math.round((speed * epochMs) / 1000);
  const latency = Math.round(speed * 0.1);
  return (
    `Demand runs ${speed} times as fast as transfers, gossip and the origin: an epoch spans ${epoch} s of demand, ` +
    `a fetch of 100 ms takes ${latency} s of demand. Presage therefore has ${speed} times less time to act than in ` +
    'production, and requests that would have come after a fetch come during it; the baselines act at once. ' +
    'The fast path looks for bursts within seconds of demand; those would need a load many times as dense as one ' +
    'machine can play at this speed, so that it has little or nothing to report here. ' +
    'Client, PoP and peer are on one machine: only the origin is far away.'
  );
}

/** Mean and percentiles (nearest rank) of the time to the first byte. */
function spread(observations: readonly Observation[]): Spread {
  const sorted = observations.map(({ firstByteMs }) => firstByteMs).sort((a, b) => a - b);
  const rank = (p: number) => round(sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? 0, 2);
  const mean = sorted.length === 0 ? 0 : sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length;
  return { mean: round(mean, 2), p50: rank(0.5), p95: rank(0.95), p99: rank(0.99) };
}

export function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
