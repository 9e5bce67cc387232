import { type KeyObject, verify as verifySignature } from 'node:crypto';
import type { DemandForecaster, MindHost } from '../../actors/forecaster.ts';
import {
  AgreedForecast,
  type AgreementSeams,
  type AgreementSetup,
  type MachineEffect,
  type MachineVerdict,
} from '../../forecasting/agreed-forecast.ts';
import { forecastDemand } from '../../forecasting/demand.ts';
import { Mind, type MindOptions } from '../../forecasting/mind.ts';
import type { MindPort } from '../../forecasting/mind-thread.ts';
import { type PackedDemand, packDemand } from '../../forecasting/packing.ts';
import { SeasonalMemo } from '../../forecasting/seasonal-outlook.ts';
import type { Defects } from '../../protocol/agreement-steps.ts';
import type { DecidedState } from '../../protocol/decided-state.ts';
import { PresageError } from '../../protocol/errors.ts';
import type { OwnView } from '../../protocol/forecast-application.ts';
import type { PopId } from '../../protocol/ids.ts';
import { type AgreementMessage, decodeAgreement } from '../../protocol/messages/agreement.ts';
import { publicKeyFromRaw, publicKeyOf } from '../../protocol/pop-key.ts';
import type { Life } from './life.ts';

/** How a PoP's proposals come about; a liar's view is another. */
export type ViewTwist = (view: OwnView) => OwnView;

export interface MindTwists {
  readonly view?: ViewTwist | undefined;
  readonly defects?: Defects | undefined;
  /** Sees the state that each decision leads to, and how large the demand history is by then, bytes. */
  readonly decided?: ((state: DecidedState, historyBytes: number) => void) | undefined;
}

/** The mind of a PoP without its thread: asked at once, answered when the event is over. */
class SimulatedMind extends Mind {
  readonly #self: PopId;
  readonly #twists: MindTwists;
  readonly #seams: AgreementSeams;
  #part: AgreedForecast | undefined;

  constructor(options: MindOptions, twists: MindTwists, seams: AgreementSeams) {
    super(options);
    this.#self = options.self;
    this.#twists = twists;
    this.#seams = seams;
  }

  protected override takePart(
    setup: AgreementSetup,
    view: (state: DecidedState) => OwnView | undefined,
  ): AgreedForecast {
    const { view: twist, defects } = this.#twists;
    const said = (state: DecidedState) => {
      const honest = view(state);
      return honest && twist ? twist(honest) : honest;
    };
    this.#part = new AgreedForecast(this.#self, setup, said, { ...this.#seams, ...(defects && { defects }) });
    return this.#part;
  }

  override step(...given: Parameters<Mind['step']>): readonly MachineEffect[] {
    return this.#seen(super.step(...given));
  }

  override heard(...given: Parameters<Mind['heard']>): MachineVerdict {
    const heard = super.heard(...given);
    this.#seen(heard.effects);
    return heard;
  }

  #seen(effects: readonly MachineEffect[]): readonly MachineEffect[] {
    if (this.#part && effects.some(({ type }) => type === 'decided'))
      this.#twists.decided?.(this.#part.state, this.status().historyBytes);
    return effects;
  }

  packedSeries(now: number): PackedDemand {
    return packDemand(this.series(now));
  }
}

/** What all PoPs of a world share, as it is the same to each: checked signatures and decoded broadcasts. */
export class SharedWork {
  readonly #decoded = new WeakMap<Uint8Array, AgreementMessage | PresageError>();
  readonly #checked = new WeakMap<Uint8Array, Map<string, boolean>>();
  readonly #keys = new Map<PopId, KeyObject>();

  readonly decode = (bytes: Uint8Array): AgreementMessage => {
    let known = this.#decoded.get(bytes);
    if (!known) {
      try {
        known = decodeAgreement(bytes);
      } catch (error) {
        if (!(error instanceof PresageError)) throw error;
        known = error;
      }
      this.#decoded.set(bytes, known);
    }
    if (known instanceof PresageError) throw known;
    return known;
  };

  readonly verify = (pop: PopId, message: Uint8Array, signature: Uint8Array): boolean => {
    const name = pop + Buffer.from(message).toString('latin1');
    const checked = this.#checked.get(signature) ?? new Map<string, boolean>();
    this.#checked.set(signature, checked);
    const known = checked.get(name);
    if (known !== undefined) return known;
    const holds = this.#holdsUp(pop, message, signature);
    checked.set(name, holds);
    return holds;
  };

  #holdsUp(pop: PopId, message: Uint8Array, signature: Uint8Array): boolean {
    try {
      const key = this.#keys.get(pop) ?? publicKeyFromRaw(publicKeyOf(pop));
      this.#keys.set(pop, key);
      return verifySignature(null, message, key, signature);
    } catch {
      return false;
    }
  }
}

/** A mind for one life of a PoP. */
export function simulatedMind(
  options: MindOptions,
  life: Life,
  { decode, verify }: SharedWork,
  twists: MindTwists,
): MindHost {
  const mind = new SimulatedMind(options, twists, { decode, verify });
  const later = (name: string | symbol) => {
    const method = mind[name as keyof SimulatedMind] as (...given: unknown[]) => unknown;
    return async (...given: unknown[]) => {
      await undefined;
      return life.alive ? method.apply(mind, given) : new Promise(() => undefined);
    };
  };
  const methods = new Map<string | symbol, ReturnType<typeof later>>();
  const remote = new Proxy(mind, {
    get: (_target, name) => {
      // Otherwise a promise that resolves to it would take it for a promise.
      if (name === 'then') return undefined;
      const known = methods.get(name) ?? later(name);
      methods.set(name, known);
      return known;
    },
  });
  return {
    remote: remote as unknown as MindPort,
    died: new Promise<never>(() => undefined),
    terminate: async () => undefined,
  };
}

/** Forecasts series as the workers do. */
export function simulatedPool(): DemandForecaster {
  const memo = new SeasonalMemo();
  return {
    forecastDemand: async (batch, request) => batch.map((history) => forecastDemand(history, request, memo)),
  };
}
