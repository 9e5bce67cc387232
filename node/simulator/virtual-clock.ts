interface Event {
  readonly at: number;
  readonly order: number;
  /** Undefined once called off. */
  run: (() => void) | undefined;
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Virtual time in ms: events in order of their time, equal times in order of their making. */
export class VirtualClock {
  #now = 1_000_000;
  #order = 0;
  readonly #heap: Event[] = [];

  get now(): number {
    return this.#now;
  }

  /** Runs `run` once after `delayMs`; the returned function calls it off. */
  after(delayMs: number, run: () => void): () => void {
    const heap = this.#heap;
    const event: Event = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
    return () => {
      event.run = undefined;
    };
  }

  /** Runs what is due within the next `ms`, or until `done`. */
  run(ms: number, done: () => boolean = () => false): void {
    const end = this.#now + ms;
    while (!done()) {
      const event = this.#next(end);
      if (!event) return;
      event.run?.();
    }
  }

  /**
   * The same where promises are at work: each moment is followed by all that it sets off, before time goes on. Nothing
   * may wait for the real world, which takes no part in virtual time.
   */
  async runSettled(ms: number, done: () => boolean = () => false): Promise<void> {
    const end = this.#now + ms;
    const turn = (resolve: () => void, reject: (error: unknown) => void) => {
      try {
        const event = done() ? undefined : this.#next(end);
        if (!event) {
          resolve();
          return;
        }
        event.run?.();
        // What falls due at the same moment belongs to the same turn.
        for (let at = this.#at(this.#now); at; at = this.#at(this.#now)) at.run?.();
        setImmediate(turn, resolve, reject);
      } catch (error) {
        reject(error);
      }
    };
    // Ticks and microtasks run dry between two turns of the event loop.
    await new Promise<void>((resolve, reject) => setImmediate(turn, resolve, reject));
  }

  /** The next event, if it is due at `now`. */
  #at(now: number): Event | undefined {
    const next = this.#heap[0];
    if (next?.at !== now) return undefined;
    this.#pop();
    return next;
  }

  /** Moves time on to the next event, or to `end` if there is none before. */
  #next(end: number): Event | undefined {
    for (;;) {
      const next = this.#heap[0];
      if (!next || next.at > end) {
        this.#now = end;
        return undefined;
      }
      this.#pop();
      if (!next.run) continue;
      this.#now = next.at;
      return next;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** The same clock in whole ms: what many are told at about the same time comes as one event. */
export class Moments {
  readonly #clock: VirtualClock;
  readonly #due = new Map<number, (() => void)[]>();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** Not to be called off. */
  after(delayMs: number, run: () => void): () => void {
    const at = Math.ceil(this.#clock.now + delayMs);
    const known = this.#due.get(at);
    if (known) known.push(run);
    else {
      const due = [run];
      this.#due.set(at, due);
      this.#clock.after(at - this.#clock.now, () => {
        this.#due.delete(at);
        for (const act of due) act();
      });
    }
    return () => undefined;
  }
}
