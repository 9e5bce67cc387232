import type { Clock, Log, Metrics } from '../protocol/ports.ts';

/** Time that moves only when a test says so. */
export class StepClock implements Clock {
  #now: number;
  #timers: { at: number; order: number; fn: () => void }[] = [];
  #order = 0;

  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(delayMs: number, fn: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, fn };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Moves time on, firing what falls due in order, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const [next] = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at || a.order - b.order);
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = next.at;
      next.fn();
    }
    this.#now = end;
    await settled();
  }
}

/** Resolves after the promise queue has run dry several times over. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A log that keeps nothing. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

/** Metrics that a test can read: counters by name and label values. */
export class CountingMetrics implements Metrics {
  readonly counts = new Map<string, number>();

  count(name: string, labels: Readonly<Record<string, string>> = {}, by = 1): void {
    const key = [name, ...Object.values(labels)].join(' ');
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }

  gauge(name: string, value: number, labels: Readonly<Record<string, string>> = {}): void {
    this.counts.set([name, ...Object.values(labels)].join(' '), value);
  }

  observe(name: string, _seconds: number, labels: Readonly<Record<string, string>> = {}): void {
    this.count(name, labels);
  }
}
