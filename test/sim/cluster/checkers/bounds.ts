import type { SimulatedPop } from '../../../../node/simulator/simulated-pop.ts';
import type { DecidedState } from '../../../../protocol/decided-state.ts';
import { Broken, type Checker, type Scene } from '../facts.ts';

/** The longest mailbox of any actor. */
const MAILBOX_MAX = 8_192;

/** Mailboxes and memory stay within their bounds, no actor fails, and where nothing goes wrong no message is lost. */
export class BoundsChecker implements Checker {
  readonly name = 'bounds';
  readonly #historyBytes: number;

  constructor(historyBytes: number) {
    this.#historyBytes = historyBytes;
  }

  rejected(author: SimulatedPop, by: SimulatedPop, topic: string, code: string): void {
    throw new Broken(this.name, `PoP ${by.index} rejects ${topic} of PoP ${author.index}: ${code}`);
  }

  stands(pop: SimulatedPop, _state: DecidedState, historyBytes: number): void {
    if (historyBytes > this.#historyBytes)
      throw new Broken(this.name, `PoP ${pop.index}: the demand history takes ${historyBytes} bytes`);
  }

  sampled({ honest, disksFailed, faultless }: Scene): void {
    for (const pop of honest) {
      const { metrics, running } = pop;
      if (pop.failure) throw new Broken(this.name, `PoP ${pop.index} has given up: ${pop.failure.message}`);
      for (const [actor, waiting] of running?.actors.system.backlogs() ?? [])
        if (waiting > MAILBOX_MAX) throw new Broken(this.name, `${waiting} messages wait for ${actor}`);
      const failures = metrics.sum('actor_failures_total');
      if (failures > 0 && !disksFailed)
        throw new Broken(this.name, `PoP ${pop.index}: an actor failed: ${lastError(pop)}`);
      if (metrics.sum('errors_total', 'INTERNAL') > 0)
        throw new Broken(this.name, `PoP ${pop.index}: INTERNAL: ${lastError(pop)}`);
      if (faultless && metrics.sum('dead_letters_total') > 0)
        throw new Broken(this.name, `PoP ${pop.index}: dead letters though nothing went wrong`);
    }
  }
}

const lastError = (pop: SimulatedPop): string =>
  pop.log.lines.findLast((line) => line.includes(' error ')) ?? 'no line in the log';
