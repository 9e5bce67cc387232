import { planHash, planStateOf } from '../../../protocol/agreed-plan.ts';
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
import { plan } from '../../../protocol/placement.ts';
import type { Random } from '../../../protocol/ports.ts';
import { charterOf } from '../../property/decision/charter.ts';
import { key16, proposal, REGIONS, SITES, START } from '../../property/decision/cluster.ts';
import type { ApplicationOptions } from './application.ts';
import { TRUST } from './operator.ts';

/** Resources that a PoP forecasts; few, as what matters here is that all compute the same. */
const RESOURCES = 6;
const CHARTER = charterOf();

/** Forecasts that differ from PoP to PoP, as they do. */
function viewOf(random: Random, height: number): OwnView {
  const upTo = (most: number) => Math.floor(random.float() * (most + 1));
  return {
    at: START + height * 30_000 + upTo(5_000),
    window: START + height * 30_000,
    cap: proposal().cap,
    uses: [],
    ...{ windowMs: 30_000, windowShare: 100 },
    resources: Array.from({ length: upTo(RESOURCES) }, (_, number) => ({
      ...{ key16: key16(number), site: SITES[number % 2]!, size: 1_000 * (number + 1) },
      demand: REGIONS.slice(0, 1 + upTo(3)).map((region) => ({
        ...{ region, expected: upTo(20_000), chance: upTo(1_000), credit: upTo(1_000), held: upTo(1) === 1 },
      })),
    })),
    observed: () => upTo(5_000),
    series: () => undefined,
  };
}

/** The daemon's own application, so that the transition and the plan are held to agreement as well. */
export class SimulatedForecasts implements Application {
  readonly #options: ApplicationOptions;
  readonly #real: ForecastApplication;

  constructor(options: ApplicationOptions) {
    this.#options = options;
    const { self, random } = options;
    const view = ({ height }: { readonly height: number }) =>
      random.float() < 0.1 ? undefined : viewOf(random, height);
    this.#real = new ForecastApplication({ self, trust: TRUST, view });
  }

  propose(epoch: Epoch, operations: readonly Uint8Array[]): Proposed {
    const { witness, lies, random, self } = this.#options;
    const made = this.#real.propose(epoch, operations);
    if (lies && random.float() < 0.5) return { body: Uint8Array.of(0, 1, 2), carried: [] };
    witness?.vouched(epoch.height, self, digestOf(made.body));
    return made;
  }

  validate(body: Uint8Array, epoch: Epoch, proposer: PopId): boolean {
    const valid = this.#real.validate(body, epoch);
    if (valid) this.#options.witness?.vouched(epoch.height, proposer, digestOf(body));
    return valid;
  }

  apply(epoch: Epoch, included: readonly Included[]): Transition {
    const next = this.#real.apply(epoch, included);
    const state = this.#real.stateOf(next.state);
    this.#options.witness?.stands(state);
    this.#options.witness?.plans(digestOf(next.state), planHash(plan(planStateOf(state), CHARTER)));
    return next;
  }
}
