import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import { Broken, type Checker, type Scene } from '../facts.ts';

/** Of what a PoP may take for itself, however the world is: disk, the rate of mirroring, what reports alone may bring. */
export class BudgetChecker implements Checker {
  readonly name = 'budgets';
  readonly #scene: () => Scene;
  readonly #limits: { readonly diskBytes: number; readonly bytesPerSecond: number };
  readonly #mirrored = new Map<SimulatedPop, { at: number; size: number; speculative: boolean }[]>();
  bytes = 0;

  constructor(limits: { diskBytes: number; bytesPerSecond: number }, scene: () => Scene) {
    this.#limits = limits;
    this.#scene = scene;
  }

  mirrored(pop: SimulatedPop, size: number, source: 'plan' | 'speculative'): void {
    const { now } = this.#scene();
    const list = this.#mirrored.get(pop) ?? [];
    this.#mirrored.set(pop, list);
    list.push({ at: now, size, speculative: source === 'speculative' });
    this.bytes += size;
    const { bytesPerSecond } = this.#limits;
    // The bucket holds a second's worth, but at least 1 MiB, and what is under way may be in debt of it once.
    const burst = Math.max(bytesPerSecond, 1 << 20);
    const largest = Math.max(...list.map((one) => one.size));
    this.#within(list, bytesPerSecond, burst + largest, `PoP ${pop.index} mirrors too fast`);
    const reported = list.filter((one) => one.speculative);
    this.#within(
      reported,
      bytesPerSecond / 10,
      bytesPerSecond + largest,
      `PoP ${pop.index} speculates too fast`,
    );
  }

  /** In no span do more bytes come than the rate and one burst allow. A restart fills the bucket anew. */
  #within(list: readonly { at: number; size: number }[], rate: number, burst: number, what: string): void {
    let bytes = 0;
    const { now } = this.#scene();
    for (let at = list.length - 1; at >= 0; at -= 1) {
      const one = list[at]!;
      bytes += one.size;
      const allowed = (rate * (now - one.at)) / 1_000 + burst;
      if (bytes > allowed) throw new Broken(this.name, `${what}: ${bytes} bytes in ${now - one.at} ms`);
    }
  }

  started(pop: SimulatedPop): void {
    this.#mirrored.delete(pop);
  }

  sampled({ honest }: Scene): void {
    for (const pop of honest) {
      const held = pop.running?.store.blobs.usage().diskBytes ?? 0;
      if (held > this.#limits.diskBytes)
        throw new Broken(this.name, `PoP ${pop.index} holds ${held} bytes of ${this.#limits.diskBytes}`);
    }
  }
}
