import { PresageError } from '../../protocol/errors.ts';
import type { Key16, PopId, RegionId } from '../../protocol/ids.ts';
import type { Placement } from '../../protocol/placement.ts';
import type { Daemon } from '../compose.ts';
import type {
  AccuracyResult,
  ForecastResult,
  IngestResult,
  Params,
  PlanResult,
  Result,
  TrendingResult,
} from '../rpc/methods.ts';
import { currentPlan, explanationOf, forecasterStatus, trends } from './questions.ts';
import { named, popName, resourceOf } from './resource.ts';

const MILLI = 1_000;
/** Skipped candidates shown beside a placement. */
const SKIPS_SHOWN = 8;

export async function trending(
  daemon: Daemon,
  { limit, region }: Params<'trending'>,
): Promise<TrendingResult> {
  const rising = await trends(daemon, limit, region as RegionId | undefined);
  return {
    resources: rising.map(({ key16, ...trend }) => ({
      ...named(daemon, key16),
      ...trend,
      noticedBy: 'minutes' as const,
      held: daemon.store.replicas.get(key16).length > 0,
    })),
  };
}

export async function forecast(
  daemon: Daemon,
  { resource, region }: Params<'forecast'>,
): Promise<ForecastResult> {
  const { key16 } = resourceOf(daemon, resource);
  const { explanation, forecasts, planned } = await explanationOf(daemon, key16);
  const { madeAt } = planned;
  const { horizonMs } = daemon.operator.charters.current();
  const established = forecasts.map((one) => ({
    region: one.region as string,
    model: one.model,
    class: one.class === 'burst' ? 'rising' : one.class === 'new' ? 'new' : 'established',
    start: madeAt,
    stepMs: horizonMs,
    mean: [one.mean / MILLI],
    lower: [0],
    upper: [one.upper / MILLI],
    recent: [...one.recent],
    error: null,
  }));
  const known = new Set(established.map((one) => one.region));
  // Where a region has not asked yet, the chance of a first request is what is forecast.
  const fresh = explanation.reasons
    .filter((one) => !known.has(one.region))
    .map((one) => ({
      region: one.region as string,
      model: 'arrivals',
      class: 'new',
      start: madeAt,
      stepMs: horizonMs,
      mean: [one.expected],
      lower: [0],
      upper: [Math.ceil(one.expected + 2 * Math.sqrt(one.expected))],
      recent: [],
      error: null,
    }));
  const regions = [...established, ...fresh]
    .filter((one) => region === undefined || one.region === region)
    .sort((a, b) => (b.mean[0] ?? 0) - (a.mean[0] ?? 0));
  return { ...named(daemon, key16), regions };
}

export async function plan(daemon: Daemon, { limit, pop }: Params<'plan'>): Promise<PlanResult> {
  const { epoch, madeAt, basis, plan: made } = await currentPlan(daemon);
  const wanted = made.placements.filter(
    (one) => pop === undefined || one.pop === pop || popName(daemon, one.pop) === pop,
  );
  const groups = new Map<Key16, Placement[]>();
  for (const placement of wanted)
    groups.set(placement.key16, [...(groups.get(placement.key16) ?? []), placement]);
  const bytes = [...groups.values()].reduce((sum, [first]) => sum + (first?.size ?? 0), 0);
  const placements = [...groups].slice(0, limit).map(([key16, targets]) => {
    const [best] = targets;
    const skips = made.skips.filter((skip) => skip.key16 === key16).slice(0, SKIPS_SHOWN);
    return {
      ...named(daemon, key16),
      expected: targets.reduce((sum, { expected }) => sum + expected, 0) / MILLI,
      bytes: best?.size ?? 0,
      tier: best?.tier ?? ('disk' as const),
      value: best?.value ?? 0,
      targets: [
        ...targets.map((one) => ({
          pop: one.pop as string,
          name: popName(daemon, one.pop),
          action: holds(daemon, one) ? ('held' as const) : ('pull' as const),
          code: null,
        })),
        ...skips.map((one) => ({
          pop: one.pop as string,
          name: popName(daemon, one.pop),
          action: 'skipped' as const,
          code: one.reason as string,
        })),
      ],
    };
  });
  return { epoch, state: basis, madeAt, resources: groups.size, bytes, placements };
}

function holds({ store, identity }: Daemon, { key16, pop, purpose }: Placement): boolean {
  if (pop === identity.self) return store.replicas.get(key16).length > 0;
  return (
    purpose === 'keep' || store.replicas.catalogue.peers.holders(key16).some((holder) => holder.pop === pop)
  );
}

