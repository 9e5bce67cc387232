import type { Random } from '../../protocol/ports.ts';
import type { Clients, Observation } from './clients.ts';
import type { ExpectedContent } from './content.ts';
import { below, type LoadRequest } from './load.ts';
import { pause } from './player.ts';
import type { Pop, PopState } from './pop.ts';
import { askAll, purge } from './purge-trial.ts';

/** What became of a PoP that was killed, missed a purge, and came back. */
export interface RestartTrial {
  readonly pop: string;
  /** Real ms from its start until it was ready, and from there until it knew the purges of its peers. */
  readonly readyMs: number;
  readonly caughtUpMs: number;
  readonly caughtUp: boolean;
  /** Requests sent to the cluster while it was down, and how many were answered. */
  readonly askedMeanwhile: number;
  readonly servedMeanwhile: number;
  /** Requests for purged content sent to it from its first moment on, and how many old answers it gave. */
  readonly askedAfter: number;
  readonly staleAnswers: number;
  /** Series in its demand history, and replicas with their versions, before and after. */
  readonly seriesBefore: number;
  readonly seriesAfter: number;
  readonly replicasBefore: number;
  readonly replicasAfter: number;
  readonly restored: boolean;
}

interface World {
  readonly pops: readonly Pop[];
  readonly clients: Pick<Clients, 'ask' | 'send'>;
  readonly expected: ExpectedContent;
  readonly change: (path: string) => Promise<number>;
  readonly random: Random;
  /** Requests like those of the load, to keep the cluster busy meanwhile. */
  readonly traffic: readonly LoadRequest[];
  readonly seen: (observation: Observation) => void;
}

const CATCH_UP_MS = 30_000;
const POLL_MS = 100;
/** How long the PoP is away, real ms, and how often a client asks for something meanwhile. */
const AWAY_MS = 4_000;
const TRAFFIC_GAP_MS = 25;
/** Share of series and replicas that must be back: the newest window may be lost with the process, and some are purged. */
const RESTORED_SHARE = 0.9;

/** Kills a PoP outright, purges `path` without it under traffic, starts it again, and watches what it serves and knows. */
export async function restartTrial(victim: Pop, path: string, world: World): Promise<RestartTrial> {
  await askAll([path], world);
  const before = await victim.state();
  await victim.kill();
  const others = world.pops.filter((pop) => pop !== victim);
  const away = new AbortController();
  const meanwhile = traffic(world, away.signal);
  const version = await world.change(path);
  await purge(others[0]!, 'url', path);
  await pause(AWAY_MS);
  away.abort();
  const served = await meanwhile;

  const began = performance.now();
  await victim.start();
  const readyMs = performance.now() - began;
  const fresh = world.expected.hash(path, version);
  let askedAfter = 0;
  let staleAnswers = 0;
  let state: PopState | undefined;
  let caughtUp = false;
  const ready = performance.now();
  while (!caughtUp && performance.now() - ready < CATCH_UP_MS) {
    const [answer] = await askAll([path], { pops: [victim], clients: world.clients });
    askedAfter += 1;
    if (answer?.status === 200 && answer.hash !== fresh) staleAnswers += 1;
    state = await victim.state().catch(() => undefined);
    caughtUp = state !== undefined && state.peersConnected >= before.peersConnected && state.purgesInStep;
    if (!caughtUp) await pause(POLL_MS);
  }
  const caughtUpMs = performance.now() - ready;
  const [last] = await askAll([path], { pops: [victim], clients: world.clients });
  askedAfter += 1;
  // Once it has caught up, only the new bytes will do.
  if (last?.hash !== fresh) staleAnswers += 1;
  const seriesAfter = state?.series ?? 0;
  const replicasAfter = state?.replicas ?? 0;
  return {
    pop: victim.name,
    readyMs,
    caughtUpMs,
    caughtUp,
    ...served,
    askedAfter,
    staleAnswers,
    seriesBefore: before.series,
    seriesAfter,
    replicasBefore: before.replicas,
    replicasAfter,
    restored:
      seriesAfter > 0 &&
      seriesAfter >= RESTORED_SHARE * before.series &&
      replicasAfter >= RESTORED_SHARE * before.replicas,
  };
}

async function traffic(
  world: World,
  signal: AbortSignal,
): Promise<{ askedMeanwhile: number; servedMeanwhile: number }> {
  let askedMeanwhile = 0;
  let servedMeanwhile = 0;
  const pending: Promise<void>[] = [];
  while (!signal.aborted && world.traffic.length > 0) {
    const request = world.traffic[below(world.random, world.traffic.length)]!;
    askedMeanwhile += 1;
    pending.push(
      world.clients.send(request).then((observation) => {
        if (observation.status === 200) servedMeanwhile += 1;
        world.seen(observation);
      }),
    );
    await pause(TRAFFIC_GAP_MS, signal);
  }
  await Promise.all(pending);
  return { askedMeanwhile, servedMeanwhile };
}
