import type { Clients, Observation } from './clients.ts';
import type { DecisionLog } from './decision-log.ts';
import type { LoadRequest } from './load.ts';
import { pause } from './player.ts';
import type { Pop } from './pop.ts';

/** What became of a PoP that stood still while the others decided on. */
export interface AbsenceTrial {
  readonly pop: string;
  /** Heights that the others decided meanwhile. */
  readonly awayHeights: number;
  /** Real ms from its going on until it had what they had decided last; `null` if it never got there. */
  readonly caughtUpMs: number | null;
  /** Whether it then decided a further height with them. */
  readonly rejoined: boolean;
}

interface World {
  /** All others. */
  readonly others: readonly Pop[];
  readonly clients: Pick<Clients, 'ask'>;
  readonly decisions: DecisionLog;
  /** Requests like those of the load, so that there is something to decide. */
  readonly traffic: readonly LoadRequest[];
  readonly seen: (observation: Observation) => void;
  readonly signal: AbortSignal;
}

/** Heights for which it is away. */
const AWAY_HEIGHTS = 22;
/** The others have failed to decide so many if it takes longer, real ms. */
const AWAY_MOST_MS = 90_000;
const BACK_MS = 30_000;
const TRAFFIC_GAP_MS = 50;

/**
 * Stops a PoP's process in its tracks, as a hypervisor or a full disk would, lets it go on many heights later, and
 * watches how it comes to know what was decided without it.
 */
export async function absenceTrial(absent: Pop, world: World): Promise<AbsenceTrial> {
  const { decisions, signal } = world;
  const left = decisions.tip(absent.name);
  const tip = () => decisions.tipOfOthers(absent.name);
  const gone = new AbortController();
  absent.freeze();
  const meanwhile = traffic(world, gone.signal);
  await decisions.until(() => tip() >= left + AWAY_HEIGHTS, AWAY_MOST_MS, signal);
  gone.abort();
  await meanwhile;
  const missed = tip();
  absent.thaw();
  const caughtUpMs = await decisions.until(() => decisions.tip(absent.name) >= missed, BACK_MS, signal);
  const after = decisions.tip(absent.name);
  const rejoined = await decisions.until(
    () => decisions.tip(absent.name) > Math.max(after, missed),
    BACK_MS,
    signal,
  );
  return {
    pop: absent.name,
    awayHeights: missed - left,
    caughtUpMs: caughtUpMs ?? null,
    rejoined: rejoined !== undefined,
  };
}

/** Asks the others in turn; they are named outright, since DNS takes a while to notice who is gone. */
async function traffic({ others, clients, traffic: load, seen }: World, signal: AbortSignal): Promise<void> {
  const pending: Promise<void>[] = [];
  for (let turn = 0; !signal.aborted && load.length > 0; turn += 1) {
    const request = load[turn % load.length]!;
    pending.push(clients.ask(others[turn % others.length]!.address, request).then(seen));
    await pause(TRAFFIC_GAP_MS, signal);
  }
  await Promise.all(pending);
}
