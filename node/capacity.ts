import { performance } from 'node:perf_hooks';
import type { Blobs } from '../protocol/ports.ts';
import type { Capacities, PopState } from '../protocol/summary.ts';

/** Share of time that the event loop may be busy before mirroring begins to yield to clients. */
const BUSY = 0.5;
const MIB = 1 << 20;

/** Tells by each call the share of time that the event loop has been busy since the one before. */
export function eventLoopUtilisation(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}

/** What this PoP can take, measured: the share of time that it is busy, and the space that is left. */
export class Capacity {
  readonly #budgetBytes: number;
  readonly #fillKiBps: number;
  readonly #blobs: Pick<Blobs, 'usage'>;
  readonly #utilisation: () => number;
  #busy = 0;
  /** Set when the PoP is leaving, or cannot store. */
  state: PopState = 'up';

  constructor(
    options: { budgetBytes: number; bytesPerSecond: number },
    blobs: Pick<Blobs, 'usage'>,
    utilisation: () => number,
  ) {
    this.#budgetBytes = options.budgetBytes;
    this.#fillKiBps = Math.floor(options.bytesPerSecond / 1024);
    this.#blobs = blobs;
    this.#utilisation = utilisation;
  }

  /** To be called at regular intervals; smooths over a few of them. */
  sample(): void {
    this.#busy += (this.#utilisation() - this.#busy) / 4;
  }

  /** By how much mirroring is to yield, 0 … 1. */
  get clientShare(): number {
    return Math.max(0, (this.#busy - BUSY) / (1 - BUSY));
  }

  report(): Capacities {
    const { diskBytes } = this.#blobs.usage();
    return {
      storageBudgetMiB: Math.floor(this.#budgetBytes / MIB),
      storageFreeMiB: Math.max(0, Math.floor((this.#budgetBytes - diskBytes) / MIB)),
      fillKiBps: this.#fillKiBps,
      load: Math.min(15, Math.floor(this.#busy * 16)),
      state: this.state,
    };
  }
}
