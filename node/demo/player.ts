import type { Clients, Observation } from './clients.ts';
import { type DemandTime, realAt } from './demand-time.ts';
import type { LoadRequest } from './load.ts';

/** How far behind its schedule a run was, real ms: what the machine could not keep up with. */
export interface Lateness {
  readonly meanMs: number;
  readonly mostMs: number;
}

/**
 * Plays requests at their demand times, each when the demand clock shows it, and hands every observation to `seen`.
 * Resolves when the last one is answered; stops sending when `signal` says so.
 */
export async function play(
  requests: readonly LoadRequest[],
  time: DemandTime,
  clients: Pick<Clients, 'send'>,
  options: { readonly seen: (observation: Observation) => void; readonly signal?: AbortSignal },
): Promise<Lateness> {
  const pending = new Set<Promise<void>>();
  let sum = 0;
  let most = 0;
  let sent = 0;
  for (let next = 0; next < requests.length && options.signal?.aborted !== true; ) {
    const now = Date.now();
    while (next < requests.length) {
      const request = requests[next]!;
      const late = now - realAt(time, request.at);
      if (late < 0) break;
      sum += late;
      most = Math.max(most, late);
      sent += 1;
      next += 1;
      const answer: Promise<void> = clients.send(request).then((observation) => {
        pending.delete(answer);
        options.seen(observation);
      });
      pending.add(answer);
    }
    if (next < requests.length) await pause(realAt(time, requests[next]!.at) - Date.now(), options.signal);
  }
  await Promise.all(pending);
  return { meanMs: sent === 0 ? 0 : sum / sent, mostMs: most };
}

/** Waits, at least for a turn of the event loop; ends at once when `signal` says so. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(1, ms));
    signal?.addEventListener('abort', done);
  });
}
