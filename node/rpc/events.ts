/** Events that a client which reconnects can still be given. */
const RECENT_MAX = 256;

/** Something that happened, for `GET /events`. */
export interface RpcEvent {
  /** Rises by one; the id of the server-sent event. */
  readonly id: number;
  /** Unix ms, real time. */
  readonly at: number;
  /** Such as `epoch`, `rising`, `pull`, `purge`, `peer`, `status`. */
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Where the parts of the daemon say what happens, and any number of listeners hear it. Publishing never waits or throws. */
export class EventHub {
  readonly #now: () => number;
  readonly #listeners = new Set<(event: RpcEvent) => void>();
  readonly #recent: RpcEvent[] = [];
  #next = 1;

  constructor(now: () => number) {
    this.#now = now;
  }

  publish(type: string, data: Readonly<Record<string, unknown>> = {}): void {
    const event: RpcEvent = { id: this.#next, at: this.#now(), type, data };
    this.#next += 1;
    this.#recent.push(event);
    if (this.#recent.length > RECENT_MAX) this.#recent.shift();
    for (const listener of this.#listeners) listener(event);
  }

  /** Hears every event from now on, after those with an id above `since` that are still known; returns the end of it. */
  subscribe(listener: (event: RpcEvent) => void, since = Number.POSITIVE_INFINITY): () => void {
    for (const event of this.#recent) if (event.id > since) listener(event);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}
