import type { AgreementRecords, AgreementTable, AgreementWrite } from '../../protocol/agreement-steps.ts';
import { seededRandom } from '../../protocol/random.ts';
import { Dice } from './dice.ts';
import { VirtualClock } from './virtual-clock.ts';
import { type NetworkConditions, PERFECT, VirtualNetwork } from './virtual-network.ts';

/** A disk whose writes last a while, and which keeps what was complete when the power went. */
export class VirtualDisk {
  readonly #tables: Record<AgreementTable, Map<string, Uint8Array>> = {
    own: new Map(),
    body: new Map(),
    header: new Map(),
    snapshot: new Map(),
  };

  records(): AgreementRecords {
    const copy = (table: AgreementTable) => new Map(this.#tables[table]);
    return { own: copy('own'), body: copy('body'), header: copy('header'), snapshot: copy('snapshot') };
  }

  apply(writes: readonly AgreementWrite[]): void {
    for (const { table, key, value } of writes) {
      if (value) this.#tables[table].set(key, value);
      else this.#tables[table].delete(key);
    }
  }

  /** All of it is gone: a fault that only a deliberate defect may bring. */
  forget(): void {
    for (const table of Object.values(this.#tables)) table.clear();
  }
}

/** One seed's world: time, network and dice. */
export class AgreementWorld extends Dice {
  readonly clock = new VirtualClock();
  readonly network: VirtualNetwork;

  constructor(seed: number, conditions: (world: AgreementWorld) => NetworkConditions) {
    super(seed);
    this.network = new VirtualNetwork(this.clock, seededRandom(this.random.uint32()), PERFECT);
    this.network.conditions = conditions(this);
  }
}
