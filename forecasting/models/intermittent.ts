import type { Model } from './model.ts';

const CONSTANTS = [0.05, 0.1, 0.2, 0.35] as const;

/** State of an intermittent-demand model after a value. */
type Step = (value: number, constant: number) => void;
interface Intermittent {
  readonly step: Step;
  readonly forecast: () => number;
}

/** The constant with the least squared one-step error before the first origin serves all origins. */
function fitted(name: string, make: (initial: number) => Intermittent): Model {
  return {
    name,
    needs: () => 4,
    forecast({ values, origins, horizon }) {
      const first = origins[0]!;
      const head = Math.min(first, 24);
      let initial = 0;
      for (let i = 0; i < head; i++) initial += values[i]! / head;
      let best = Number.POSITIVE_INFINITY;
      let chosen: number = CONSTANTS[0];
      for (const constant of CONSTANTS) {
        const model = make(initial);
        let error = 0;
        for (let t = 0; t < first; t++) {
          const e = values[t]! - model.forecast();
          error += e * e;
          model.step(values[t]!, constant);
        }
        if (error < best) {
          best = error;
          chosen = constant;
        }
      }
      const model = make(initial);
      let t = 0;
      return origins.map((origin) => {
        for (; t < origin; t++) model.step(values[t]!, chosen);
        return new Float64Array(horizon).fill(model.forecast());
      });
    },
  };
}

/** Croston 1972 with the bias correction of Syntetos and Boylan 2005: sizes and intervals of demands, each smoothed. */
export const croston: Model = fitted('croston', (initial) => {
  let size = Math.max(1, initial);
  let interval = initial > 0 ? Math.max(1, size / initial) : 100;
  let since = 1;
  let constant = 0;
  return {
    step(value, weight) {
      constant = weight;
      if (value > 0) {
        size += weight * (value - size);
        interval += weight * (since - interval);
        since = 1;
      } else since++;
    },
    forecast: () => ((1 - constant / 2) * size) / interval,
  };
});

/** Teunter, Syntetos and Babai 2011: the probability of demand fades at every empty step, so that the dead die. */
export const tsb: Model = fitted('tsb', (initial) => {
  let size = Math.max(1, initial);
  let probability = Math.min(1, initial / size);
  return {
    step(value, weight) {
      probability += weight * ((value > 0 ? 1 : 0) - probability);
      if (value > 0) size += weight * (value - size);
    },
    forecast: () => probability * size,
  };
});
