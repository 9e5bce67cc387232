import type { Clock, DemandClock } from '../../protocol/ports.ts';

/** Node's timers fire at once above this delay. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, fn) {
    let timer: NodeJS.Timeout;
    const arm = (left: number) => {
      const part = Math.min(left, TIMER_MS_MAX);
      timer = setTimeout(() => (left > part ? arm(left - part) : fn()), part);
    };
    arm(Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};

/**
 * Demand time = offset + speed × real time, in whole Unix ms. PoPs with the same offset and speed and right clocks
 * agree on it without speaking.
 */
export function demandClock(
  clock: Pick<Clock, 'now'>,
  { offsetMs = 0, speed = 1 }: { offsetMs?: number; speed?: number } = {},
): DemandClock {
  const at = (realMs: number) => offsetMs + Math.floor(realMs * speed);
  return { speed, at, now: () => at(clock.now()) };
}

/** The offset at which demand time is `demandMs` when real time is `realMs`. */
export const offsetFor = (demandMs: number, realMs: number, speed: number): number =>
  demandMs - Math.floor(realMs * speed);
