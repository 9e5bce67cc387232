import { PresageError } from '../../protocol/errors.ts';
import type { PopId } from '../../protocol/ids.ts';
import { linksChosen } from '../../protocol/links.ts';
import type { Clock, Log, Random } from '../../protocol/ports.ts';

/** Backoff between attempts: doubles from the first to the second, each delay drawn from 0.5 to 1.5 times that. */
export const FIRST_DELAY_MS = 500;
export const LAST_DELAY_MS = 30_000;
/** Both sides of a pair learn of each other at once; the one with the greater id leaves the first try to the other. */
const COURTESY_MS = 750;

interface Target {
  /** Unknown until the first connection for a bootstrap address that does not name it. */
  pop: PopId | undefined;
  addresses: readonly string[];
  attempt: number;
  dialling: boolean;
  cancel: (() => void) | undefined;
}

export interface RedialDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Opens a connection and waits for admission; resolves to who is there. */
  readonly dial: (addresses: readonly string[], pop: PopId | undefined) => Promise<PopId>;
  readonly isConnected: (pop: PopId) => boolean;
}

/** Keeps connections to the bootstrap list and to the known PoPs, for ever. */
export interface Redial {
  addBootstrap(address: string): void;
  /** A PoP and its addresses have become known, or its addresses have changed. */
  learn(pop: PopId, addresses: readonly string[]): void;
  /** A PoP is not to be dialled any more. */
  forget(pop: PopId): void;
  up(pop: PopId): void;
  down(pop: PopId): void;
  /** One attempt at once, whatever the backoff says. Fails with `PEER_UNKNOWN`. */
  reach(pop: PopId): Promise<void>;
  /** PoPs that are dialled when not connected. */
  wanted(): readonly PopId[];
  close(): void;
}

const PEER_ID = /\/p2p\/(12D3KooW[1-9A-HJ-NP-Za-km-z]{44})$/;

export function createRedial(self: PopId, deps: RedialDeps): Redial {
  const { clock, random, log } = deps;
  const targets = new Map<string, Target>();
  let chosen: ReadonlySet<PopId> | undefined;
  let closed = false;

  /** Whom this PoP dials; computed when it is asked for, since PoPs become known by the hundred. */
  const choice = (): ReadonlySet<PopId> => {
    if (chosen) return chosen;
    const known = [...new Set([...targets.values()].flatMap(({ pop }) => (pop ? [pop] : [])))];
    chosen = new Set(linksChosen(self, known));
    return chosen;
  };
  const isWanted = ({ pop }: Target) => pop === undefined || choice().has(pop);
  const isUp = ({ pop }: Target) => pop !== undefined && deps.isConnected(pop);

  const schedule = (target: Target, delayMs?: number) => {
    if (closed || target.cancel || target.dialling || isUp(target)) return;
    const backoff = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(target.attempt, 16));
    target.cancel = clock.after(delayMs ?? backoff * (0.5 + random.float()), () => {
      target.cancel = undefined;
      void attempt(target);
    });
  };
  const attempt = async (target: Target): Promise<void> => {
    if (closed || target.dialling || isUp(target) || !isWanted(target)) return;
    target.dialling = true;
    target.attempt += 1;
    try {
      const pop = await deps.dial(target.addresses, target.pop);
      if (pop === self) {
        // A bootstrap list that is the same for all PoPs holds the own address too.
        for (const [key, each] of targets) if (each === target) targets.delete(key);
        return;
      }
      if (target.pop === undefined) chosen = undefined;
      target.pop ??= pop;
    } catch (error) {
      log.debug('dial failed', {
        peer: target.pop ?? target.addresses[0],
        attempt: target.attempt,
        reason: (error as Error).message,
      });
    } finally {
      target.dialling = false;
      if ([...targets.values()].includes(target)) schedule(target);
    }
  };

  return {
    addBootstrap(address) {
      if (targets.has(address)) return;
      const pop = PEER_ID.exec(address)?.[1] as PopId | undefined;
      if (pop === self) return;
      chosen = undefined;
      const target: Target = {
        pop,
        addresses: [address],
        attempt: 0,
        dialling: false,
        cancel: undefined,
      };
      targets.set(address, target);
      schedule(target, 0);
    },
    learn(pop, addresses) {
      if (pop === self) return;
      const present = targets.get(pop);
      if (present) {
        present.addresses = addresses;
        return;
      }
      const target: Target = {
        pop,
        addresses,
        attempt: 0,
        dialling: false,
        cancel: undefined,
      };
      targets.set(pop, target);
      chosen = undefined;
      const first = FIRST_DELAY_MS * random.float() * 0.2;
      schedule(target, self < pop ? first : COURTESY_MS + first);
    },
    forget(pop) {
      targets.get(pop)?.cancel?.();
      targets.delete(pop);
      chosen = undefined;
      for (const target of targets.values()) schedule(target);
    },
    up(pop) {
      for (const target of targets.values()) {
        if (target.pop !== pop) continue;
        target.attempt = 0;
        target.cancel?.();
        target.cancel = undefined;
      }
    },
    down(pop) {
      for (const target of targets.values()) if (target.pop === pop) schedule(target);
    },
    async reach(pop) {
      const target = targets.get(pop) ?? [...targets.values()].find((each) => each.pop === pop);
      if (!target || target.addresses.length === 0) throw new PresageError('PEER_UNKNOWN');
      try {
        await deps.dial(target.addresses, pop);
      } catch (error) {
        throw new PresageError('PEER_UNKNOWN', 'the peer cannot be reached', {}, error);
      }
    },
    wanted: () => [
      ...new Set(
        [...targets.values()].flatMap((target) => (target.pop && isWanted(target) ? [target.pop] : [])),
      ),
    ],
    close() {
      closed = true;
      for (const target of targets.values()) target.cancel?.();
      targets.clear();
    },
  };
}
