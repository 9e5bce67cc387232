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
  const lacks = [...daemon.lacks()];
  const usage = store.blobs.usage();
  const last = forecaster.epochs.at(-1);
  const epochMs = identity.charter.epochMs;
  return {
    name: identity.name,
    pop: identity.self,
    region: identity.region,
    cluster: identity.membership?.cluster.name ?? null,
    version: VERSION,
    // There is no agreement yet: every PoP plans from its own forecasts.
    mode: network ? 'degraded' : 'alone',
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
    purges: { applied: invalidator.purges, unacknowledged: invalidator.waiting },
    residentBytes: process.memoryUsage.rss(),
    errors: [...errors],
  };
}

export async function peersOf(daemon: Daemon): Promise<PeersResult> {
  const { identity, network, peers } = daemon;
  const [{ newest }, { inStep }] = await Promise.all([forecasterStatus(daemon), invalidatorStatus(daemon)]);
  const connected = new Set(peers.connected());
  const row = (pop: typeof identity.self): PeersResult['peers'][number] => {
    const own = pop === identity.self;
    const certificate = own ? identity.membership?.own : network?.certificateOf(pop);
    const summary = newest.get(pop);
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
      .map(({ epoch, tookMs, ...rest }) => ({
        number: epoch,
        state: 'own' as const,
        ...rest,
        decision: null,
        tookMs,
      })),
  };
}

export function config({ explained }: Daemon): ConfigResult {
  const { entries, file } = explained;
  return { file: file ?? null, values: entries.map((entry) => ({ ...entry })) };
}
