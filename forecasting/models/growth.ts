import { exp, log, pow } from '../elementary.ts';
import type { Model } from './model.ts';

export interface GrowthOptions {
  readonly name: string;
  /** Steps in which the weight of a count halves, for the fast and for the slow level. */
  readonly fast: number;
  readonly slow: number;
  /** How long, in steps, growth or decay goes on before it has halved. */
  readonly damping: number;
}

/** Growth a step beyond which a burst is not believed to go on: it doubles every two steps. */
const GROWTH_MAX = 0.35;
/** Counts that stand for the prior that nothing changes, so that two requests are no trend. */
const PRIOR = 3;

/**
 * Growth and decay of bursts over a short horizon: the ratio of a fast to a slow exponential level is the growth rate
 * (as in the moving-average cross-over), which fades geometrically. Popularity of new content follows such rise and
 * relaxation (Crane and Sornette 2008).
 */
export function growth(options: GrowthOptions): Model {
  const fastKeep = pow(0.5, 1 / options.fast);
  const slowKeep = pow(0.5, 1 / options.slow);
  const damp = pow(0.5, 1 / options.damping);
  // Mean ages of the two levels: their ratio says how much was gained between those ages.
  const apart = fastKeep / (1 - fastKeep) - slowKeep / (1 - slowKeep);
  return {
    name: options.name,
    needs: () => 2,
    forecast({ values, origins, horizon }) {
      let fast = 0;
      let slow = 0;
      let fastWeight = 0;
      let slowWeight = 0;
      let t = 0;
      return origins.map((origin) => {
        for (; t < origin; t++) {
          fast = fast * fastKeep + values[t]!;
          fastWeight = fastWeight * fastKeep + 1;
          slow = slow * slowKeep + values[t]!;
          slowWeight = slowWeight * slowKeep + 1;
        }
        const level = fast / fastWeight;
        const before = slow / slowWeight;
        const ratio = (fast + PRIOR) / (before * fastWeight + PRIOR);
        const rate = Math.max(-GROWTH_MAX, Math.min(GROWTH_MAX, log(ratio) / -apart));
        const out = new Float64Array(horizon);
        // The level is as old as its weights; growth brings it up to now first.
        let exponent = rate * Math.min(options.fast, fastKeep / (1 - fastKeep)) * (rate < 0 ? 1 : 0.5);
        let step = rate;
        for (let h = 0; h < horizon; h++) {
          exponent += step;
          step *= damp;
          out[h] = level * exp(exponent);
        }
        return out;
      });
    },
  };
}

/** An exponential level that forgets half within `halfLife` steps, without trend. */
export function fading(name: string, halfLife: number): Model {
  const keep = pow(0.5, 1 / halfLife);
  return {
    name,
    needs: () => 1,
    forecast({ values, origins, horizon }) {
      let level = 0;
      let weight = 0;
      let t = 0;
      return origins.map((origin) => {
        for (; t < origin; t++) {
          level = level * keep + values[t]!;
          weight = weight * keep + 1;
        }
        return new Float64Array(horizon).fill(weight > 0 ? level / weight : 0);
      });
    },
  };
}
