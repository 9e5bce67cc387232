import { combine } from '../../forecasting/combination.ts';
import type { Model } from '../../forecasting/models/model.ts';
import { recurrent } from '../../forecasting/models/recurrent.ts';
import { freshNetwork, trainNetwork } from '../../forecasting/recurrent-training.ts';
import { LEAN_MODELS, SEASONAL_MODELS } from '../../forecasting/repertoire.ts';
import { select } from '../../forecasting/selection.ts';
import { seededRandom } from '../../protocol/random.ts';
import type { Sample } from './forecast-data.ts';
import { type Forecaster, HORIZON, scoreM4 } from './forecast-m4.ts';

/** One model on M4 Hourly, the last 48 points held out: alone, and what the selection made of it. */
export interface ModelRow {
  readonly model: string;
  readonly owa: number;
  readonly mase: number;
  readonly msPerSeries: number;
  /** Mean weight in the combinations. */
  readonly weight: number;
  /** Series in whose combination it weighs most. */
  readonly heaviest: number;
  /** Whether it takes part in the forecasts of an epoch as well. */
  readonly epochs: boolean;
}

/** Every hold-out and its shifts lie behind this many points from the end, which training does not see. */
const UNSEEN = 144;
const WINDOWS = 16_000;
const NETWORK = 'gru';

/** The seasonal models and the recurrent network; the last row is the combination with the network as challenger. */
export function modelTable(samples: readonly Sample[]): ModelRow[] {
  const network = recurrent(NETWORK, trained(samples));
  const models = [...SEASONAL_MODELS, network];
  const weights = new Map<string, number>();
  const heaviest = new Map<string, number>();
  const combined: Forecaster = (values, seasons) => {
    const selection = select(values, seasons, HORIZON, { holdouts: 10 });
    const options = { ...selection.options, challenger: NETWORK };
    const combination = combine(values, models, HORIZON, selection.seasons, options);
    let most = { name: '', weight: 0 };
    for (const one of combination.weights) {
      weights.set(one.name, (weights.get(one.name) ?? 0) + one.weight / samples.length);
      if (one.weight > most.weight) most = one;
    }
    heaviest.set(most.name, (heaviest.get(most.name) ?? 0) + 1);
    return { mean: combination.mean };
  };
  const all = scoreM4(samples, 0, combined);
  const rowOf = (model: Model): ModelRow => {
    const { owa, mase, msPerSeries } = scoreM4(samples, 0, alone(model));
    const own = { weight: weights.get(model.name) ?? 0, heaviest: heaviest.get(model.name) ?? 0 };
    return {
      ...{ model: model.name, owa, mase, msPerSeries, ...own },
      epochs: LEAN_MODELS.includes(model) || model === network,
    };
  };
  const { owa, mase, msPerSeries } = all;
  return [
    ...models.map(rowOf),
    { model: 'combination', owa, mase, msPerSeries, weight: 1, heaviest: samples.length, epochs: true },
  ];
}

export const modelLine = ({ model, owa, mase, msPerSeries, weight, heaviest, epochs }: ModelRow): string =>
  `${model.padEnd(24)} OWA ${owa.toFixed(4)}  MASE ${mase.toFixed(3)}  ${msPerSeries.toFixed(2)} ms  ` +
  `mean weight ${weight.toFixed(3)}  heaviest in ${heaviest}${epochs ? '  (also in epochs)' : ''}`;

const alone =
  (model: Model): Forecaster =>
  (values, seasons) => ({
    mean: model
      .forecast({ values, origins: [values.length], horizon: HORIZON, seasons })[0]!
      .map((value) => Math.max(0, value)),
  });

function trained(samples: readonly Sample[]): Float64Array {
  const seen = samples.map(({ values }) => values.slice(0, values.length - UNSEEN));
  const options = { seasons: [24, 168], windows: WINDOWS, length: 96 } as const;
  return trainNetwork(freshNetwork(seededRandom(3)), seen, options, seededRandom(4));
}
