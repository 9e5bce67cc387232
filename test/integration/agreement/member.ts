import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type AgreementMessage, agreementSpec } from '../../../actors/agreement.ts';
import type { ActorRef } from '../../../actors/kernel/actor.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { AgreedForecast, type AgreementSetup } from '../../../forecasting/agreed-forecast.ts';
import { systemClock } from '../../../node/adapters/clock.ts';
import { openLevel } from '../../../node/adapters/level.ts';
import { inspect } from '../../../protocol/certificate.ts';
import type { DecidedState } from '../../../protocol/decided-state.ts';
import type { Decision } from '../../../protocol/decision.ts';
import type { OwnView } from '../../../protocol/forecast-application.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import type { Database } from '../../../protocol/ports.ts';
import { certify, type Operator, startPop, systemRandom, type TestPop, testLog } from '../network/cluster.ts';

export interface MemberOptions {
  readonly operator: Operator;
  readonly key: KeyObject;
  /** Where the databases of all members are. */
  readonly directory: string;
  readonly epochMs: number;
  /** What this PoP forecasts. */
  readonly view: (state: DecidedState) => OwnView | undefined;
  /** Hears of a height as soon as it is decided and durable. */
  readonly heard?: (decision: Decision) => void;
}

/** The certificate of a PoP as every member holds it. */
export function founderOf(operator: Operator, sealed: Uint8Array): AgreementSetup['founders'][number] {
  return { certificate: inspect(sealed, operator.cluster.operatorKey, operator.genesis), sealed };
}

/** A member with real network, signatures, disk and actor. */
export class Member {
  readonly decided: Decision[] = [];
  readonly self: PopId;
  readonly sealed: Uint8Array;
  readonly #options: MemberOptions;
  #network: TestPop | undefined;
  #database: Database | undefined;
  #system: ActorSystem | undefined;
  #agreement: ActorRef<AgreementMessage> | undefined;

  /** `sealed` is its certificate, if there is one already. */
  constructor(options: MemberOptions, sealed = certify(options.operator, options.key)) {
    this.#options = options;
    this.self = popIdOf(options.key);
    this.sealed = sealed;
  }

  get height(): number {
    return this.decided.at(-1)?.height ?? 0;
  }

  get network(): TestPop | undefined {
    return this.#network;
  }

  addresses(): string[] {
    return this.#network?.addresses().slice(0, 1) ?? [];
  }

  /** The beat: what its next proposal is made of is ready. */
  propose(): void {
    this.#agreement?.tell({ type: 'propose' });
  }

  /** Only the network, so that a cluster can come together before it begins to decide. */
  async connect(bootstrap: readonly string[]): Promise<TestPop> {
    const { operator, key } = this.#options;
    this.#network = await startPop(operator, { privateKey: key, certificate: this.sealed, bootstrap });
    return this.#network;
  }

  async start(founders: AgreementSetup['founders'], bootstrap: readonly string[] = []): Promise<void> {
    const { operator, key, directory, epochMs, view, heard } = this.#options;
    const { gossip, streams, peers, metrics } = this.#network ?? (await this.connect(bootstrap));
    const { genesis, cluster } = operator;
    const log = testLog();
    this.#database = await openLevel(join(directory, this.self), { log, metrics });
    this.#system = new ActorSystem({ clock: systemClock, log, metrics, yieldTurn: () => setImmediate() });
    let forecast: AgreedForecast | undefined;
    this.#agreement = this.#system.actor(
      agreementSpec({
        ...{ self: this.self, genesis, database: this.#database, gossip, streams, peers },
        machine: {
          join: async (records) => {
            const setup: AgreementSetup = {
              ...{ genesis, operatorKey: cluster.operatorKey, founders, records, epochMs },
              seed: systemRandom.uint32(),
              privateKey: new Uint8Array(key.export({ format: 'der', type: 'pkcs8' })),
            };
            forecast = new AgreedForecast(this.self, setup, view);
          },
          step: async (input, now) => forecast!.step(input, now),
          heard: async (from, bytes, now) => forecast!.heard(from, bytes, now),
        },
        joining: undefined,
        leave: () => new Uint8Array(0),
        decided: (decision) => {
          this.decided.push(decision);
          heard?.(decision);
        },
        degraded: () => undefined,
      }),
    );
    const intensity = { restarts: 0, withinMs: 1_000 };
    const root = this.#system.group('root', 'one-for-one', intensity, [this.#agreement]);
    await this.#system.start(root, (error) => {
      throw error;
    });
  }

  async stop(): Promise<void> {
    await this.#network?.close();
    this.#network = undefined;
    await this.#system?.stop(5_000);
    await this.#database?.close();
  }
}