export async function accuracy(daemon: Daemon, region?: string): Promise<AccuracyResult> {
  const { metrics } = daemon;
  const [{ mirrors, parameters, forecastAccuracy, signals, agreement }, speculative, used] =
    await Promise.all([
      forecasterStatus(daemon),
      metrics.value('mirror_outcomes_total', { outcome: 'mirrored', source: 'speculative' }),
      metrics.value('speculative_used_total'),
    ]);
  const judged = mirrors.used.bytes + mirrors.unused.bytes;
  const { self } = daemon.identity;
  const weightOf = (pop: PopId) => agreement?.members.find((one) => one.pop === pop)?.weight ?? MILLI;
  return {
    proposers: (agreement?.members ?? []).map(({ pop, missed }) => ({
      ...{ pop, name: popName(daemon, pop), weight: weightOf(pop) / MILLI, missed },
    })),
    tunings: (agreement?.tunings ?? [])
      .filter((one) => region === undefined || one.region === region)
      .map(({ site, region: tuned, parameters: set, replan, accuracy: rate, outcome }) => ({
        ...{ site, region: tuned, accuracy: rate / MILLI, replanHeights: replan / MILLI },
        ...{ threshold: set.threshold, safetyFactor: set.safety / MILLI, targets: set.targets },
        ...{ fillShare: set.fillShare / MILLI, wasteTarget: set.wasteTarget / MILLI },
        ...{ usedBytes: outcome.usedKiB * 1024, unusedBytes: outcome.unusedKiB * 1024 },
      })),
    forecasts: forecastAccuracy
      .filter((row) => region === undefined || row.region === region)
      .map((row) => ({
        ...row,
        steps: [...row.steps],
        proposer: popName(daemon, self),
        weight: weightOf(self) / MILLI,
      })),
    mirrored: {
      pairs: mirrors.used.count + mirrors.unused.count,
      usedPairs: mirrors.used.count,
      bytes: judged,
      usedBytes: mirrors.used.bytes,
      immatureBytes: mirrors.open.bytes,
      speculativePairs: speculative,
      speculativeUsedPairs: used,
    },
    ...{ signals: [...signals], network: networkOf(daemon) },
    safetyFactor: parameters.safety / MILLI,
    threshold: parameters.threshold,
  };
}

function networkOf({ feeds }: Daemon): AccuracyResult['network'] {
  const { state, trainedAt, trial, adopted, refused, failed } = feeds.network.status;
  return {
    ...{ state, adopted, refused, failed, trainedAt: trainedAt ?? null },
    triedOn: trial?.series ?? null,
    errorWithout: trial?.without ?? null,
    errorWith: trial?.with ?? null,
  };
}

/** A hint by RPC. Fails with what is wrong with its URL. */
export function signal({ feeds }: Daemon, { url, strength, at, region }: Params<'signal'>): Result<'signal'> {
  const { resource, verdict } = feeds.signals.tell({
    ...{ url, strength },
    ...(at !== undefined && { at }),
    ...(region !== undefined && { region }),
  });
  const taken = verdict === 'taken';
  return { key: resource.key, key16: resource.key16, taken, reason: taken ? null : verdict };
}

/** Longest wait for the announcement to be on disk, real ms. */
const ANNOUNCE_MS = 10_000;

export async function announce(daemon: Daemon, params: Params<'announce'>): Promise<Result<'announce'>> {
  const { key16, key, site } = resourceOf(daemon, params.url);
  if (key === undefined || site === undefined)
    throw new PresageError('RESOURCE_UNKNOWN', `${params.url}: its name is not known here`);
  if (
    params.region !== undefined &&
    !daemon.operator.charters.current().regions.includes(params.region as RegionId)
  ) {
    throw new PresageError('RPC_PARAMS', `the charter has no region ${params.region}`);
  }
  const announcement = {
    key16,
    at: params.at,
    expect: params.expect ?? 0,
    region: params.region as RegionId | undefined,
  };
  await daemon.actors.announcer.ask<void>(
    (reply) => ({ type: 'announce', own: { announcement, name: { key, site } }, reply }),
    ANNOUNCE_MS,
  );
  return { key, key16, at: params.at, stored: true };
}

export function ingest(daemon: Daemon, { host, observations }: Params<'ingest'>): IngestResult {
  const { logDemand, intake } = daemon;
  const reasons = new Map<string, number>();
  let accepted = 0;
  for (const { referer, ...seen } of observations) {
    const demand = logDemand.of(
      { ...seen, ...(referer !== undefined && { referer }) },
      host ?? daemon.config.ingest.host,
    );
    const refused = typeof demand === 'string' ? demand : intake.push(demand) ? undefined : 'MAILBOX_FULL';
    if (refused === undefined) accepted += 1;
    else reasons.set(refused, (reasons.get(refused) ?? 0) + 1);
  }
  return {
    accepted,
    refused: observations.length - accepted,
    reasons: [...reasons].map(([code, count]) => ({ code, count })),
  };
}
