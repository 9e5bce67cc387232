import type { ForecasterStatus } from '../../actors/forecaster.ts';
import type { Daemon } from '../compose.ts';
import type { ConfigResult, EpochsResult, PeersResult, StatusResult } from '../rpc/methods.ts';
import { VERSION } from '../version.ts';
import { forecasterStatus, invalidatorStatus, mirrorStatus } from './questions.ts';
import { popName } from './resource.ts';

/** Addresses, filled in as the doors open. */
export interface DoorAddresses {
  readonly http?: string;
  readonly dns?: string;
  readonly rpc: readonly string[];
}

export async function status(daemon: Daemon, addresses: DoorAddresses): Promise<StatusResult> {
  const { config, identity, network, peers, store, traffic, metrics, clock, demand } = daemon;
  const [forecaster, mirror, invalidator, speculativeBytes, errors] = await Promise.all([
    forecasterStatus(daemon),
    mirrorStatus(daemon),
    invalidatorStatus(daemon),
    metrics.value('pulled_bytes_total', { source: 'speculative' }),
    metrics.errors(),
  ]);
  const lacks = [...daemon.lacks(), ...lacksOfAgreement(forecaster)];
  const usage = store.blobs.usage();
  const last = forecaster.epochs.at(-1);
  const { epochMs } = daemon.operator.charters.current();
  return {
    name: identity.name,
    pop: identity.self,
    region: identity.region,
    cluster: identity.membership?.cluster.name ?? null,
    version: VERSION,
    mode: !network ? 'alone' : agreeing(forecaster) ? 'agreed' : 'degraded',
    ready: addresses.http !== undefined || config.http.listen === undefined,
    lacks,
    startedAt: daemon.startedAt,
    now: Math.floor(clock.now()),
    demandNow: Math.floor(demand.now()),
    addresses: {
      http: addresses.http ?? null,
      dns: addresses.dns ?? null,
      p2p: [...(network?.addresses() ?? [])],
      rpc: [...addresses.rpc],
    },
    epoch: {
      number: last ? last.epoch + 1 : Math.floor(clock.now() / epochMs),
      startedAt: Math.floor(clock.now() / epochMs) * epochMs,
      lengthMs: epochMs,
    },
    peers: { connected: peers.connected().length, known: network?.known().length ?? 0 },
    requests: {
      total: traffic.total,
      hits: traffic.hits,
      peerFills: traffic.peerFills,
      originFills: traffic.originFills,
      mirroredHits: traffic.mirroredHits,
      perSecond: traffic.rate(clock.monotonic()),
      bytes: traffic.bytes,
    },
    storage: {
      replicas: store.replicas.catalogue.shelf.size,
      contents: usage.contents,
      diskBytes: usage.diskBytes,
      diskBudget: config.storage.budget,
      memoryBytes: usage.memoryBytes,
      memoryBudget: config.storage.memory,
    },
    mirror: {
      pulledBytes: mirror.bytes,
      unusedBytes: forecaster.mirrors.unused.bytes,
      speculativeBytes,
      inFlight: mirror.active,
      budget: config.mirror.bandwidth,
    },
    demand: {
      series: forecaster.resources,
      historyBytes: forecaster.historyBytes,
      historyBudget: config.memory.history,
    },
    ...forecastingOf(daemon),
    agreement: agreementOf(daemon, forecaster),
    purges: { applied: invalidator.purges, unacknowledged: invalidator.waiting },
    residentBytes: process.memoryUsage.rss(),
    errors: [...errors],
  };
}

function forecastingOf({ pool, feeds }: Daemon): Pick<StatusResult, 'forecasting' | 'signals'> {
  const { workers, running, restarts, pending, done, cheap, lastMs } = pool.progress();
  return {
    forecasting: {
      ...{ workers, running, restarts, pending, done, cheap, lastMs },
      network: feeds.network.status.state,
    },
    signals: feeds.signals.rows().map((row) => ({
      ...row,
      code: row.code ?? null,
      lastAt: row.lastAt === undefined ? null : Math.floor(row.lastAt),
    })),
  };
}

const agreeing = ({ agreement, planned }: ForecasterStatus): boolean =>
  planned.basis === 'agreed' && agreement?.degraded === false && !agreement.diverged;

