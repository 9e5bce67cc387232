import type { Clock } from '../../../protocol/ports.ts';

/** A clock that moves only when it is told to, and lets promises settle after each timer. */
export function stepClock() {
  let now = 0;
  const timers = new Set<{ at: number; fn: () => void }>();
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after(delayMs, fn) {
      const timer = { at: now + delayMs, fn };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  };
  const settle = async () => {
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
  };
  return {
    clock,
    pending: () => timers.size,
    /** Fires what is due until then, in order. */
    async run(untilMs: number) {
      await settle();
      for (;;) {
        const next = [...timers].sort((a, b) => a.at - b.at)[0];
        if (!next || next.at > untilMs) break;
        timers.delete(next);
        now = next.at;
        next.fn();
        await settle();
      }
      now = untilMs;
    },
    /** Time passes while nothing can run, as when the event loop is blocked. */
    block(ms: number) {
      now += ms;
    },
  };
}
