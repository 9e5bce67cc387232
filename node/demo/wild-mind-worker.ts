import { parentPort, workerData } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import {
  AgreedForecast,
  type AgreementSetup,
  type MachineEffect,
  type MachineVerdict,
} from '../../forecasting/agreed-forecast.ts';
import { Mind, type MindOptions } from '../../forecasting/mind.ts';
import { type PackedDemand, packDemand } from '../../forecasting/packing.ts';
import type { AgreementInput } from '../../protocol/agreement-steps.ts';
import type { DecidedState } from '../../protocol/decided-state.ts';
import type { OwnView } from '../../protocol/forecast-application.ts';
import type { PopId } from '../../protocol/ids.ts';
import { type LieAccount, lie, lieAccount, NO_LIES } from './lie.ts';

/** A part in the agreement that keeps account of how far its own word got. */
class WatchedForecast extends AgreedForecast {
  readonly #liar: PopId;
  account: LieAccount = NO_LIES;

  constructor(liar: PopId, setup: AgreementSetup, view: (state: DecidedState) => OwnView | undefined) {
    super(liar, setup, view);
    this.#liar = liar;
  }

  override step(input: AgreementInput, now: number): MachineEffect[] {
    const before = this.state;
    const effects = super.step(input, now);
    this.#look(before, effects);
    return effects;
  }

  override heard(from: PopId, bytes: Uint8Array, now: number): MachineVerdict {
    const before = this.state;
    const heard = super.heard(from, bytes, now);
    this.#look(before, heard.effects);
    return heard;
  }

  #look(before: DecidedState, effects: readonly MachineEffect[]): void {
    if (!effects.some(({ type }) => type === 'decided')) return;
    // Heights that were taken from a certificate have no proposals to look at.
    if (this.state.height !== before.height + 1) return;
    this.account = lieAccount(this.account, this.#liar, this.proposals(), before, this.state);
  }
}

/**
 * A mind that lies in every proposal and does all else as it should. It exists for the demo, to show what one liar
 * among five comes to; no configuration leads here.
 */
export class WildMind extends Mind {
  readonly #options: MindOptions;
  #part: WatchedForecast | undefined;

  constructor(options: MindOptions) {
    super(options);
    this.#options = options;
  }

  protected override takePart(
    setup: AgreementSetup,
    view: (state: DecidedState) => OwnView | undefined,
  ): AgreedForecast {
    const { self, charter } = this.#options;
    const lying = (state: DecidedState) => {
      const honest = view(state);
      return honest && lie(honest, charter.sites[0]!.id, charter.regions);
    };
    this.#part = new WatchedForecast(self, setup, lying);
    return this.#part;
  }

  lies(): LieAccount {
    return this.#part?.account ?? NO_LIES;
  }

  packedSeries(now: number): PackedDemand {
    const packed = packDemand(this.series(now));
    return Comlink.transfer(packed, [packed.heads.buffer, packed.cells.buffer]);
  }
}

if (parentPort !== null) Comlink.expose(new WildMind(workerData as MindOptions), nodeEndpoint(parentPort));
