import type { ContentHash, Key16, PopId, RegionId } from './ids.ts';
import type { Fence } from './replica.ts';

/** Share of the fill rate that speculative pulls may take, thousandths. */
const FILL_SHARE = 100;
/** Share of the storage budget that speculative replicas may take, thousandths. */
const STORAGE_SHARE = 50;
/** Bucket depth of the fill allowance: what may be pulled at once, in seconds of its rate. */
const BURST_S = 10;
/** Reports taken from one reporter of full weight within an epoch. */
const REPORTS_PER_EPOCH = 16;
/** Epochs for which a speculative replica stays unless the plan lists it. */
export const SPECULATIVE_EPOCHS = 3;
/** Reporters and replicas remembered. */
const REPORTERS_MAX = 1024;
const HELD_MAX = 4096;

/** A burst at one PoP, told at once: what is asked for suddenly, by whom, and how much more is expected. */
export interface Rising {
  readonly key16: Key16;
  readonly content: ContentHash;
  readonly fence: Fence;
  readonly size: number;
  /** Where the burst is. */
  readonly region: RegionId;
  /** Requests of the last seconds at the reporter. */
  readonly count: number;
  /** Requests expected within the horizon, thousandths, all regions. */
  readonly expected: number;
}

/** Why a report was not followed, or that it is. */
export type RisingVerdict = 'pull' | 'held' | 'weak' | 'reporter-limit' | 'fill-limit' | 'storage-limit';

/** What the rule needs to know of this PoP. */
export interface RisingContext {
  /** Real time, ms. */
  readonly now: number;
  readonly epoch: number;
  readonly fillKiBps: number;
  readonly storageBudgetMiB: number;
  /** Weight of the reporter, 1 … 1000, from its past accuracy. */
  readonly weight: number;
  /** PoPs of the cluster: expected requests are divided among them. */
  readonly pops: number;
  readonly held: boolean;
}

/**
 * The local rule for speculative pulls: bounded in bandwidth, in space and by reporter, so that a lying or
 * mistaken reporter costs little. Pure; time and epochs are arguments.
 */
export class Speculation {
  readonly #reporters = new Map<PopId, { epoch: number; taken: number }>();
  readonly #held = new Map<Key16, { epoch: number; size: number; reporter: PopId }>();
  #bytes = 0;
  #allowance = Number.NaN;
  #at = 0;

  /** Bytes now held on report alone. */
  get bytes(): number {
    return this.#bytes;
  }

  has(key16: Key16): boolean {
    return this.#held.has(key16);
  }

  /** Judges a report; after `pull` its bytes count against the limits until it is released or confirmed. */
  judge(report: Rising, reporter: PopId, context: RisingContext): RisingVerdict {
    const { now, epoch, fillKiBps, storageBudgetMiB, weight, pops, held } = context;
    if (held || this.#held.has(report.key16)) return 'held';
    // Half a request expected at each PoP, more if the reporter has often been wrong.
    const each = Math.floor(report.expected / Math.max(1, pops));
    if (each * Math.max(1, Math.min(1000, weight)) < 500 * 1000) return 'weak';
    const limit = Math.max(1, Math.floor((REPORTS_PER_EPOCH * weight) / 1000));
    let known = this.#reporters.get(reporter);
    if (known === undefined || known.epoch !== epoch) known = { epoch, taken: 0 };
    if (known.taken >= limit) return 'reporter-limit';
    if (this.#held.size >= HELD_MAX) return 'storage-limit';
    const room = Math.floor((storageBudgetMiB * STORAGE_SHARE) / 1000) * 1024 * 1024;
    if (this.#bytes + report.size > room) return 'storage-limit';
    const rate = (fillKiBps * 1024 * FILL_SHARE) / 1000;
    const depth = rate * BURST_S;
    this.#allowance = Number.isNaN(this.#allowance)
      ? depth
      : Math.min(depth, this.#allowance + (rate * Math.max(0, now - this.#at)) / 1000);
    this.#at = now;
    if (this.#allowance < report.size) return 'fill-limit';
    this.#allowance -= report.size;
    known.taken += 1;
    if (this.#reporters.size >= REPORTERS_MAX && !this.#reporters.has(reporter)) {
      const oldest = this.#reporters.keys().next().value;
      if (oldest !== undefined) this.#reporters.delete(oldest);
    }
    this.#reporters.set(reporter, known);
    this.#held.set(report.key16, { epoch, size: report.size, reporter });
    this.#bytes += report.size;
    return 'pull';
  }

  /** The plan lists it, or a client asked for it: no longer speculative. */
  confirmed(key16: Key16): PopId | undefined {
    const held = this.#held.get(key16);
    if (held === undefined) return undefined;
    this.#held.delete(key16);
    this.#bytes -= held.size;
    return held.reporter;
  }

  /** What has been held for `SPECULATIVE_EPOCHS` and is listed by no plan; it is forgotten here and to be released. */
  expired(epoch: number, listed: (key16: Key16) => boolean): { key16: Key16; reporter: PopId }[] {
    const out: { key16: Key16; reporter: PopId }[] = [];
    for (const [key16, { epoch: since, reporter }] of [...this.#held]) {
      if (listed(key16)) this.confirmed(key16);
      else if (epoch - since >= SPECULATIVE_EPOCHS) {
        this.confirmed(key16);
        out.push({ key16, reporter });
      }
    }
    return out;
  }
}
