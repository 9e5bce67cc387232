import type { PopId } from '../../protocol/ids.ts';
import type { Clock, Random } from '../../protocol/ports.ts';

/** Real ms between two measurements of one peer. */
const PERIOD_MS = 5_000;
const DEADLINE_MS = 5_000;
/** The smallest of the last few: what the path costs without queues. */
const SAMPLES = 8;
/** A peer from which nothing has come for so long, whatever was sent, is taken for dead. */
const SILENCE_MS = 20_000;
/** Measurements right after a connection is made, and the pause between them: transfers choose by them at once. */
const FIRST_SAMPLES = 3;
const FIRST_PAUSE_MS = 100;
/** If our own timers come so late, the silence may be ours. */
const LATE_MS = 1_000;

export interface PulseDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly connected: () => readonly PopId[];
  readonly ping: (peer: PopId, deadlineMs: number) => Promise<unknown>;
  /** Monotonic ms of the last byte over a lane. */
  readonly lastHeard: (peer: PopId) => number | undefined;
  readonly dead: (peer: PopId) => void;
  /** Called with every beat, for other periodic repair. */
  readonly beat: () => void;
}

/** Measures round trips and notices peers that have gone without a word (no FIN comes from a cut cable). */
export interface Pulse {
  roundTripMs(peer: PopId): number | undefined;
  up(peer: PopId): void;
  down(peer: PopId): void;
  close(): void;
}

export function createPulse(deps: PulseDeps): Pulse {
  const { clock } = deps;
  const samples = new Map<PopId, number[]>();
  const since = new Map<PopId, number>();
  let cancel: (() => void) | undefined;
  let expected = 0;

  const measure = async (peer: PopId) => {
    const began = clock.monotonic();
    try {
      await deps.ping(peer, DEADLINE_MS);
      const list = samples.get(peer);
      list?.push(clock.monotonic() - began);
      if (list && list.length > SAMPLES) list.shift();
    } catch {
      // A lost measurement says nothing by itself; silence does.
    }
  };
  const settle = async (peer: PopId) => {
    // The first call also opens the lane: it measures several round trips.
    await measure(peer);
    samples.get(peer)?.splice(0);
    for (let i = 0; i < FIRST_SAMPLES && samples.has(peer); i += 1) {
      await measure(peer);
      await new Promise<void>((resolve) => clock.after(FIRST_PAUSE_MS, resolve));
    }
  };
  const beat = () => {
    const now = clock.monotonic();
    const late = now - expected > LATE_MS;
    for (const peer of deps.connected()) {
      const heard = Math.max(deps.lastHeard(peer) ?? 0, since.get(peer) ?? now);
      if (late) since.set(peer, now);
      else if (now - heard > SILENCE_MS) {
        deps.dead(peer);
        continue;
      }
      void measure(peer);
    }
    deps.beat();
    next();
  };
  const next = () => {
    const delay = PERIOD_MS * (0.9 + 0.2 * deps.random.float());
    expected = clock.monotonic() + delay;
    cancel = clock.after(delay, beat);
  };
  next();

  return {
    roundTripMs: (peer) => {
      const list = samples.get(peer);
      return list && list.length > 0 ? Math.min(...list) : undefined;
    },
    up(peer) {
      samples.set(peer, []);
      since.set(peer, clock.monotonic());
      void settle(peer);
    },
    down(peer) {
      samples.delete(peer);
      since.delete(peer);
    },
    close: () => cancel?.(),
  };
}