function agreementOf(
  { identity }: Daemon,
  { agreement, planned }: ForecasterStatus,
): StatusResult['agreement'] {
  if (!agreement) return null;
  const { decision, members, voting, degraded, diverged, rules, resources, stateBytes } = agreement;
  const own = members.find(({ pop }) => pop === identity.self);
  return {
    height: decision?.height ?? 0,
    header: decision?.hash ?? null,
    stateHash: decision?.stateHash ?? null,
    planHash: planned.basis === 'agreed' ? planned.hash : null,
    planHeight: planned.height,
    included: decision?.included ?? 0,
    members: members.length,
    ...{ member: own !== undefined, voting, degraded, diverged },
    passive: decision?.passive ?? false,
    rules,
    charterVersion: decision?.charter.version ?? 0,
    weight: (own?.weight ?? 0) / 1_000,
    ...{ resources, stateBytes },
  };
}

/** What keeps the PoP from agreeing, with the remedy. */
function lacksOfAgreement({ agreement, planned }: ForecasterStatus): string[] {
  if (!agreement) return [];
  const { decision, degraded, diverged } = agreement;
  const lacks: string[] = [];
  if (diverged) {
    lacks.push(
      'the others decided a state that was not computed here, so that this PoP votes no more: compare versions, ' +
        'then give it a new key and certificate and an empty data directory',
    );
  } else if (decision?.passive) {
    lacks.push('the cluster decides by rules that this version does not know: upgrade');
  } else if (degraded) {
    lacks.push(
      'nothing was decided for three epochs: too few members are up or reachable, see `presage peers`',
    );
  }
  if (planned.charterDiffers) lacks.push('the charter that was decided has not arrived yet');
  return lacks;
}

export async function peersOf(daemon: Daemon): Promise<PeersResult> {
  const { identity, network, peers } = daemon;
  const [{ newest, agreement }, { inStep }] = await Promise.all([
    forecasterStatus(daemon),
    invalidatorStatus(daemon),
  ]);
  const connected = new Set(peers.connected());
  const row = (pop: typeof identity.self): PeersResult['peers'][number] => {
    const own = pop === identity.self;
    const certificate = own ? identity.membership?.own : network?.certificateOf(pop);
    const summary = newest.get(pop);
    const member = agreement?.members.find((one) => one.pop === pop);
    return {
      pop,
      name: popName(daemon, pop),
      region: certificate?.region ?? identity.region,
      state: own ? 'self' : connected.has(pop) ? 'connected' : 'lost',
      addresses: own
        ? [...(network?.addresses() ?? [])]
        : [...(certificate?.addressesV4 ?? []), ...(certificate?.addressesV6 ?? [])],
      roundTripMs: peers.roundTripMs(pop) ?? null,
      since: null,
      certificateExpires: certificate?.expiry ?? null,
      load: summary ? summary.capacities.load / 15 : null,
      storageFreeBytes: summary ? summary.capacities.storageFreeMiB * (1 << 20) : null,
      bandwidthFree: summary ? summary.capacities.fillKiBps * 1024 : null,
      lastSummaryAt: summary?.to ?? null,
      purgesInStep: own ? null : inStep.includes(pop),
      member: member !== undefined,
      weight: member ? member.weight / 1_000 : null,
      missed: member?.missed ?? null,
    };
  };
  const others = (network?.known() ?? []).map(row).sort((a, b) => (a.name < b.name ? -1 : 1));
  return { peers: [row(identity.self), ...others] };
}

export async function epochs(daemon: Daemon, limit: number): Promise<EpochsResult> {
  const { epochs: records } = await forecasterStatus(daemon);
  return {
    epochs: records
      .slice(-limit)
      .reverse()
      .map(({ epoch, basis, decision, planHash, ...rest }) => ({
        ...rest,
        number: epoch,
        state: basis,
        height: decision?.height ?? null,
        decision: decision?.stateHash ?? null,
        header: decision?.hash ?? null,
        planHash: planHash ?? null,
        included: decision?.included ?? null,
      })),
  };
}

export function config({ explained }: Daemon): ConfigResult {
  const { entries, file } = explained;
  return { file: file ?? null, values: entries.map((entry) => ({ ...entry })) };
}
