import { hash } from 'node:crypto';
import { digestOf } from '../../../protocol/agreement-header.ts';
import type { Application, Epoch, Included, Transition } from '../../../protocol/agreement-steps.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { Random } from '../../../protocol/ports.ts';
import type { Witness } from './witness.ts';

/** The longest body that the seed's PoPs propose. */
export interface ApplicationOptions {
  readonly self: PopId;
  readonly random: Random;
  readonly bodyBytes: number;
  /** Absent for liars, whose opinion counts for nothing. */
  readonly witness: Witness | undefined;
  readonly lies: boolean;
}

/** Proposals of random bytes whose first is 1 if they are valid; the state is a hash over all that was included. */
export class SimulatedApplication implements Application {
  readonly #options: ApplicationOptions;

  constructor(options: ApplicationOptions) {
    this.#options = options;
  }

  propose({ height }: Epoch): Uint8Array {
    const { random, bodyBytes, lies, witness, self } = this.#options;
    const body = new Uint8Array(8 + Math.floor(random.float() * bodyBytes));
    new DataView(body.buffer).setUint32(1, random.uint32());
    body[0] = lies && random.float() < 0.5 ? 0 : 1;
    witness?.vouched(height, self, digestOf(body));
    return body;
  }

  validate(body: Uint8Array, { height }: Epoch, proposer: PopId): boolean {
    if (body[0] !== 1) return false;
    this.#options.witness?.vouched(height, proposer, digestOf(body));
    return true;
  }

  apply({ state, height }: Epoch, included: readonly Included[]): Transition {
    const parts: Uint8Array[] = [state, Uint8Array.of(height & 255)];
    for (const { slot, body } of included) parts.push(Uint8Array.of(slot), body);
    return { state: hash('sha256', Buffer.concat(parts), 'buffer'), roster: undefined };
  }
}
