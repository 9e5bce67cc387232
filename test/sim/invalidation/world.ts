import { Dice } from '../../../node/simulator/dice.ts';
import { VirtualClock } from '../../../node/simulator/virtual-clock.ts';

/** Virtual time, and dice. */
export class World extends Dice {
  readonly #clock = new VirtualClock();

  get now(): number {
    return this.#clock.now;
  }

  after(delayMs: number, run: () => void): void {
    this.#clock.after(delayMs, run);
  }

  /** Runs all that is due within the next `ms`. */
  run(ms: number): void {
    this.#clock.run(ms);
  }
}

/** A disk that keeps what was synced, and of what was not, after a crash, some beginning. */
export class Disk {
  readonly #world: World;
  readonly #rows = new Map<string, unknown>();
  #inFlight: (() => void)[] = [];
  #freeAt = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Writes in order; `done` once this and all before are synced. */
  write(puts: ReadonlyMap<string, unknown>, done: () => void): void {
    const apply = () => {
      for (const [key, value] of puts) {
        if (value === undefined) this.#rows.delete(key);
        else this.#rows.set(key, value);
      }
    };
    const queue = this.#inFlight;
    queue.push(apply);
    // A busy disk now and then makes others wait for seconds.
    const takesMs = this.#world.chance(0.05) ? this.#world.between(500, 2_500) : this.#world.between(1, 40);
    this.#freeAt = Math.max(this.#freeAt, this.#world.now) + takesMs;
    this.#world.after(this.#freeAt - this.#world.now, () => {
      // A crash since has thrown this queue away.
      if (this.#inFlight !== queue) return;
      queue.shift()!();
      done();
    });
  }

  crash(): void {
    const kept = this.#world.between(0, this.#inFlight.length + 1);
    for (const apply of this.#inFlight.slice(0, kept)) apply();
    this.#inFlight = [];
    this.#freeAt = 0;
  }

  *entries<T>(prefix: string): Iterable<[string, T]> {
    for (const [key, value] of this.#rows)
      if (key.startsWith(prefix)) yield [key.slice(prefix.length), value as T];
  }
}
