import { digestOf } from '../../../protocol/agreement-header.ts';
import type {
  Application,
  Epoch,
  Included,
  Proposed,
  Transition,
} from '../../../protocol/agreement-steps.ts';
import { ForecastApplication, type OwnView } from '../../../protocol/forecast-application.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { ClusterTrust } from '../../../protocol/roster-operations.ts';

/**
 * What follows from a height is the same at every PoP, and the simulation of agreement holds it to that; where it is
 * only a question of bytes and time, it is worked out once for all.
 */
export class SharedForecasts {
  readonly #trust: ClusterTrust;
  readonly #valid = new WeakMap<Uint8Array, boolean>();
  readonly #real: ForecastApplication;
  readonly #vouched: (height: number, proposer: PopId, id: string) => void;
  #applied: { readonly of: string; readonly transition: Transition } | undefined;

  /** `vouched` hears what a PoP proposes. */
  constructor(
    trust: ClusterTrust,
    self: PopId,
    vouched: (height: number, proposer: PopId, id: string) => void,
  ) {
    this.#trust = trust;
    this.#vouched = vouched;
    this.#real = new ForecastApplication({ self, trust, view: () => undefined });
  }

  /** The application of one PoP. */
  of(self: PopId, view: () => OwnView): Application {
    const own = new ForecastApplication({ self, trust: this.#trust, view });
    return {
      propose: (epoch: Epoch, operations: readonly Uint8Array[]): Proposed => {
        const made = own.propose(epoch, operations);
        this.#vouched(epoch.height, self, digestOf(made.body));
        return made;
      },
      validate: (body, epoch) => this.#validate(body, epoch),
      apply: (epoch, included) => this.#apply(epoch, included),
    };
  }

  #validate(body: Uint8Array, epoch: Epoch): boolean {
    const known = this.#valid.get(body) ?? this.#real.validate(body, epoch);
    this.#valid.set(body, known);
    return known;
  }

  #apply(epoch: Epoch, included: readonly Included[]): Transition {
    const of = `${epoch.chain} ${included.map(({ slot }) => slot).join()}`;
    if (this.#applied?.of !== of) this.#applied = { of, transition: this.#real.apply(epoch, included) };
    return this.#applied.transition;
  }
}
