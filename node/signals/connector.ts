import type { Clock, Log, Metrics, Random } from '../../protocol/ports.ts';

/** A URL that a source speaks of. */
export interface HeardUrl {
  readonly url: string;
  /** On the source's own scale, above zero. */
  readonly strength: number;
  /** When it was said, demand time, ms; now where it is absent. */
  readonly at?: number;
  readonly region?: string;
}

/** What a connector is doing, for `status`. */
export interface ConnectorStatus {
  readonly source: string;
  /** `waiting` before the first answer. */
  readonly state: 'waiting' | 'connected' | 'failing';
  /** Real time of the last answer, ms. */
  readonly lastAt: number | undefined;
  /** URLs that it spoke of, of whatever site. */
  readonly heard: number;
  readonly failures: number;
  /** Code of the last failure. */
  readonly code: string | undefined;
}

/** A source of signals that this PoP asks or listens to. */
export interface Connector {
  status(): ConnectorStatus;
  close(): Promise<void> | void;
}

export interface ConnectorDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether a URL is of a site of ours; what is not need not be remembered. */
  concerns(url: string): boolean;
  take(source: string, heard: readonly HeardUrl[]): void;
}

/** ± this share of every wait, so that the PoPs of a cluster do not ask all at once. */
const JITTER = 0.2;

export const jittered = (ms: number, random: Random): number => ms * (1 + JITTER * (2 * random.float() - 1));

/** State that connectors have in common. */
export class ConnectorState {
  readonly source: string;
  #state: ConnectorStatus['state'] = 'waiting';
  #lastAt: number | undefined;
  #heard = 0;
  #failures = 0;
  #inRow = 0;
  #code: string | undefined;

  constructor(source: string) {
    this.source = source;
  }

  /** Failures since the last answer. */
  get inRow(): number {
    return this.#inRow;
  }

  answered(at: number, heard: number): void {
    this.#state = 'connected';
    this.#lastAt = at;
    this.#heard += heard;
    this.#inRow = 0;
  }

  failed(code: string): void {
    this.#state = 'failing';
    this.#failures += 1;
    this.#inRow += 1;
    this.#code = code;
  }

  status(): ConnectorStatus {
    return {
      ...{ source: this.source, state: this.#state, lastAt: this.#lastAt, heard: this.#heard },
      ...{ failures: this.#failures, code: this.#code },
    };
  }
}
